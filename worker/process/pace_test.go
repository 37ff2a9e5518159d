package process

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNextDelay(t *testing.T) {
	for _, test := range []struct{ delay, ran, want time.Duration }{
		{0, 0, firstDelay},
		{0, time.Hour, firstDelay},
		{firstDelay, 0, 2 * firstDelay},
		{firstDelay, quick - 1, 2 * firstDelay},
		{40 * time.Second, time.Second, mostDelay},
		{mostDelay, 0, mostDelay},
		{mostDelay, quick, mostDelay / 2},
		{mostDelay, 2 * quick, mostDelay / 4},
		{mostDelay, time.Hour, firstDelay},
	} {
		require.Equal(t, test.want, nextDelay(test.delay, test.ran), "%+v", test)
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		wait := func(worker int) time.Duration {
			begun := time.Now()
			require.NoError(t, p.wait(t.Context(), worker))
			return time.Since(begun)
		}
		require.Zero(t, wait(1), "the first starts at once")
		for delay := firstDelay; delay < mostDelay; delay *= 2 {
			p.ended(1, 0)
			require.Zero(t, wait(2), "another worker's copies have their own pace")
			require.InDelta(t, 0.75*float64(delay), float64(wait(1)), 0.25*float64(delay))
			require.Zero(t, wait(1))
		}
		p.ended(1, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.wait(ctx, 1), context.DeadlineExceeded)
		require.Greater(t, wait(1), mostDelay/4, "the delay goes on")

		time.Sleep(2 * mostDelay)
		p.ended(2, 0)
		require.Len(t, p.slots, 1, "who has left is forgotten")
	})
}
