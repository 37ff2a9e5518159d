package server

import (
	"context"
	"sync"
	"time"

	"github.com/fleetcast/fleetcast/worker"
)

// ending is what was asked of a server's end, by Stop and Kill: for its stop
// hook, which a pool's own time-outs do not reach.
type ending struct {
	ctx    context.Context // of the stop hook
	cancel context.CancelCauseFunc
	gaveUp chan struct{} // closed when the hook is no longer waited for
	killed chan struct{} // closed by the first Kill

	mu      sync.Mutex
	timers  []*time.Timer
	given   bool
	hurried func() // what the next kill calls, if anything
}

func newEnding() *ending {
	e := &ending{gaveUp: make(chan struct{}), killed: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	return e
}

// cancelAfter ends the hook's context at that time, if it is positive, and gives
// the hook up some time later.
func (e *ending) cancelAfter(timeout, grace time.Duration) {
	if timeout > 0 {
		e.after(timeout, func() { e.cancelNow(worker.ErrStopTimeout, grace) })
	}
}

func (e *ending) kill(wait time.Duration) {
	e.mu.Lock()
	if !isClosed(e.killed) {
		close(e.killed)
	}
	if e.hurried != nil {
		e.hurried()
	}
	e.mu.Unlock()
	e.cancelNow(worker.ErrKilled, wait)
}

func (e *ending) cancelNow(cause error, grace time.Duration) {
	e.cancel(cause)
	e.after(max(grace, 100*time.Millisecond), e.giveUp) // so that one which obeys at once is not given up
}

func (e *ending) giveUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.given {
		e.given = true
		close(e.gaveUp)
	}
}

func (e *ending) after(d time.Duration, do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timers = append(e.timers, time.AfterFunc(d, do))
}

// hurry lets the next kill call do, and no earlier one.
func (e *ending) hurry(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hurried = do
}

// release ends the timers and the context.
func (e *ending) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, timer := range e.timers {
		timer.Stop()
	}
	e.cancel(nil)
}

func (e *ending) wasKilled() bool { return isClosed(e.killed) }

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
