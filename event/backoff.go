package event

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = 50 * time.Millisecond
	backoffMost  = 5 * time.Second
)

// backoff spreads out attempts: delays double from backoffFirst to backoffMost,
// each shortened by a random part of up to a half, so that a fleet does not
// return in step. The zero value is ready.
type backoff struct{ delay time.Duration }

func (b *backoff) reset() { b.delay = 0 }

// wait sleeps for the next delay and reports whether ctx is still alive.
func (b *backoff) wait(ctx context.Context) bool {
	b.delay = min(max(2*b.delay, backoffFirst), backoffMost)
	timer := time.NewTimer(b.delay - rand.N(b.delay/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
