package event

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// silent is an ask that the first n connections never answer.
func silent(n int64, answer error) (ask func(context.Context) error, asked *atomic.Int64) {
	asked = &atomic.Int64{}
	return func(ctx context.Context) error {
		if asked.Add(1) <= n {
			<-ctx.Done()
			return ctx.Err()
		}
		return answer
	}, asked
}

func TestHedge(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		silent int64
		answer error
		asked  int64
		took   time.Duration
		want   error
	}{
		"the first answers":   {0, nil, 1, 0, nil},
		"a dozen are silent":  {12, nil, 13, 12 * hedgeInterval, nil},
		"an error is enough":  {1, broken, 2, hedgeInterval, broken},
		"none answers at all": {1000, nil, 20, answerTime, context.DeadlineExceeded}, // the last question may or may not come in time
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ask, asked := silent(test.silent, test.answer)
				start := time.Now()
				require.ErrorIs(t, hedge(t.Context(), ask), test.want)
				require.Equal(t, test.took, time.Since(start))
				require.InDelta(t, test.asked, asked.Load(), float64(test.took/answerTime))
			})
		})
	}
}
