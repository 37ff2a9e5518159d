package worker

import (
	"context"
	"errors"
	"fmt"
)

// Work is one unit of work taken from a [Source].
type Work struct {
	// ID tells the unit from all others of its source.
	ID string
	// Kind is the sort of work, which a [Filter] selects by.
	Kind string
	// Description is one line for operators: what this unit is about. Running work
	// may change it, see [Describe].
	Description string

	// Run does the work and returns nil when it succeeded. It is required. Its
	// ctx ends when the worker is killed or the pool's stop has run out of time
	// ([context.Cause] tells which: [ErrKilled], [ErrStopTimeout] or the cause
	// of Run's context), and when Run returns. The ctx carries a zerolog
	// logger. A panic fails the unit with a [*PanicError].
	Run func(ctx context.Context) error

	// Report, if set, is told the outcome exactly once, in the worker's
	// goroutine, after Run has ended in whatever way. The worker stays busy
	// meanwhile. A panic in it is logged.
	Report func(err error)

	// Hooks, if set, pass on to the running unit what is asked of the pool.
	Hooks Hooks
}

// Source is the seam to any job system.
type Source interface {
	// Take waits for the next unit of work that passes f, claims it and returns
	// it. It is called by many workers at once.
	//
	// Without work it may wait, or return [ErrNoWork] at once and be asked again
	// after Config.PollInterval. When ctx ends, which is how a pool is paused
	// and stopped, it returns ctx's error soon. Any other error, and a panic, is
	// logged, and Take is called again after a growing, random delay.
	//
	// A Work whose Run is set is run in any case: even if ctx has ended
	// meanwhile or an error is returned with it. So a Source may finish a claim
	// that it has begun, and hand it over.
	Take(ctx context.Context, f Filter) (Work, error)
}

// SourceFunc makes a [Source] of a function.
type SourceFunc func(ctx context.Context, f Filter) (Work, error)

// Take implements [Source].
func (take SourceFunc) Take(ctx context.Context, f Filter) (Work, error) { return take(ctx, f) }

var (
	// ErrNoWork is what a Source returns when it has no work at present.
	ErrNoWork = errors.New("no work")

	// ErrGoexit is the failure of work that called [runtime.Goexit].
	ErrGoexit = errors.New("work ended its goroutine by runtime.Goexit")

	// ErrNoRun is the failure of a Work without a Run.
	ErrNoRun = errors.New("work has no Run")

	// ErrKilled is the cause of the end of a work's context after Kill and
	// KillWorker.
	ErrKilled = errors.New("worker killed")

	// ErrStopTimeout is the cause of the end of a work's context when Stop has
	// run out of time.
	ErrStopTimeout = errors.New("pool stopped, and the work did not end in time")
)

// PanicError is the failure of work that panicked.
type PanicError struct {
	Value any    // what was given to panic
	Stack string // of the goroutine that panicked
}

// Error implements error; it does not contain the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
