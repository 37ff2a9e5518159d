package worker

import (
	"context"
	"errors"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/rs/zerolog"
)

// worker is one worker of a pool. Its goroutine is started by the pool, runs
// live, and ends when the worker was told to leave and its work has ended.
type worker struct {
	pool    *Pool
	id      int
	ctx     context.Context // ends when the worker is killed; carries labels and logger
	cancel  context.CancelCauseFunc
	settled chan struct{} // closed when it has left or is abandoned

	// Only its own goroutine touches these.
	rest    time.Duration // how long to wait before the next Take
	backoff backoff       // of Takes that fail

	// The pool's mutex guards these.
	phase     phase
	leaving   bool // it was told to leave
	abandoned bool
	abandonAt time.Time // deadline after a kill
	unit      Work      // the current one
	task      *task     // while it runs
	busySince time.Time
	stuck     bool               // it was busy for too long
	steering  *steering          // of the current unit, if that has hooks
	stack     string             // when it was abandoned
	interrupt context.CancelFunc // ends the present wait
}

// phase is what a worker's goroutine is at; its State follows from this and from
// what was asked of it.
type phase int

const (
	begins phase = iota // waits its turn to start
	waits               // for work
	holds               // because it may not take
	works               // on a unit
	gone                // has left
)

// move is what a worker's goroutine does next.
type move int

const (
	leave move = iota
	hold       // until interrupted
	rest       // for a while
	take       // a unit
)

func newWorker(p *Pool, id int) *worker {
	log := zerolog.Ctx(p.base).With().Int(fieldWorkerID, id).Logger()
	w := &worker{pool: p, id: id, settled: make(chan struct{}), interrupt: func() {}}
	ctx := context.WithValue(log.WithContext(p.base), idKey{}, w)
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w
}

// live is the worker's goroutine. When work or a Take ends that by
// runtime.Goexit, the worker goes on in another.
func (w *worker) live() {
	ended := false
	defer func() {
		if ended {
			w.pool.left(w)
			return
		}
		zerolog.Ctx(w.ctx).Error().Msg("runtime.Goexit in work or its source; the worker goes on")
		w.rest = w.backoff.next()
		go w.live()
	}()
	pprof.Do(w.ctx, w.labels(), w.loop)
	ended = true
}

func (w *worker) labels() pprof.LabelSet {
	var list []string
	for key, value := range w.pool.cfg.ProfileLabels {
		list = append(list, key, value)
	}
	list = append(list, LabelPool, w.pool.id, LabelWorker, strconv.Itoa(w.id))
	return pprof.Labels(list...)
}

func (w *worker) loop(ctx context.Context) {
	for {
		pprof.SetGoroutineLabels(ctx) // in case the last unit has changed them
		switch wait, move := w.next(ctx); move {
		case leave:
			return
		case hold:
			<-wait.Done()
		case rest:
			sleep(wait, w.rest)
			w.rest = 0
		case take:
			w.takeAndRun(ctx, wait)
		}
	}
}

// next decides what to do. What is decided lasts until wait ends: whoever
// changes the grounds of this decision calls interrupt.
func (w *worker) next(ctx context.Context) (wait context.Context, m move) {
	p := w.pool
	p.mu.Lock()
	before := w.state()
	w.interrupt()
	wait, w.interrupt = context.WithCancel(ctx)
	switch {
	case w.leaving || p.stopping:
		m = leave
	case p.surplus() > 0:
		m, w.leaving = leave, true
	case p.paused || p.quiet:
		m, w.phase = hold, holds
	case w.rest > 0:
		m = rest
	default:
		m, w.phase = take, waits
	}
	changed := w.state() != before
	p.mu.Unlock()
	if changed {
		p.cfg.OnChange()
	}
	return wait, m
}

func (w *worker) takeAndRun(ctx, wait context.Context) {
	if wait.Err() != nil { // paused or stopped since it was decided
		return
	}
	unit, err := w.take(wait)
	if unit.Run != nil {
		w.backoff.reset()
		w.run(ctx, unit) // whatever err or wait say: what is taken is run
		return
	}
	w.rest = w.afterTake(ctx, wait, err)
}

// take asks the source, whose panic is an error.
func (w *worker) take(wait context.Context) (unit Work, err error) {
	err = call(func() (err error) {
		unit, err = w.pool.source.Take(wait, w.pool.Config().Filter)
		return err
	})
	if err == nil && unit.Run == nil {
		err = ErrNoRun
		report(zerolog.Ctx(w.ctx), unit, err)
	}
	return unit, err
}

// afterTake returns how long to rest after a Take that gave no work.
func (w *worker) afterTake(ctx, wait context.Context, err error) time.Duration {
	_, panicked := errors.AsType[*PanicError](err)
	switch {
	case wait.Err() != nil && !panicked: // it was interrupted, whatever it says
		return 0
	case errors.Is(err, ErrNoWork):
		w.backoff.reset()
		return w.pool.Config().PollInterval
	}
	delay := w.backoff.next()
	logFailure(zerolog.Ctx(ctx).Error(), err).Dur(fieldRetryIn, delay).Msg("cannot take work")
	return delay
}

// stop makes the worker leave after its work. The mutex is held.
func (w *worker) stop() {
	w.leaving = true
	w.nudge()
}

// nudge lets the worker and its unit see what is asked of them now. The mutex is
// held.
func (w *worker) nudge() {
	w.interrupt()
	if w.steering != nil {
		w.steering.look()
	}
}

// kill cancels the worker's work, and gives it that long to end. The mutex is
// held.
func (w *worker) kill(wait time.Duration, cause error) {
	w.leaving = true
	w.cancel(cause)
	w.abandonAt = earlier(w.abandonAt, time.Now().Add(max(wait, leastWait)))
}

// state is what operators see. The mutex is held.
func (w *worker) state() State {
	switch {
	case w.phase == gone:
		return Stopped
	case w.abandoned:
		return Abandoned
	case w.leaving || w.pool.stopping:
		return Stopping
	case w.phase == begins:
		return Starting
	case w.pool.paused && (w.phase == holds || w.phase == works && w.unit.Hooks.Pause != nil):
		return Paused
	case w.phase == works:
		return Busy
	}
	return Idle
}

// status is a copy of what operators see. The mutex is held.
func (w *worker) status() Status {
	return Status{
		ID: w.id, State: w.state(), Kind: w.unit.Kind, WorkID: w.unit.ID,
		Description: w.unit.Description, BusySince: w.busySince, Stuck: w.stuck, Stack: w.stack,
	}
}
