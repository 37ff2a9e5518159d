package server

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
)

const (
	// hookTime is how long Hooks.Pause and Hooks.Resume may take.
	hookTime = 10 * time.Second
	// hookGrace is how long a hook may take to return after its context has
	// ended, before it is given up. A kill has a wait of its own.
	hookGrace = 5 * time.Second
)

// Hooks let a server obey for work that another job system runs, such as the
// workers of a queue library: with a nil source, or beside a pool. Each may be
// nil; the zero value calls nothing.
//
// The server calls one at a time (a kill does not wait for another one), from
// goroutines of its own, and only when its state changes: a second pause calls
// nothing. An error or a panic makes the action failed with that error, and leaves
// the server as it was, so that repeating the action calls the hook again. The
// context carries the logger; a hook that does not return within 5 s of its end is
// given up and reported.
type Hooks struct {
	// Pause lets the other system take no new work; current work goes on. It is
	// called for pause and for quiet. Its ctx ends after 10 s.
	Pause func(ctx context.Context) error
	// Resume lets it take work again. Its ctx ends after 10 s.
	Resume func(ctx context.Context) error
	// Stop lets it finish its current work, and returns when that has ended. Its
	// ctx ends after the shutdown time-out, and at once by a kill (the cause is
	// worker.ErrStopTimeout or worker.ErrKilled): then Stop must cancel the work.
	// The server leaves the registry when it has returned. It is called once, if
	// the server has joined the registry.
	Stop func(ctx context.Context) error
}

// any reports whether a program has hooks.
func (h Hooks) any() bool { return h.Pause != nil || h.Resume != nil || h.Stop != nil }

var (
	errHookHangs  = errors.New("it has not returned although its context has ended; it goes on unattended")
	errHookGoexit = errors.New("it ended its goroutine (runtime.Goexit)")
)

// hooks calls Config.Hooks one at a time.
type hooks struct {
	Hooks
	turn   chan struct{} // holds a token while a hook, or a change of state around it, is under way
	held   bool          // the other system takes no work; belongs to who has the turn
	unsure bool          // the last call failed: nobody knows; likewise
}

func newHooks(h Hooks) *hooks { return &hooks{Hooks: h, turn: make(chan struct{}, 1)} }

// begin waits for the turn, which done gives back.
func (h *hooks) begin(ctx context.Context) (done func(), err error) {
	select {
	case h.turn <- struct{}{}:
		return func() { <-h.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// hold lets the other system take no work, or take it again. The caller has the
// turn.
func (h *hooks) hold(ctx context.Context, hold bool) error {
	if h.held == hold && !h.unsure {
		return nil
	}
	name, hook := "resume", h.Resume
	if hold {
		name, hook = "pause", h.Pause
	}
	bounded, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	gaveUp := make(chan struct{})
	defer context.AfterFunc(bounded, func() { time.AfterFunc(hookGrace, func() { close(gaveUp) }) })()
	err := call(bounded, name, hook, gaveUp)
	h.held, h.unsure = hold, err != nil
	return err
}

// stop calls the stop hook. One that is still under way ends first, unless ctx
// does.
func (h *hooks) stop(ctx context.Context, gaveUp <-chan struct{}) error {
	if h.Stop == nil {
		return nil
	}
	if done, err := h.begin(ctx); err == nil {
		defer done()
	}
	err := call(ctx, "stop", h.Stop, gaveUp)
	if errors.Is(err, errHookHangs) {
		zerolog.Ctx(ctx).Error().Msg("the stop hook hangs\n" + processStacks())
	}
	return err
}

// call calls a hook, whatever it does, until it returns or is given up.
func call(ctx context.Context, name string, hook func(context.Context) error, gaveUp <-chan struct{}) error {
	if hook == nil {
		return nil
	}
	returned := make(chan error, 1)
	go func() {
		err := errHookGoexit
		defer func() {
			if value := recover(); value != nil {
				err = &event.PanicError{Value: value, Stack: string(debug.Stack())}
			}
			returned <- err
		}()
		err = hook(ctx)
	}()
	err := errHookHangs
	select {
	case err = <-returned:
	case <-gaveUp:
	}
	if err != nil {
		return &hookError{name, err}
	}
	return nil
}

// hookError is the failure of a hook.
type hookError struct {
	name string
	err  error
}

func (e *hookError) Error() string { return "hook " + e.name + ": " + e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }
