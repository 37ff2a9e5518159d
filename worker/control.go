package worker

import (
	"context"
	"fmt"
	"time"
)

// leastWait is what a killed worker gets at least, so that one which obeys at
// once is not called abandoned.
const leastWait = 100 * time.Millisecond

// Pause lets the workers take no more work until Resume; current work finishes,
// or holds still if it has [Hooks]. It may be called before Run. It reports whether the pool was not paused.
func (p *Pool) Pause() (changed bool) { return p.set(&p.paused, true) }

// Resume ends a Pause. It reports whether the pool was paused.
func (p *Pool) Resume() (changed bool) { return p.set(&p.paused, false) }

// Quiet lets the workers take no more work for good; current work finishes
// (Hooks.Pause is called as well), and the pool does not end before it is stopped. It reports whether the pool was
// not quiet.
func (p *Pool) Quiet() (changed bool) { return p.set(&p.quiet, true) }

// Paused reports whether the pool is paused. Busy workers may still be ending
// their work.
func (p *Pool) Paused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused
}

func (p *Pool) set(flag *bool, value bool) (changed bool) {
	p.mu.Lock()
	changed = *flag != value
	*flag = value
	if changed {
		p.nudgeAll()
	}
	p.mu.Unlock()
	if changed {
		p.look()
		p.cfg.OnChange()
	}
	return changed
}

// Stop ends the pool gracefully: no new work, current work finishes (Hooks.Stop
// is called). After
// timeout (0 or less: never) it cancels the work that is left, and Config.Grace
// later abandons the workers that have not ended. It returns at once; Run
// returns when it is done. It may be called before Run, and again: what asks
// for an earlier end counts.
func (p *Pool) Stop(timeout time.Duration) {
	p.mu.Lock()
	p.stopping = true
	if timeout > 0 {
		p.cancelAt = earlier(p.cancelAt, time.Now().Add(timeout))
	}
	p.nudgeAll()
	p.mu.Unlock()
	p.look()
	p.cfg.OnChange()
}

// Kill ends the pool: no new work, current work is cancelled, and workers that
// have not ended after wait (at least 0.1 s) are abandoned. It
// returns at once; Run returns when it is done. It may be called before Run,
// and again: what asks for an earlier end counts.
func (p *Pool) Kill(wait time.Duration) { p.kill(wait, ErrKilled) }

func (p *Pool) kill(wait time.Duration, cause error) {
	p.mu.Lock()
	p.stopping = true
	for _, w := range p.workers {
		w.kill(wait, cause)
	}
	p.mu.Unlock()
	p.look()
	p.cfg.OnChange()
}

func (p *Pool) nudgeAll() {
	for _, w := range p.workers {
		w.nudge()
	}
}

// StopWorker lets one worker finish its work (Hooks.Stop is called) and leave;
// the pool starts another in its place, unless it was shrunk. It waits until the worker has left. When ctx ends earlier it
// returns ctx's error, and the worker still leaves. It returns [ErrNoWorker] if
// the pool has no such worker, and an [*AbandonedError] if the worker is, or
// meanwhile was, abandoned. Work must not wait for its own worker.
func (p *Pool) StopWorker(ctx context.Context, id int) error {
	w, err := p.tell(id, (*worker).stop)
	if err != nil {
		return err
	}
	status, err := p.settle(ctx, w)
	if err == nil && status.State == Abandoned {
		err = &AbandonedError{Workers: []Status{status}}
	}
	return err
}

// KillWorker cancels one worker's work and waits for the worker to end. Unless it
// was shrunk, the pool starts another in its place as soon as it has ended, or after wait (at least
// 0.1 s) abandons it. The Status says which: [Stopped], or
// [Abandoned] with its stack. When ctx ends earlier, KillWorker returns ctx's
// error, and the kill goes on. It returns [ErrNoWorker] if the pool has no such
// worker. Work must not wait for its own worker.
func (p *Pool) KillWorker(ctx context.Context, id int, wait time.Duration) (Status, error) {
	w, err := p.tell(id, func(w *worker) { w.kill(wait, ErrKilled) })
	if err != nil {
		return Status{ID: id}, err
	}
	return p.settle(ctx, w)
}

// tell does something to a worker under the mutex.
func (p *Pool) tell(id int, do func(*worker)) (*worker, error) {
	p.mu.Lock()
	w := p.workers[id]
	if w != nil {
		do(w)
	}
	p.mu.Unlock()
	if w == nil {
		return nil, fmt.Errorf("worker %d: %w", id, ErrNoWorker)
	}
	p.look()
	p.cfg.OnChange()
	return w, nil
}

// settle waits until a worker has left or is abandoned.
func (p *Pool) settle(ctx context.Context, w *worker) (Status, error) {
	var err error
	select {
	case <-w.settled:
	case <-ctx.Done():
		err = fmt.Errorf("worker %d has not left yet: %w", w.id, context.Cause(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.status(), err
}
