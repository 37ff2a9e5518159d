package event_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

// memory is Positions that can fail.
type memory struct {
	mu     sync.Mutex
	stored map[string]event.Position
	saves  int
	fail   int // that many calls fail
}

func (m *memory) Load(_ context.Context, name string) (event.Position, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail--; m.fail >= 0 {
		return event.Position{}, false, errors.New("away")
	}
	pos, ok := m.stored[name]
	return pos, ok, nil
}

func (m *memory) Save(_ context.Context, name string, pos event.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail--; m.fail >= 0 {
		return errors.New("away")
	}
	if m.stored == nil {
		m.stored = map[string]event.Position{}
	}
	m.stored[name] = pos
	m.saves++
	return nil
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}

// durably runs one process with a durable subscription until stop.
func (f *fleet) durably(m *memory, r *recorder, start event.Position) (stop func() error) {
	b := f.bus(event.Config{Positions: m})
	_, err := b.Subscribe(r, event.Durable("test", start))
	require.NoError(f.t, err)
	stop = f.run(b)
	synctest.Wait()
	return stop
}

func TestDurableSubscriptionContinuesAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		publisher, m := f.bus(event.Config{}), &memory{fail: 3}
		publish(t, publisher, numbered(0))
		first := &recorder{}
		stop := f.durably(m, first, event.Latest())
		time.Sleep(time.Minute)
		publish(t, publisher, numbered(1), event.New("other", "record", nil), numbered(2))
		require.Equal(t, []int{1, 2}, first.numbers(), "from now on")
		require.NoError(t, stop())
		publish(t, publisher, numbered(3), numbered(4))

		second := &recorder{}
		stop = f.durably(m, second, event.Earliest())
		require.Equal(t, []int{3, 4}, second.numbers(), "what came meanwhile, nothing twice")
		publish(t, publisher, numbered(5))
		require.Equal(t, []int{3, 4, 5}, second.numbers())
		require.NoError(t, stop())
	})
}

// TestDurableSubscriptionMergesNothing: its position tells how far it has come, event
// by event.
func TestDurableSubscriptionMergesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		stop := f.durably(&memory{}, r, event.Latest())
		time.Sleep(time.Minute)
		publish(t, f.bus(event.Config{}), numbered(1, event.Coalesced()), numbered(2, event.Coalesced()), numbered(3))
		require.Equal(t, []int{1, 2, 3}, r.numbers(), "at once, in order")
		require.NoError(t, stop())
	})
}

func TestDurableSubscriptionStarts(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		publisher := f.bus(event.Config{})
		publish(t, publisher, numbered(0))
		time.Sleep(time.Hour)
		moment := time.Now()
		publish(t, publisher, numbered(1))
		for want, start := range map[int]event.Position{0: event.Earliest(), 1: event.At(moment)} {
			r := &recorder{}
			f.durably(&memory{}, r, start)
			require.Equal(t, upTo(want, 2), r.numbers())
		}
		_, err := event.NewBus(f.events, f.replies, event.Config{}).Subscribe(&recorder{}, event.Durable("x", event.Latest()))
		require.ErrorContains(t, err, "Config.Positions")
	})
}

func upTo(from, to int) (ns []int) {
	for n := from; n < to; n++ {
		ns = append(ns, n)
	}
	return ns
}

func TestDurableSubscriptionIsNotOverrun(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		m := &memory{}
		slow := &recorder{do: func(context.Context, parameters) (string, error) { time.Sleep(time.Second); return "", nil }}
		b := f.bus(event.Config{Positions: m, Queue: 1})
		_, err := b.Subscribe(slow, event.Durable("test", event.Earliest()))
		require.NoError(t, err)
		f.run(b)
		for n := range 50 {
			publish(t, b, numbered(n))
		}
		time.Sleep(time.Minute)
		require.Equal(t, upTo(0, 50), slow.numbers())
		require.Zero(t, b.Health().Overruns)
		saves := m.count()
		for range 100 { // events for others move the position at leisure
			publish(t, b, event.New("other", "record", nil))
		}
		time.Sleep(time.Minute)
		publish(t, b, event.New("other", "record", nil))
		require.LessOrEqual(t, m.count()-saves, 5)
	})
}

func TestDurableSubscriptionRepeatsWhatWasInterrupted(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		m, publisher := &memory{}, f.bus(event.Config{})
		publish(t, publisher, numbered(0), numbered(1))
		stop := f.durably(m, &recorder{do: func(ctx context.Context, p parameters) (string, error) {
			if p.N == 1 {
				<-ctx.Done()
			}
			return "", ctx.Err()
		}}, event.Earliest())
		require.NoError(t, stop())
		again := &recorder{do: func(context.Context, parameters) (string, error) { return "", errors.New("broken") }}
		stop = f.durably(m, again, event.Earliest())
		require.Equal(t, []int{1}, again.numbers())
		require.NoError(t, stop())
		third := &recorder{}
		f.durably(m, third, event.Earliest())
		require.Empty(t, third.numbers(), "a failure is an outcome, and not repeated")
	})
}

func TestDurableSubscriptionAnswersOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		b := f.bus(event.Config{Positions: &memory{}})
		sub, err := b.Subscribe(&recorder{}, event.Durable("test", event.Latest()))
		require.NoError(t, err)
		f.run(b)
		id := b.Identity()
		f.members = []event.Member{{ServerID: id.ServerID, Name: id.Name, Actions: b.Actions()}}
		var sum event.Summary
		var kinds []event.ReplyKind
		for r, err := range f.bus(event.Config{}).Call(t.Context(), numbered(1), event.Summarize(&sum)) {
			require.NoError(t, err)
			kinds = append(kinds, r.Kind)
		}
		require.Equal(t, []event.ReplyKind{event.Ack, event.Done}, kinds)
		sub.Close()
		publish(t, b, numbered(2))
	})
}

func TestDurableSubscriptionToldOfAGap(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.events = eventtest.NewLog(4 << 10)
		m, publisher := &memory{}, f.bus(event.Config{})
		stop := f.durably(m, &recorder{}, event.Latest())
		require.NoError(t, stop())
		for n := range 100 {
			publish(t, publisher, numbered(n))
		}
		r := &recorder{}
		f.durably(m, r, event.Latest())
		require.Len(t, r.gaps, 1)
		require.Equal(t, 99, r.numbers()[len(r.numbers())-1])
	})
}

// TestDurableSubscriptionOnADatabase keeps its position there.
func TestDurableSubscriptionOnADatabase(t *testing.T) {
	db := teststore.Database(t)
	seen := make(chan int, 100)
	life := func(events ...int) {
		bus, err := event.Open(t.Context(), db, event.Config{})
		require.NoError(t, err)
		r := &recorder{do: func(_ context.Context, p parameters) (string, error) { seen <- p.N; return "", nil }}
		_, err = bus.Subscribe(r, event.Durable("test", event.Earliest()))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- bus.Run(ctx) }()
		<-bus.Listening()
		for _, n := range events {
			require.Equal(t, n, <-seen)
		}
		cancel()
		require.NoError(t, <-done)
		require.Empty(t, seen)
	}
	publisher, err := event.Open(t.Context(), db, event.Config{})
	require.NoError(t, err)
	for n := range 6 {
		_, err := publisher.Publish(t.Context(), event.New("example", "record", bson.M{"n": n}))
		require.NoError(t, err)
		if n%2 == 1 {
			life(n-1, n)
		}
	}
}
