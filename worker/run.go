package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// Field names in the log.
const (
	fieldWorkerID = "worker_id"
	fieldKind     = "kind"
	fieldWorkID   = "work_id"
	fieldDuration = "duration_ms"
	fieldRetryIn  = "retry_in_ms"
	fieldHook     = "hook"
	fieldSince    = "busy_since"
	fieldStack    = "stack" // beside zerolog's own "error"
)

// run does one unit of work and reports its outcome. Everything after the unit
// is deferred: runtime.Goexit may end the goroutine within it.
func (w *worker) run(ctx context.Context, unit Work) {
	log := zerolog.Ctx(ctx).With().Str(fieldKind, unit.Kind).Str(fieldWorkID, unit.ID).Logger()
	ctx, cancel := context.WithCancel(log.WithContext(ctx))
	t := &task{ctx, w}
	begun := w.begin(t, unit)
	defer w.end()
	log.Debug().Msg("work started")

	err := ErrGoexit // unless it returns or panics
	defer func() {
		took, cancelled := time.Since(begun), ctx.Err() != nil
		cancel() // ends goroutines that the unit has left behind
		w.finish(err, took, cancelled)
		logOutcome(&log, err, took)
		report(&log, unit, err)
	}()
	err = call(func() error { return unit.Run(t) })
}

// begin makes the unit visible, and within reach of its hooks.
func (w *worker) begin(t *task, unit Work) time.Time {
	now := time.Now()
	w.pool.mu.Lock()
	w.phase, w.unit, w.task, w.busySince = works, unit, t, now
	w.pool.notify(WorkStarted, w)
	w.steering = steer(t, w, unit.Hooks)
	w.pool.mu.Unlock()
	w.pool.cfg.OnChange()
	return now
}

// finish takes the unit that has ended out of reach, and waits for its hooks.
func (w *worker) finish(err error, took time.Duration, cancelled bool) {
	p := w.pool
	p.mu.Lock()
	if p.cfg.Observe != nil {
		p.observe(Notice{Moment: WorkFinished, At: time.Now(), Worker: w.status(), Err: err, Took: took, Cancelled: cancelled})
	}
	s := w.steering
	w.steering, w.task = nil, nil
	p.mu.Unlock()
	s.release()
}

func (w *worker) end() {
	w.pool.mu.Lock()
	w.phase, w.unit, w.busySince, w.stuck = waits, Work{}, time.Time{}, false
	w.pool.mu.Unlock()
	w.pool.cfg.OnChange()
}

// call calls f and turns a panic into a [*PanicError].
func call(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: string(debug.Stack())}
		}
	}()
	return f()
}

// report tells the unit's owner, whose panic must not hurt the worker.
func report(log *zerolog.Logger, unit Work, outcome error) {
	if unit.Report == nil {
		return
	}
	err := call(func() error { unit.Report(outcome); return nil })
	if err != nil {
		logFailure(log.Error(), err).Msg("reporting the outcome of work failed")
	}
}

func logOutcome(log *zerolog.Logger, err error, took time.Duration) {
	if err == nil {
		log.Debug().Dur(fieldDuration, took).Msg("work finished")
		return
	}
	logFailure(log.Error(), err).Dur(fieldDuration, took).Msg("work failed")
}

// logFailure adds an error, and the stack if it was a panic.
func logFailure(line *zerolog.Event, err error) *zerolog.Event {
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		line = line.Str(fieldStack, panicked.Stack)
	}
	return line.Err(err)
}
