package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/worker"
)

// play takes that many units and runs each; it returns how long each took, and
// its outcome.
func play(t *testing.T, source worker.Source, n int) (units []worker.Work, took []time.Duration, outcomes []error) {
	t.Helper()
	for range n {
		unit, err := source.Take(t.Context(), worker.Filter{})
		require.NoError(t, err)
		begun := time.Now()
		outcomes = append(outcomes, unit.Run(t.Context()))
		took = append(took, time.Since(begun))
		units = append(units, unit)
	}
	return units, took, outcomes
}

func TestUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		units, took, outcomes := play(t, Source(Config{Seed: 7}), 300)
		kinds := map[string]int{}
		for i, unit := range units {
			require.NoError(t, outcomes[i])
			require.Equal(t, fmt.Sprint(i+1), unit.ID)
			require.Equal(t, fmt.Sprintf("simulated %s %d, %.1f s", unit.Kind, i+1, took[i].Seconds()), unit.Description)
			kinds[unit.Kind]++
		}
		require.Len(t, kinds, 5)
		require.GreaterOrEqual(t, slices.Min(took), 500*time.Millisecond)
		require.LessOrEqual(t, slices.Max(took), 4*time.Second)
		require.Less(t, slices.Min(took), time.Second)
		require.Greater(t, slices.Max(took), 3500*time.Millisecond)
	})
}

func TestSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, first, _ := play(t, Source(Config{Seed: 7}), 10)
		_, same, _ := play(t, Source(Config{Seed: 7}), 10)
		_, other, _ := play(t, Source(Config{Seed: 8}), 10)
		require.Equal(t, first, same)
		require.NotEqual(t, first, other)
	})
}

func TestBounds(t *testing.T) {
	for name, test := range map[string]struct {
		cfg               Config
		shortest, longest time.Duration
	}{
		"both":             {Config{Shortest: time.Second, Longest: 2 * time.Second}, time.Second, 2 * time.Second},
		"fixed":            {Config{Shortest: time.Second, Longest: time.Second}, time.Second, time.Second},
		"longest is short": {Config{Longest: time.Millisecond}, time.Millisecond, time.Millisecond},
		"shortest is long": {Config{Shortest: time.Minute}, time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, took, _ := play(t, Source(test.cfg), 50)
				require.GreaterOrEqual(t, slices.Min(took), test.shortest)
				require.LessOrEqual(t, slices.Max(took), test.longest)
			})
		})
	}
}

func TestFailEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, outcomes := play(t, Source(Config{FailEvery: 3}), 9)
		for i, err := range outcomes {
			require.Equal(t, (i+1)%3 == 0, errors.Is(err, ErrSimulated), "unit %d: %v", i+1, err)
		}
	})
}

func TestFilter(t *testing.T) {
	source := Source(Config{Kinds: []string{"import", "export"}})
	for range 20 {
		unit, err := source.Take(t.Context(), worker.Filter{Exclude: []string{"im*"}})
		require.NoError(t, err)
		require.Equal(t, "export", unit.Kind)
	}
	_, err := source.Take(t.Context(), worker.Filter{Include: []string{"other"}})
	require.ErrorIs(t, err, worker.ErrNoWork)
}

func TestEndOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := Source(Config{})
		unit, err := source.Take(t.Context(), worker.Filter{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(worker.ErrKilled)
		begun := time.Now()
		require.ErrorIs(t, unit.Run(ctx), worker.ErrKilled)
		require.Zero(t, time.Since(begun))

		_, err = source.Take(ctx, worker.Filter{})
		require.ErrorIs(t, err, context.Canceled)
		next, err := source.Take(t.Context(), worker.Filter{})
		require.NoError(t, err)
		require.Equal(t, "2", next.ID, "no number is lost")
	})
}

func TestInAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := worker.New(Source(Config{FailEvery: 5}), worker.Config{Workers: 4})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- pool.Run(t.Context()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, w := range pool.Workers() {
			require.Equal(t, worker.Busy, w.State)
		}
		pool.Kill(time.Second)
		require.NoError(t, <-done)
	})
}

func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := Source(Config{HangEvery: 3})
		for number := 1; number <= 6; number++ {
			unit, err := work.Take(t.Context(), worker.Filter{})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			ended := false
			go func() { _ = unit.Run(ctx); ended = true }()
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Equal(t, number%3 != 0, ended)
			cancel()
		}
		close(work.(*source).never)
	})
}
