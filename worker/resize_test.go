package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestResizeIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, make(feed), Config{Workers: 3})
		r.resize(5)
		synctest.Wait()
		require.Equal(t, map[int]State{1: Idle, 2: Idle, 3: Idle, 4: Idle, 5: Starting}, r.states(), "staggered")
		time.Sleep(startSpread)
		r.requireStates(map[int]State{1: Idle, 2: Idle, 3: Idle, 4: Idle, 5: Idle})
		r.resize(2)
		r.requireStates(map[int]State{1: Idle, 2: Idle})
		r.resize(3)
		r.requireStates(map[int]State{1: Idle, 2: Idle, 6: Idle})
		require.Equal(t, 3, r.Size())

		changed, err := r.Resize(3)
		require.NoError(t, err)
		require.False(t, changed)
		for _, n := range []int{0, -1} {
			_, err = r.Resize(n)
			require.ErrorContains(t, err, "at least 1, or pause it")
		}
		require.NoError(t, r.ended())
	})
}

func (r *running) resize(n int) {
	r.t.Helper()
	changed, err := r.Resize(n)
	require.NoError(r.t, err)
	require.True(r.t, changed)
}

// Busy workers leave as their work ends, whoever is first; none is cancelled.
func TestShrinkBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		var ended atomic.Int32
		r := run(t, source, Config{Workers: 4})
		for i := range 4 {
			source <- Work{Run: lasting(time.Duration(i+1) * time.Minute), Report: func(err error) {
				require.NoError(t, err)
				ended.Add(1)
			}}
		}
		synctest.Wait()
		r.resize(2)
		r.requireCount(4, Busy)
		time.Sleep(time.Minute)
		r.requireCount(3, Busy)
		r.resize(3) // no more than are live
		r.requireCount(3, Busy)
		r.resize(1)
		time.Sleep(time.Minute)
		r.requireCount(2, Busy)
		time.Sleep(time.Minute)
		r.requireCount(1, Busy)
		time.Sleep(time.Minute)
		r.requireCount(1, Idle)
		require.EqualValues(t, 4, ended.Load())
		require.NoError(t, r.ended())
	})
}

// requireCount lets the bubble settle; all workers are in that state.
func (r *running) requireCount(n int, state State) {
	r.t.Helper()
	synctest.Wait()
	states := r.states()
	require.Len(r.t, states, n)
	for id, s := range states {
		require.Equal(r.t, state, s, "worker %d", id)
	}
}

// A pool that grows again while surplus workers are leaving waits for them.
func TestGrowWhileShrinking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2})
		source <- Work{Run: deaf(time.Minute), Hooks: Hooks{Stop: nothing}}
		source <- Work{Run: deaf(time.Minute), Hooks: Hooks{Stop: nothing}}
		synctest.Wait()
		r.resize(1)
		r.requireStates(map[int]State{1: Busy, 2: Stopping})
		r.resize(2)
		r.requireStates(map[int]State{1: Busy, 2: Stopping})
		time.Sleep(time.Minute)
		r.requireStates(map[int]State{1: Idle, 3: Idle})
		require.NoError(t, r.ended())
	})
}

func nothing(context.Context) error { return nil }

func TestStopWorkerOfShrunkPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2})
		source <- unit(1, lasting(time.Minute))
		source <- unit(2, lasting(time.Minute))
		synctest.Wait()
		r.resize(1)
		require.NoError(t, r.StopWorker(t.Context(), 1))
		time.Sleep(time.Second)
		r.requireCount(1, Idle)
		require.NoError(t, r.ended())
	})
}

func TestResizeInEveryLife(t *testing.T) {
	t.Run("before Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pool, err := New(make(feed), Config{Workers: 3})
			require.NoError(t, err)
			r := &running{Pool: pool, t: t, done: make(chan error, 1)}
			r.resize(2)
			require.Empty(t, r.Workers())
			go func() { r.done <- r.Run(t.Context()) }()
			time.Sleep(startSpread)
			r.requireStates(map[int]State{1: Idle, 2: Idle})
			require.NoError(t, r.ended())
		})
	})
	t.Run("paused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, make(feed), Config{Workers: 2})
			r.Pause()
			r.resize(3)
			r.requireStates(map[int]State{1: Paused, 2: Paused, 3: Paused})
			r.resize(1)
			r.requireStates(map[int]State{1: Paused})
			require.NoError(t, r.ended())
		})
	})
	t.Run("quiet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, neverAskedAgain(t), Config{Workers: 1})
			r.Quiet()
			r.resize(3)
			r.requireStates(map[int]State{1: Idle, 2: Idle, 3: Idle})
			r.resize(1)
			r.requireStates(map[int]State{1: Idle})
			require.NoError(t, r.ended())
		})
	})
	t.Run("stopping", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			source := make(feed)
			r := run(t, source, Config{Workers: 1})
			source <- unit(1, lasting(time.Minute))
			r.Stop(0)
			changed, err := r.Resize(3)
			require.NoError(t, err)
			require.False(t, changed)
			r.requireStates(map[int]State{1: Stopping})
			require.NoError(t, r.result())
		})
	})
}

func neverAskedAgain(t *testing.T) Source {
	var asked atomic.Bool
	return SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
		if asked.Swap(true) {
			t.Error("the source was asked")
		}
		<-ctx.Done()
		return Work{}, ctx.Err()
	})
}

// Idle workers leave before any work is stopped.
func TestShrinkPrefersTheIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2})
		source <- unit(1, lasting(time.Minute))
		source <- newTold().unit()
		time.Sleep(time.Minute)
		r.requireStates(map[int]State{1: Idle, 2: Busy})
		r.resize(1)
		r.requireStates(map[int]State{2: Busy})
		require.NoError(t, r.ended())
	})
}
