package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPollInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		source := SourceFunc(func(context.Context, Filter) (Work, error) {
			asked.Add(1)
			return Work{}, ErrNoWork
		})
		r := run(t, source, Config{Workers: 1})
		time.Sleep(4 * defaultPollInterval)
		synctest.Wait()
		require.EqualValues(t, 5, asked.Load())
		r.requireStates(map[int]State{1: Idle})

		r.Pause()
		r.requireStates(map[int]State{1: Paused})
		time.Sleep(time.Hour)
		require.EqualValues(t, 5, asked.Load())
		r.Resume() // asks at once
		synctest.Wait()
		require.EqualValues(t, 6, asked.Load())
		require.NoError(t, r.ended())
	})
}

func TestSourceFailures(t *testing.T) {
	for name, fail := range map[string]func() (Work, error){
		"error":           func() (Work, error) { return Work{}, errSource },
		"foreign context": func() (Work, error) { return Work{}, context.DeadlineExceeded },
		"panic":           func() (Work, error) { panic("source broke") },
		"no run":          func() (Work, error) { return Work{ID: "1"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []time.Time
				source := SourceFunc(func(context.Context, Filter) (Work, error) {
					asked = append(asked, time.Now())
					return fail()
				})
				r := run(t, source, Config{Workers: 1})
				time.Sleep(10 * time.Minute)
				r.requireStates(map[int]State{1: Idle})
				requireBackoff(t, asked)
				require.NoError(t, r.ended())
			})
		})
	}
}

func requireBackoff(t *testing.T, asked []time.Time) {
	t.Helper()
	require.Greater(t, len(asked), 20)
	require.Less(t, len(asked), 60)
	require.LessOrEqual(t, asked[1].Sub(asked[0]), backoffFirst)
	for i := range asked[1:] {
		delay := asked[i+1].Sub(asked[i])
		require.Greater(t, delay, backoffFirst/2-1)
		require.LessOrEqual(t, delay, backoffMost)
		if i > 10 {
			require.Greater(t, delay, backoffMost/2-1)
		}
	}
}

func TestBackoffEndsWithSuccess(t *testing.T) {
	for name, success := range map[string]func() (Work, error){
		"unit":    func() (Work, error) { return unit(1, deaf(0)), nil },
		"no work": func() (Work, error) { return Work{}, ErrNoWork },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []time.Time
				source := SourceFunc(func(context.Context, Filter) (Work, error) {
					asked = append(asked, time.Now())
					if len(asked) == 20 {
						return success()
					}
					return Work{}, errSource
				})
				r := run(t, source, Config{Workers: 1, PollInterval: time.Second})
				time.Sleep(10 * time.Minute)
				r.Pause()
				synctest.Wait()
				failed := 20 // the next Take fails again
				require.Greater(t, asked[19].Sub(asked[18]), backoffMost/2-1)
				require.LessOrEqual(t, asked[failed+1].Sub(asked[failed]), backoffFirst)
				require.NoError(t, r.ended())
			})
		})
	}
}

// A Take's context ends with it, lest contexts pile up.
func TestContextOfTakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var contexts []context.Context
		source := SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
			for _, earlier := range contexts {
				require.Error(t, earlier.Err())
			}
			require.NoError(t, ctx.Err())
			contexts = append(contexts, ctx)
			return Work{}, ErrNoWork
		})
		r := run(t, source, Config{Workers: 1})
		time.Sleep(time.Minute)
		require.NoError(t, r.ended())
		require.Greater(t, len(contexts), 5)
	})
}

func TestFilterReachesTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := Filter{Include: []string{"im*"}, Where: map[string]any{"customer": 7}}
		source := SourceFunc(func(_ context.Context, f Filter) (Work, error) {
			require.Equal(t, want, f)
			return Work{}, ErrNoWork
		})
		r := run(t, source, Config{Workers: 1, Filter: want})
		require.NoError(t, r.ended())
	})
}
