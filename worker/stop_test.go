package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEndOfPool ends a pool that has one idle worker and one that is busy.
func TestEndOfPool(t *testing.T) {
	errGone := errors.New("the machine goes away")
	const minute = time.Minute
	for name, test := range map[string]struct {
		work      func(context.Context) error
		end       func(*running)
		after     time.Duration // when Run returns
		outcome   error         // of the work
		abandoned bool
	}{
		"stop waits for ever": {lasting(30 * minute), func(r *running) { r.Stop(0) }, 30 * minute, nil, false},
		"stop in time":        {lasting(minute), func(r *running) { r.Stop(2 * minute) }, minute, nil, false},
		"stop out of time":    {lasting(30 * minute), func(r *running) { r.Stop(minute) }, minute, ErrStopTimeout, false},
		"stop of deaf work, within grace": {deaf(minute + 2*time.Second), func(r *running) { r.Stop(minute) },
			minute + 2*time.Second, nil, false},
		"stop of deaf work": {deaf(30 * minute), func(r *running) { r.Stop(minute) },
			minute + defaultGrace, nil, true},
		"a shorter stop hurries": {lasting(30 * minute), func(r *running) { r.Stop(0); r.Stop(10 * minute); r.Stop(minute) },
			minute, ErrStopTimeout, false},
		"a longer stop does not delay": {lasting(30 * minute), func(r *running) { r.Stop(minute); r.Stop(0); r.Stop(10 * minute) },
			minute, ErrStopTimeout, false},
		"kill":         {lasting(30 * minute), func(r *running) { r.Kill(minute) }, 0, ErrKilled, false},
		"kill at once": {lasting(30 * minute), func(r *running) { r.Kill(0) }, 0, ErrKilled, false},
		"kill at once of slow work": {func(ctx context.Context) error { <-ctx.Done(); time.Sleep(leastWait / 2); return nil },
			func(r *running) { r.Kill(0) }, leastWait / 2, nil, false},
		"kill hurries a stop": {lasting(30 * minute), func(r *running) { r.Stop(0); time.Sleep(time.Second); r.Kill(minute) },
			time.Second, ErrKilled, false},
		"kill of deaf work": {deaf(30 * minute), func(r *running) { r.Kill(3 * time.Second) }, 3 * time.Second, nil, true},
		"a shorter kill hurries": {deaf(30 * minute), func(r *running) { r.Kill(minute); r.Kill(time.Second) },
			time.Second, nil, true},
		"a longer kill or stop does not delay": {deaf(30 * minute), func(r *running) { r.Kill(time.Second); r.Kill(minute); r.Stop(minute) },
			time.Second, nil, true},
		"kill during the grace of a stop": {deaf(30 * minute),
			func(r *running) { r.Stop(time.Second); time.Sleep(2 * time.Second); r.Kill(time.Second) },
			3 * time.Second, nil, true},
		"end of context":                    {lasting(30 * minute), func(r *running) { r.cancel(errGone) }, 0, errGone, false},
		"end of context, deaf work":         {deaf(30 * minute), func(r *running) { r.cancel(errGone) }, defaultGrace, nil, true},
		"end of context while it stops":     {lasting(30 * minute), func(r *running) { r.Stop(0); r.cancel(errGone) }, 0, errGone, false},
		"stop of a paused pool":             {lasting(minute), func(r *running) { r.Pause(); r.Stop(0) }, minute, nil, false},
		"stop of a quiet pool":              {lasting(minute), func(r *running) { r.Quiet(); r.Stop(0) }, minute, nil, false},
		"pausing a stopping pool is futile": {lasting(minute), func(r *running) { r.Stop(0); r.Pause() }, minute, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := make(feed)
				var told outcomes
				r := run(t, source, Config{Workers: 2})
				source <- Work{ID: "1", Kind: "import", Run: test.work, Report: told.report}
				synctest.Wait()

				begun := time.Now()
				test.end(r)
				err := r.result()
				require.Equal(t, test.after, time.Since(begun))
				if test.abandoned {
					requireAbandoned(t, err, r)
					time.Sleep(time.Hour)
					synctest.Wait()
				} else {
					require.NoError(t, err)
				}
				require.ErrorIs(t, told.once(t), test.outcome)
				require.Empty(t, r.Workers())
			})
		})
	}
}

func requireAbandoned(t *testing.T, err error, r *running) {
	t.Helper()
	var abandoned *AbandonedError
	require.ErrorAs(t, err, &abandoned)
	require.ErrorContains(t, err, "import 1")
	require.Len(t, abandoned.Workers, 1)
	require.Equal(t, r.Workers(), abandoned.Workers)
	require.Equal(t, Abandoned, abandoned.Workers[0].State)
	require.Contains(t, abandoned.Workers[0].Stack, "deaf")
}

func TestStopReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2})
		source <- unit(1, lasting(time.Minute))
		begun := time.Now()
		r.Stop(0)
		require.Zero(t, time.Since(begun))
		synctest.Wait()
		workers := r.Workers() // the idle one is gone
		require.Len(t, workers, 1)
		require.Equal(t, Stopping, workers[0].State)
		require.Equal(t, "1", workers[0].WorkID)
		require.NoError(t, r.result())
	})
}

// A unit that Take hands out after the kill is run, with an ended context.
func TestUnitTakenDuringKillIsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told outcomes
		source := SourceFunc(func(context.Context, Filter) (Work, error) {
			time.Sleep(time.Minute) // ignores its context
			return Work{Run: lasting(time.Hour), Report: told.report}, nil
		})
		r := run(t, source, Config{Workers: 1})
		r.Kill(time.Second)
		require.ErrorAs(t, r.result(), new(*AbandonedError))
		r.requireStates(map[int]State{1: Abandoned})
		require.Contains(t, r.Workers()[0].Stack, "TestUnitTakenDuringKillIsRun")
		time.Sleep(time.Minute)
		r.requireStates(map[int]State{})
		require.ErrorIs(t, told.once(t), ErrKilled)
	})
}
