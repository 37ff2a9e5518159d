package process

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	firstDelay = 500 * time.Millisecond
	mostDelay  = time.Minute
	quick      = 10 * time.Second // a copy that ends earlier has ended quickly
)

// pace spaces the starts of each worker's copies.
type pace struct {
	mu    sync.Mutex
	slots map[int]slot // by number of worker; those that matter no more are dropped
}

// slot is when a worker may start its next copy.
type slot struct {
	delay time.Duration
	until time.Time
}

func newPace() *pace { return &pace{slots: map[int]slot{}} }

// ended notes the end of a worker's copy that ran for so long.
func (p *pace) ended(worker int, ran time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for id, s := range p.slots {
		if id != worker && now.Sub(s.until) > mostDelay { // its copy runs long, or the worker has left
			delete(p.slots, id)
		}
	}
	delay := nextDelay(p.slots[worker].delay, ran)
	p.slots[worker] = slot{delay: delay, until: now.Add(delay - rand.N(delay/2))}
}

// nextDelay grows while copies end quickly, and decays with the time that they
// run.
func nextDelay(delay, ran time.Duration) time.Duration {
	if ran < quick {
		delay *= 2
	} else {
		delay >>= min(ran/quick, 32)
	}
	return min(max(delay, firstDelay), mostDelay)
}

// wait lasts until the worker may start a copy. It returns the cause if ctx ends
// before.
func (p *pace) wait(ctx context.Context, worker int) error {
	p.mu.Lock()
	rest := time.Until(p.slots[worker].until)
	p.mu.Unlock()
	if rest > 0 {
		zerolog.Ctx(ctx).Info().Dur(fieldRetryIn, rest).Msg("the command is started again")
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return context.Cause(ctx) // nil, unless both have come
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
