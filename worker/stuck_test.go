package worker

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var changes atomic.Int32
		source := make(feed)
		pool, err := New(source, Config{Workers: 1, StuckAfter: time.Minute, OnChange: func() { changes.Add(1) }})
		require.NoError(t, err)
		r := &running{Pool: pool, t: t, done: make(chan error, 1)}
		go func() { r.done <- pool.Run(zerolog.New(&out).Level(zerolog.WarnLevel).WithContext(t.Context())) }()

		time.Sleep(90 * time.Second) // the watch is not in step with the work
		source <- unit(17, lasting(3*time.Minute))
		time.Sleep(time.Minute - time.Nanosecond)
		require.False(t, r.Workers()[0].Stuck)
		before := changes.Load()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, r.Workers()[0].Stuck)
		require.Equal(t, Busy, r.Workers()[0].State)
		require.Equal(t, before+1, changes.Load())
		require.Regexp(t, `^{"level":"warn","worker_id":1,"kind":"import","work_id":"17","busy_since":"[^"]+","message":"work is stuck[^"]*"}\n$`, out.String())

		time.Sleep(time.Minute)
		require.Equal(t, before+1, changes.Load(), "once")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []Status{{ID: 1, State: Idle}}, r.Workers())
		source <- unit(18, lasting(time.Second)) // another one begins anew
		synctest.Wait()
		require.False(t, r.Workers()[0].Stuck)
		require.NoError(t, r.ended())
	})
}

func TestNothingIsStuckByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- unit(1, lasting(1000*time.Hour))
		time.Sleep(999*time.Hour + 59*time.Minute)
		require.False(t, r.Workers()[0].Stuck)
		require.NoError(t, r.ended())
	})
}

// What holds still because it was told to is not stuck.
func TestPausedIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1, StuckAfter: time.Minute})
		source <- Work{Run: lasting(time.Hour), Hooks: Hooks{Pause: nothing}}
		r.Pause()
		time.Sleep(10 * time.Minute)
		require.False(t, r.Workers()[0].Stuck)
		r.Resume()
		synctest.Wait()
		require.True(t, r.Workers()[0].Stuck)
		require.NoError(t, r.ended())
	})
}

// Paused work that is told to leave is watched from then on.
func TestShrunkWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2, StuckAfter: time.Minute})
		for range 2 {
			source <- Work{Run: deaf(time.Hour), Hooks: Hooks{Pause: nothing, Stop: nothing}}
		}
		r.Pause()
		time.Sleep(10*time.Minute + time.Second)
		r.resize(1)
		synctest.Wait()
		require.Equal(t, []bool{false, true}, []bool{r.Workers()[0].Stuck, r.Workers()[1].Stuck})
		require.NoError(t, r.ended())
	})
}

func TestID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := make(chan int, 2)
		note := func(ctx context.Context) {
			id, ok := ID(ctx)
			require.True(t, ok)
			ids <- id
		}
		var taken atomic.Int32
		source := SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
			if taken.Add(1) > 2 {
				return Work{}, ErrNoWork
			}
			note(ctx)
			return Work{Run: func(ctx context.Context) error { note(ctx); return nil }}, nil
		})
		r := run(t, source, Config{Workers: 1})
		require.Equal(t, 1, <-ids)
		require.Equal(t, 1, <-ids)
		require.NoError(t, r.ended())
		_, ok := ID(t.Context())
		require.False(t, ok)
	})
}
