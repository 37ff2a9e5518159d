package worker

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errSource = errors.New("source is away")

// running is a pool under test.
type running struct {
	*Pool
	t      *testing.T
	done   chan error              // receives what Run returns
	cancel context.CancelCauseFunc // of Run's context
}

// run starts a pool in a synctest bubble, and waits until it has settled.
func run(t *testing.T, source Source, cfg Config) *running {
	t.Helper()
	pool, err := New(source, cfg)
	require.NoError(t, err)
	r := &running{Pool: pool, t: t, done: make(chan error, 1)}
	var ctx context.Context
	ctx, r.cancel = context.WithCancelCause(t.Context())
	go func() { r.done <- pool.Run(ctx) }()
	time.Sleep(startSpread)
	synctest.Wait()
	return r
}

// states returns each worker's state by number.
func (r *running) states() map[int]State {
	states := map[int]State{}
	for _, w := range r.Workers() {
		states[w.ID] = w.State
	}
	return states
}

// requireStates lets the bubble settle and compares.
func (r *running) requireStates(want map[int]State) {
	r.t.Helper()
	synctest.Wait()
	require.Equal(r.t, want, r.states())
}

// ended stops the pool and returns what Run returned.
func (r *running) ended() error {
	r.t.Helper()
	r.Stop(0)
	return r.result()
}

func (r *running) result() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(time.Hour):
		require.Fail(r.t, "Run has not returned")
		return nil
	}
}

// feed is a source of the units that a test sends.
type feed chan Work

func (f feed) Take(ctx context.Context, _ Filter) (Work, error) {
	select {
	case unit := <-f:
		return unit, nil
	case <-ctx.Done():
		return Work{}, ctx.Err()
	}
}

// lasting is work that takes that long unless it is cancelled.
func lasting(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// deaf is work that takes that long and ignores its context.
func deaf(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// outcomes collects reports.
type outcomes struct {
	count atomic.Int32
	last  atomic.Pointer[error]
}

func (o *outcomes) report(err error) {
	o.count.Add(1)
	o.last.Store(&err)
}

// once returns the outcome, which must have been told exactly once.
func (o *outcomes) once(t *testing.T) error {
	t.Helper()
	require.EqualValues(t, 1, o.count.Load(), "reports")
	return *o.last.Load()
}

func unit(number int, do func(context.Context) error) Work {
	return Work{ID: strconv.Itoa(number), Kind: "import", Run: do}
}
