package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNewReportsAllFaults(t *testing.T) {
	_, err := New(nil, Config{
		Workers: -1, PollInterval: -1, Grace: -1,
		ProfileLabels: map[string]string{LabelWorker: "1"},
		Filter:        Filter{Include: []string{"["}},
	})
	for _, part := range []string{"source", "Workers", "PollInterval", "Grace", LabelWorker, "syntax error in pattern"} {
		require.ErrorContains(t, err, part)
	}
}

func TestZeroConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, make(feed), Config{})
		require.Len(t, r.Workers(), 10)
		require.NoError(t, r.ended())
	})
}

func TestRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, make(feed), Config{})
		require.ErrorContains(t, r.Run(t.Context()), "once")
		require.NoError(t, r.ended())
	})
}

func TestStoppedBeforeRun(t *testing.T) {
	for name, end := range map[string]func(*Pool){
		"stop": func(p *Pool) { p.Stop(time.Second) },
		"kill": func(p *Pool) { p.Kill(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			pool, err := New(neverAsked(t), Config{})
			require.NoError(t, err)
			end(pool)
			require.NoError(t, pool.Run(t.Context()))
		})
	}
	t.Run("context", func(t *testing.T) {
		pool, err := New(neverAsked(t), Config{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, pool.Run(ctx))
		require.Zero(t, pool.lastID, "no worker was started")
	})
}

func neverAsked(t *testing.T) Source {
	return SourceFunc(func(context.Context, Filter) (Work, error) {
		t.Error("the source was asked")
		return Work{}, ErrNoWork
	})
}

func TestStatesOfOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		r.requireStates(map[int]State{1: Idle})

		source <- Work{ID: "17", Kind: "import", Description: "customers", Run: lasting(time.Minute)}
		synctest.Wait()
		begun := time.Now()
		require.Equal(t, []Status{{
			ID: 1, State: Busy, Kind: "import", WorkID: "17", Description: "customers", BusySince: begun,
		}}, r.Workers())

		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []Status{{ID: 1, State: Idle}}, r.Workers())
		require.NoError(t, r.ended())
		require.Empty(t, r.Workers())
	})
}

func TestStaggeredStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := New(make(feed), Config{Workers: 4})
		require.NoError(t, err)
		go func() { _ = pool.Run(t.Context()) }()
		r := &running{Pool: pool, t: t}
		r.requireStates(map[int]State{1: Idle, 2: Starting, 3: Starting, 4: Starting})
		time.Sleep(startSpread / 2)
		r.requireStates(map[int]State{1: Idle, 2: Idle, 3: Idle, 4: Starting})
		pool.Pause()
		r.requireStates(map[int]State{1: Paused, 2: Paused, 3: Paused, 4: Paused})
		pool.Kill(0)
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2})
		source <- unit(1, lasting(time.Minute))
		synctest.Wait()
		busy := map[int]State{1: Idle, 2: Idle}
		for _, w := range r.Workers() {
			if !w.BusySince.IsZero() {
				busy[w.ID] = Busy
			}
		}

		require.True(t, r.Pause())
		require.False(t, r.Pause())
		require.True(t, r.Paused())
		for id, state := range busy {
			if state == Idle {
				busy[id] = Paused
			}
		}
		r.requireStates(busy)
		select {
		case source <- unit(2, lasting(time.Minute)):
			require.Fail(t, "a paused worker is in Take")
		default:
		}

		time.Sleep(time.Minute)
		r.requireStates(map[int]State{1: Paused, 2: Paused})
		require.True(t, r.Resume())
		require.False(t, r.Resume())
		r.requireStates(map[int]State{1: Idle, 2: Idle})
		require.NoError(t, r.ended())
	})
}

// A source that finishes its claim although ctx has ended loses nothing.
func TestUnitTakenDuringPauseIsRun(t *testing.T) {
	for name, late := range map[string]error{"without error": nil, "with the context's error": context.Canceled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told outcomes
				source := SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
					<-ctx.Done()
					if told.count.Load() > 0 {
						return Work{}, ctx.Err()
					}
					time.Sleep(time.Second)
					return Work{ID: "1", Run: lasting(time.Minute), Report: told.report}, late
				})
				r := run(t, source, Config{Workers: 1})
				r.Pause()
				r.requireStates(map[int]State{1: Idle}) // not paused: it is in Take still
				time.Sleep(time.Second)
				r.requireStates(map[int]State{1: Busy})
				time.Sleep(time.Minute)
				r.requireStates(map[int]State{1: Paused})
				require.NoError(t, told.once(t))
				require.NoError(t, r.ended())
			})
		})
	}
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- unit(1, lasting(time.Minute))
		require.True(t, r.Quiet())
		require.False(t, r.Quiet())
		r.requireStates(map[int]State{1: Busy})
		time.Sleep(time.Hour)
		r.requireStates(map[int]State{1: Idle})
		r.Pause()
		r.requireStates(map[int]State{1: Paused})
		r.Resume()
		r.requireStates(map[int]State{1: Idle})
		select {
		case source <- unit(2, deaf(0)):
			require.Fail(t, "a quiet worker is in Take")
		case <-r.done:
			require.Fail(t, "a quiet pool has ended")
		default:
		}
		require.NoError(t, r.ended())
	})
}

// A pause that comes right before a Take prevents it.
func TestPauseBeforeTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pool atomic.Pointer[Pool]
		p, err := New(neverAsked(t), Config{Workers: 1, OnChange: func() {
			if p := pool.Load(); p != nil {
				for _, w := range p.Workers() {
					if w.State == Idle { // it has decided, and not yet called
						p.Pause()
					}
				}
			}
		}})
		require.NoError(t, err)
		pool.Store(p)
		go func() { _ = p.Run(t.Context()) }()
		r := &running{Pool: p, t: t}
		r.requireStates(map[int]State{1: Paused})
		p.Kill(0)
	})
}

func TestManyWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, units = 200, 2000
		var left, done, most, now atomic.Int32
		left.Store(units)
		source := SourceFunc(func(context.Context, Filter) (Work, error) {
			if left.Add(-1) < 0 {
				return Work{}, ErrNoWork
			}
			return Work{Run: func(context.Context) error {
				n := now.Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return nil
			}, Report: func(error) { done.Add(1) }}, nil
		})
		r := run(t, source, Config{Workers: workers})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, units, done.Load())
		require.EqualValues(t, workers, most.Load())
		require.Len(t, r.Workers(), workers)
		require.NoError(t, r.ended())
	})
}

func TestOnChangeFollowsEveryChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		var pool atomic.Pointer[Pool]
		var seen atomic.Value // what was visible at the last OnChange
		r := run(t, source, Config{Workers: 2, OnChange: func() {
			if p := pool.Load(); p != nil {
				seen.Store(p.Workers()) // the mutex is free
			}
		}})
		pool.Store(r.Pool)
		steps := []func(){
			func() { r.Pause() },
			func() { r.Resume() },
			func() { source <- unit(1, lasting(time.Second)) },
			func() { time.Sleep(time.Second) },
			func() { require.NoError(t, r.StopWorker(t.Context(), 1)) },
			func() { source <- unit(3, lasting(time.Minute)) },
			func() { go func() { _ = r.StopWorker(t.Context(), busyWorker(r)) }() },
			func() { time.Sleep(time.Minute) },
			func() { source <- unit(2, deaf(time.Minute)) },
			func() { r.Stop(time.Second) },
			func() { time.Sleep(time.Second + defaultGrace) }, // abandoned
			func() { time.Sleep(time.Minute) },                // gone
		}
		before := r.Workers()
		for i, step := range steps {
			step()
			synctest.Wait()
			require.NotEqual(t, before, r.Workers(), "step %d", i)
			before = r.Workers()
			require.Equal(t, before, seen.Load(), "step %d", i)
		}
		require.True(t, errors.As(r.result(), new(*AbandonedError)))
	})
}

func busyWorker(r *running) int {
	for _, w := range r.Workers() {
		if w.State == Busy {
			return w.ID
		}
	}
	return 0
}
