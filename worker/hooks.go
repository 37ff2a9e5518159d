package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// dumpTime is how long Hooks.Dump may take.
const dumpTime = 5 * time.Second

var errNoDump = fmt.Errorf("the work did not answer within %v", dumpTime)

// Hooks reach a running unit whose work does not end by itself, or lives outside
// of Go: a subscription, another program. Each may be nil, and then work goes on
// as any other does. To cancel work there is the ctx of Work.Run, and no hook.
//
// Pause, Resume and Stop are called one at a time, from a goroutine of the
// unit, when what is asked of the pool differs from what the unit was told last:
// what was asked and taken back meanwhile is not told. A hook's ctx is the
// unit's; Work.Report is called when all hooks have returned, so they must
// return when it ends. Their errors and panics are logged, and harm nothing.
type Hooks struct {
	// Pause lets the unit hold still, or take no more upon itself. It is called
	// when the pool is paused and when it becomes quiet. The worker of a paused
	// pool shows as [Paused].
	Pause func(ctx context.Context) error

	// Resume lets the unit go on.
	Resume func(ctx context.Context) error

	// Stop lets the unit finish, paused or not: Run should return soon. It is
	// called once, when the worker or the pool is stopped or the pool is shrunk,
	// and no other hook but Dump after it. A kill does not call it.
	Stop func(ctx context.Context) error

	// Dump returns what the unit is doing, for [Pool.Stacks]; an error is shown
	// instead. It may be called at any time, several at once, and gets at most 5 s.
	Dump func(ctx context.Context) (string, error)
}

// steering passes on to one running unit what is asked of the pool. Worker.run
// starts and joins its goroutine, which lasts as long as the unit.
type steering struct {
	worker *worker
	hooks  Hooks
	ctx    context.Context // the unit's
	wake   chan struct{}   // what is asked may have changed
	calls  sync.WaitGroup  // of hooks; the pool's mutex guards that none begins after worker.finish

	// Only its own goroutine touches these.
	held, stopped bool // what the unit was told
}

// steer returns nil for a unit that cannot be told anything. The mutex is held.
func steer(ctx context.Context, w *worker, hooks Hooks) *steering {
	if hooks.Pause == nil && hooks.Resume == nil && hooks.Stop == nil && hooks.Dump == nil {
		return nil
	}
	s := &steering{worker: w, hooks: hooks, ctx: ctx, wake: make(chan struct{}, 1)}
	s.calls.Add(1)
	go s.run()
	return s
}

// release waits for the hooks of a unit that has ended.
func (s *steering) release() {
	if s != nil {
		s.calls.Wait()
	}
}

// look makes run look at what is asked.
func (s *steering) look() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run calls the hooks. One that calls runtime.Goexit ends the goroutine, and
// another goes on.
func (s *steering) run() {
	ended := false
	defer func() {
		if !ended {
			go s.run()
			return
		}
		s.calls.Done()
	}()
	pprof.SetGoroutineLabels(context.Background()) // no part of the work
	for s.ctx.Err() == nil {
		if name, hook := s.next(); hook != nil {
			s.call(name, hook)
			continue
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
		}
	}
	ended = true
}

// next returns the hook that is to be called now, nil for none.
func (s *steering) next() (name string, hook func(context.Context) error) {
	p := s.worker.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	hold := p.paused || p.quiet
	switch {
	case s.stopped || s.ctx.Err() != nil: // a kill asks to leave as well
	case s.worker.leaving || p.stopping:
		s.stopped = true
		return "stop", s.hooks.Stop
	case hold != s.held:
		s.held = hold
		if hold {
			return "pause", s.hooks.Pause
		}
		return "resume", s.hooks.Resume
	}
	return "", nil
}

func (s *steering) call(name string, hook func(context.Context) error) {
	pprof.SetGoroutineLabels(s.ctx)
	defer pprof.SetGoroutineLabels(context.Background())
	if err := call(func() error { return hook(s.ctx) }); err != nil && s.ctx.Err() == nil {
		logFailure(zerolog.Ctx(s.ctx).Error(), err).Str(fieldHook, name).Msg("a hook of the work failed")
	}
}

// dumps lets the units that have a hook for it describe themselves, all at once,
// and puts what they say in the place of their goroutines.
func (p *Pool) dumps(stacks []Stack) error {
	faults := make([]error, len(stacks))
	var all sync.WaitGroup
	for i := range stacks {
		if s := p.dumping(stacks[i].Worker.ID); s != nil {
			all.Go(func() { faults[i] = s.dump(&stacks[i]) })
		}
	}
	all.Wait()
	return joinDumpErrors(stacks, faults)
}

// joinDumpErrors says once what went wrong in the same way for many workers.
func joinDumpErrors(stacks []Stack, faults []error) error {
	var joined []error
	var seen []string
	for i, err := range faults {
		if err == nil || slices.Contains(seen, err.Error()) {
			continue
		}
		seen = append(seen, err.Error())
		var ids []string
		for j := i; j < len(faults); j++ {
			if faults[j] != nil && faults[j].Error() == err.Error() {
				ids = append(ids, strconv.Itoa(stacks[j].Worker.ID))
			}
		}
		joined = append(joined, fmt.Errorf("no dump of worker %s: %w", strings.Join(ids, ", "), err))
	}
	return errors.Join(joined...)
}

// dumping returns the steering of a unit that can dump itself, and keeps it from
// being finished before s.dump.
func (p *Pool) dumping(id int) *steering {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workers[id]
	if w == nil || w.steering == nil || w.steering.hooks.Dump == nil {
		return nil
	}
	w.steering.calls.Add(1)
	return w.steering
}

func (s *steering) dump(into *Stack) error {
	text, err := s.callDump()
	into.Raw = ""
	head := fmt.Sprintf("worker %d, %s:", into.Worker.ID, occupation(into.Worker))
	_, panicked := errors.AsType[*PanicError](err)
	switch {
	case err == nil:
		into.Text = head + "\n\n" + text
	case panicked || errors.Is(err, ErrGoexit) || errors.Is(err, errNoDump): // see where it hangs
		into.Text = fmt.Sprintf("%s no dump: %v\n\n%s", head, err, into.Text)
	default:
		into.Text = fmt.Sprintf("%s no dump: %v\n", head, err)
	}
	return err
}

// callDump does not wait for a hook that ignores its context.
func (s *steering) callDump() (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(s.ctx, dumpTime)
	go func() {
		r := result{err: ErrGoexit} // unless it returns or panics
		defer func() { cancel(); done <- r; s.calls.Done() }()
		r.err = call(func() (err error) { r.text, err = s.hooks.Dump(ctx); return err })
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-time.After(dumpTime + leastWait):
		return "", errNoDump
	}
}
