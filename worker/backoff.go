package worker

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// backoff spreads out attempts: delays double from backoffFirst to backoffMost,
// each shortened by a random part of up to a half, so that workers do not return
// in step. The zero value is ready.
type backoff struct{ delay time.Duration }

func (b *backoff) reset() { b.delay = 0 }

func (b *backoff) next() time.Duration {
	b.delay = min(max(2*b.delay, backoffFirst), backoffMost)
	return b.delay - rand.N(b.delay/2)
}

// sleep waits for that long, or until ctx ends.
func sleep(ctx context.Context, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
