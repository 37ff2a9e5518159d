package event_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// deploys is a subscriber "user" whose action is told apart by the parameter name.
type deploys struct{ recorder }

func (d *deploys) Name() string { return "user" }
func (d *deploys) Actions() []event.Action {
	return []event.Action{
		event.OnResult("event", d.record, event.CoalesceBy("text")),
		event.OnResult("other", d.record),
	}
}

func user(action, text string, n int, opts ...event.Option) event.Event {
	return event.New("user", action, bson.M{"n": n, "text": text}, opts...)
}

func TestCoalescing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		a, b := &deploys{}, &deploys{}
		f.server("a", a)
		f.server("b", b)
		p := f.bus(event.Config{})

		// Merged until a second was quiet; another name and another action are not.
		publish(t, p, user("event", "deploy", 1, event.Coalesced()), user("event", "restart", 2, event.Coalesced()), user("other", "deploy", 3, event.Coalesced()))
		time.Sleep(900 * time.Millisecond)
		publish(t, p, user("event", "deploy", 4, event.Coalesced()))
		require.Empty(t, a.numbers())
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		require.ElementsMatch(t, []int{2, 3}, a.numbers())
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 4, a.numbers()[2], "the last one of the name")
		require.ElementsMatch(t, a.numbers(), b.numbers())

		// One without the flag passes at once, and merges nothing.
		publish(t, p, user("event", "deploy", 5, event.Coalesced()))
		publish(t, p, user("event", "deploy", 6))
		require.Equal(t, []int{4, 6}, a.numbers()[2:])
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []int{4, 6, 5}, a.numbers()[2:])

		// Not for ever, though it is never quiet: 37 comes after 2,970 ms, 38 after
		// 3,080; none at the very moment when the three seconds end.
		for n := 10; n < 50; n++ {
			publish(t, p, user("event", "deploy", n, event.Coalesced()))
			time.Sleep(110 * time.Millisecond)
		}
		synctest.Wait()
		require.Equal(t, []int{37}, a.numbers()[5:], "after three seconds")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []int{37, 49}, a.numbers()[5:])
	})
}

func TestCoalescedCallersLearnWhatTookTheirPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		d := &deploys{}
		f.server("a", d, &deploys{}) // two that merge alike are one answer
		caller := f.bus(event.Config{})
		var order []event.Event
		results := make(chan [2]any, 3)
		for n := range 3 {
			e := user("event", "deploy", n, event.Coalesced())
			order = append(order, e)
			go func() {
				sum, err := caller.CallFunc(t.Context(), e, event.Callbacks{})
				require.NoError(t, err)
				require.Equal(t, 1, sum.Done)
				var by event.Superseded
				if n != 2 {
					require.NoError(t, sum.Servers[0].Reply.Result(&by))
				}
				results <- [2]any{e.ID, by.By}
			}()
			synctest.Wait()
		}
		require.Equal(t, [2]any{order[0].ID, order[1].ID}, <-results)
		require.Equal(t, [2]any{order[1].ID, order[2].ID}, <-results)
		require.Equal(t, [2]any{order[2].ID, bson.ObjectID{}}, <-results, "it has run")
		require.Equal(t, []int{2}, d.numbers())
	})
}

func TestShutdownFlushesWhatIsHeldBack(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		d := &deploys{}
		b := f.bus(event.Config{})
		sub, err := b.Subscribe(d)
		require.NoError(t, err)
		stop := f.run(b)
		publish(t, b, user("event", "deploy", 1, event.Coalesced()), user("event", "restart", 2, event.Coalesced()))
		start := time.Now()
		require.NoError(t, stop())
		require.Zero(t, time.Since(start))
		require.ElementsMatch(t, []int{1, 2}, d.numbers())
		sub.Close()
	})
}

func TestClosedSubscriberRefusesWhatIsHeldBack(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		d := &deploys{}
		b := f.bus(event.Config{})
		sub, err := b.Subscribe(d)
		require.NoError(t, err)
		f.run(b)
		f.members = []event.Member{{ServerID: b.Identity().ServerID}}
		var last event.Reply
		for r, err := range f.bus(event.Config{}).Call(t.Context(), user("event", "deploy", 1, event.Coalesced())) {
			require.NoError(t, err)
			if r.Kind == event.Ack {
				sub.Close()
			}
			last = r
		}
		require.Equal(t, event.Refused, last.Kind)
		require.Contains(t, last.Error, "closed")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, d.numbers())
	})
}

func TestCoalescingTimesAreConfigurable(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		d := &deploys{}
		f.serverWith(event.Config{CoalesceQuiet: 10 * time.Second, CoalesceMax: 12 * time.Second}, d)
		p := f.bus(event.Config{})
		publish(t, p, user("event", "deploy", 1, event.Coalesced()))
		time.Sleep(9 * time.Second)
		publish(t, p, user("event", "deploy", 2, event.Coalesced()))
		require.Empty(t, d.numbers())
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, []int{2}, d.numbers(), "after the longest time, in place of nineteen seconds")
		publish(t, p, user("event", "deploy", 3, event.Coalesced()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []int{2, 3}, d.numbers(), "after the quiet time")
	})
}

// BenchmarkCoalescedBurst is a burst of events that are merged into one call, on the
// whole way from the publisher.
func BenchmarkCoalescedBurst(b *testing.B) {
	const burst = 100_000
	for b.Loop() {
		events := eventtest.NewLog(0)
		bus := event.NewBus(events, eventtest.NewLog(0), event.Config{CoalesceQuiet: time.Hour, CoalesceMax: time.Hour})
		d := &deploys{}
		_, err := bus.Subscribe(d)
		require.NoError(b, err)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- bus.Run(ctx) }()
		<-bus.Listening()
		batch := make([]event.Event, 1000)
		for n := 0; n < burst; n += len(batch) {
			for i := range batch {
				batch[i] = user("event", "deploy", n+i, event.Coalesced())
			}
			_, err := bus.Publish(ctx, batch...)
			require.NoError(b, err)
		}
		for bus.Health().Received < burst {
			time.Sleep(time.Millisecond)
		}
		stop()
		require.NoError(b, <-done)
		require.Equal(b, []int{burst - 1}, d.numbers(), "one call, at the end")
	}
}
