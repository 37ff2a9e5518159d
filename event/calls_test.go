package event_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

func TestCalls(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		eventtest.TestCalls(t, func(*testing.T) (events, replies event.Log) { return eventtest.NewLog(0), eventtest.NewLog(0) })
	})
	for name, strategy := range map[string]event.Strategy{"capped": event.Capped, "polling": event.Polling} {
		t.Run(name, func(t *testing.T) {
			eventtest.TestCalls(t, func(t *testing.T) (events, replies event.Log) {
				db := teststore.Database(t)
				cfg := event.LogConfig{Strategy: strategy, PollInterval: 20 * time.Millisecond}
				events, err := event.OpenLog(t.Context(), db, "events", cfg)
				require.NoError(t, err)
				replies, err = event.OpenLog(t.Context(), db, "replies", cfg)
				require.NoError(t, err)
				if strategy == event.Polling {
					events = polled{events, db}
				}
				return events, replies
			})
		})
	}
}

// tied is a fleet of one server whose action goes on until it is told why not.
func tied(f *fleet) (ended chan error) {
	ended = make(chan error, 1)
	f.server("a", &recorder{do: func(ctx context.Context, _ parameters) (string, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return "", nil
	}})
	return ended
}

func TestLeaseIsRenewedForAsLongAsTheCallGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		ended := tied(f)
		start := time.Now()
		var sum event.Summary
		for range f.bus(event.Config{}).Call(t.Context(), numbered(1), event.Wait(10*time.Minute), event.Lease(), event.Summarize(&sum)) {
		}
		require.Equal(t, 1, sum.Missing)
		synctest.Wait()
		require.ErrorIs(t, <-ended, event.ErrCallerGone)
		require.Equal(t, 10*time.Minute, time.Since(start), "ended by the caller, not by its silence")
	})
}

func TestLeaseRunsOutWhenTheCallerHasDied(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		ended := tied(f)
		e := numbered(1)
		e.Reply, e.Lease = true, 15*time.Second // as Call publishes it; nobody renews it
		publish(t, f.bus(event.Config{}), e)
		start := time.Now()
		require.ErrorIs(t, <-ended, event.ErrCallerGone)
		require.Equal(t, 15*time.Second, time.Since(start))
	})
}

func TestLeaseRunsOutBeforeTheAction(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		first := make(chan struct{})
		f.server("a", &recorder{do: func(context.Context, parameters) (string, error) { <-first; return "", nil }})
		caller := f.bus(event.Config{})
		publish(t, caller, numbered(1)) // holds up the next
		for r, err := range caller.Call(t.Context(), numbered(2), event.Lease()) {
			require.NoError(t, err)
			require.Equal(t, event.Ack, r.Kind)
			break
		}
		synctest.Wait()
		close(first)
		synctest.Wait()
		c := &collector{}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		require.NoError(t, f.replies.Read(ctx, event.Earliest(), c))
		require.Equal(t, []event.ReplyKind{event.Ack, event.Refused}, c.kinds)
	})
}

// counted counts the readers of a log.
type counted struct {
	event.Log
	now, ever atomic.Int32
}

func (c *counted) Read(ctx context.Context, from event.Position, r event.Reader) error {
	c.ever.Add(1)
	c.now.Add(1)
	defer c.now.Add(-1)
	return c.Log.Read(ctx, from, r)
}

func TestRepliesAreReadOnceForManyCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		replies := &counted{Log: f.replies}
		b := event.NewBus(f.events, replies, event.Config{Directory: f})
		call := func() {
			for _, err := range b.Call(t.Context(), numbered(1)) {
				require.NoError(t, err)
			}
			synctest.Wait()
		}
		call()
		require.Zero(t, replies.now.Load(), "without Run nothing is left behind")

		stop := f.run(b)
		call()
		call()
		require.EqualValues(t, 1, replies.now.Load())
		require.EqualValues(t, 2, replies.ever.Load())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, replies.now.Load(), "nobody has called for a minute")
		call()
		require.NoError(t, stop())
		require.Zero(t, replies.now.Load(), "Run has ended")
	})
}
