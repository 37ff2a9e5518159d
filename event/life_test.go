package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// said collects what is said on a topic, as words.
type said[T any] struct {
	mu    sync.Mutex
	words []string
	ended bool
}

func onTopic[T any](t *testing.T, topic *event.Topic[T], say func(T) string) *said[T] {
	h := &said[T]{}
	messages, end := topic.Subscribe()
	t.Cleanup(end)
	go func() {
		for m := range messages {
			h.mu.Lock()
			h.words = append(h.words, say(m.Payload))
			h.mu.Unlock()
		}
		h.mu.Lock()
		h.ended = true
		h.mu.Unlock()
	}()
	return h
}

// since returns what was said since the last time.
func (h *said[T]) since() (words []string) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	words, h.words = h.words, nil
	return words
}

func (h *said[T]) isOver() bool {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

func sayEvent(n event.Notice) string {
	s := fmt.Sprint(n.Stage, " ", n.Event.Action)
	if n.Subscriber != "" {
		s += " by " + n.Subscriber + "." + n.Action
	}
	if n.Durable != "" {
		s += " durable " + n.Durable
	}
	if n.Kind != "" {
		s += " " + string(n.Kind)
	}
	if n.Called {
		s += " called"
	}
	if n.Took > 0 {
		s += " " + n.Took.String()
	}
	if n.Err != nil {
		s += ": " + n.Err.Error()
	}
	return s
}

func ask(t *testing.T, b *event.Bus, e event.Event) event.Summary {
	var sum event.Summary
	for _, err := range b.Call(t.Context(), e, event.Summarize(&sum)) {
		require.NoError(t, err)
	}
	return sum
}

// TestLifeOfEvents: every moment once, in order, and Observe sees the same.
func TestLifeOfEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		var observed []string
		var mu sync.Mutex
		r := &recorder{do: func(_ context.Context, p parameters) (string, error) {
			switch time.Sleep(time.Second); p.N {
			case 2:
				return "", errors.New("disk full")
			case 3:
				return "", event.Refuse("not today")
			}
			return "", nil
		}}
		cfg := event.Config{Identity: event.Identity{Name: "a"}, Observe: func(n event.Notice) {
			mu.Lock()
			defer mu.Unlock()
			observed = append(observed, sayEvent(n))
		}}
		b := f.bus(cfg)
		_, err := b.Subscribe(r)
		require.NoError(t, err)
		h := onTopic(t, b.Topics().Events, sayEvent)
		stop := f.run(b)
		id := b.Identity()
		f.members = append(f.members, event.Member{ServerID: id.ServerID, Name: id.Name, Actions: b.Actions()})
		caller := f.bus(event.Config{})
		var all []string
		expect := func(words ...string) {
			t.Helper()
			require.Equal(t, words, h.since())
			all = append(all, words...)
		}

		publish(t, caller, numbered(1)) // nobody asks for an answer
		time.Sleep(time.Second)
		expect("received record", "dispatched record by example.record", "handled record by example.record done called 1s")

		require.Equal(t, 1, ask(t, caller, numbered(2)).Failed)
		expect("received record", "dispatched record by example.record",
			"handled record by example.record failed called 1s: disk full", "answered record failed 1s: disk full")

		require.Equal(t, 1, ask(t, caller, numbered(3)).Refused)
		expect("received record", "dispatched record by example.record",
			"handled record by example.record refused called 1s: not today", "answered record refused 1s: not today")

		late := event.New("example", "soon", nil, event.Expires(time.Now().Add(-time.Minute)))
		require.Equal(t, 1, ask(t, caller, late).Refused)
		words := h.since()
		require.Len(t, words, 4)
		require.Regexp(t, `^handled soon by example\.soon refused: expired 1m`, words[2])
		require.Regexp(t, `^answered soon refused: expired`, words[3])
		all = append(all, words...)

		f.members[0].Actions = nil // the caller does not know
		require.Equal(t, 1, ask(t, caller, event.New("example", "recrod", nil)).Refused)
		expect("received recrod", `answered recrod refused: unknown action of subscriber "example": "recrod"; did you mean "record"? (known: aside, nothing, record, soon)`)

		publish(t, caller, event.New("other", "record", nil), // for nobody here
			event.New("example", "record", nil, event.To(event.Target{Names: []string{"b"}})))
		expect()

		require.NoError(t, stop())
		require.True(t, h.isOver(), "the topics are closed when Run returns")
		require.Equal(t, all, observed)
	})
}

func TestLifeOfEventsWithSeveralSubscribers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		b := f.server("a", &recorder{}, &recorder{}, &everything{})
		h := onTopic(t, b.Topics().Events, sayEvent)
		require.Equal(t, 1, ask(t, f.bus(event.Config{}), numbered(1)).Done)
		words := h.since()
		require.ElementsMatch(t, []string{
			"received record",
			"dispatched record by example.record", "handled record by example.record done called",
			"dispatched record by example.record", "handled record by example.record done called",
			"answered record done",
			"dispatched record by *.*", "handled record by *.* done called",
		}, words)
		require.Equal(t, "received record", words[0])
	})
}

func TestLifeOfMergedEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		b := f.server("a", &deploys{})
		h := onTopic(t, b.Topics().Events, sayEvent)
		first, last := user("event", "deploy", 1, event.Coalesced()), user("event", "deploy", 2, event.Coalesced())
		publish(t, b, first, last)
		require.Equal(t, []string{"received event", "received event", "handled event by user.event done"}, h.since(), "superseded")
		time.Sleep(time.Second)
		require.Equal(t, []string{"dispatched event by user.event", "handled event by user.event done called"}, h.since())
	})
}

func TestLifeOfLostEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		hold := make(chan struct{})
		r := &recorder{do: func(context.Context, parameters) (string, error) { <-hold; return "", nil }}
		b := f.serverWith(event.Config{Queue: 1}, r)
		publish(t, b, numbered(1))
		h := onTopic(t, b.Topics().Events, sayEvent)
		gaps := onTopic(t, b.Topics().Gaps, func(n event.GapNotice) string { return n.Subscriber + ": " + n.Reason })
		publish(t, b, numbered(2), numbered(3), numbered(4))
		const lost = `handled record by example.record failed: overrun: 1 events wait for subscriber "example" already`
		require.Equal(t, []string{"received record", "dispatched record by example.record", "received record", lost, "received record", lost}, h.since())
		require.Empty(t, gaps.since())
		close(hold)
		require.Len(t, h.since(), 2)
		require.Equal(t, []string{`example: overrun: 1 events wait for subscriber "example" already`}, gaps.since(), "when the subscriber is told")
	})
}

func TestLifeOfDurableEventsAndGaps(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.events = eventtest.NewLog(4000)
		b := f.bus(event.Config{Positions: &memory{}})
		_, err := b.Subscribe(&recorder{}, event.Durable("keeper", event.Latest()))
		require.NoError(t, err)
		h := onTopic(t, b.Topics().Events, sayEvent)
		gaps := onTopic(t, b.Topics().Gaps, func(n event.GapNotice) string { return n.Subscriber + "," + n.Durable + ": " + n.Reason })
		stop := f.run(b)
		publish(t, b, numbered(1))
		require.ElementsMatch(t, []string{
			"received record", "received record durable keeper", "dispatched record by example.record durable keeper",
			"handled record by example.record durable keeper done called",
		}, h.since())
		many := make([]event.Event, 100) // more than the log holds, at once
		for i := range many {
			many[i] = event.New("other", "record", bson.M{"pad": "................................"})
		}
		publish(t, b, many...)
		require.ElementsMatch(t, []string{",: the log rolled over", "example,keeper: the log rolled over"}, gaps.since())
		require.NoError(t, stop())
		require.True(t, gaps.isOver())
	})
}

// TestSubscriberOfTheLifeThatNeverReads holds nobody up, and is told what it missed.
func TestSubscriberOfTheLifeThatNeverReads(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		b := f.bus(event.Config{})
		_, err := b.Subscribe(r)
		require.NoError(t, err)
		never, end := b.Topics().Events.Subscribe()
		defer end()
		_, endGaps := b.Topics().Gaps.Subscribe()
		defer endGaps()
		stop := f.run(b)
		const batches, batch = 20, 100
		start := time.Now()
		for range batches {
			events := make([]event.Event, batch)
			for i := range events {
				events[i] = numbered(i)
			}
			publish(t, b, events...)
		}
		require.Len(t, r.numbers(), batches*batch)
		require.Zero(t, time.Since(start))
		require.NoError(t, stop())

		got, missed := 0, 0
		var last event.Message[event.Notice]
		for m := range never { // what waits is there after Run as well
			got++
			missed += m.Missed
			last = m
		}
		require.Equal(t, 1+event.TopicBacklog, got)
		require.Equal(t, 3*batches*batch, got+missed, "received, dispatched and handled of each")
		require.Equal(t, event.Handled, last.Payload.Stage)
	})
}

// What a bus tells costs nothing when nobody listens.
func TestUnwatchedBusTellsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		b := f.server("a", &recorder{})
		publish(t, b, numbered(1))
		messages, end := b.Topics().Events.Subscribe()
		defer end()
		publish(t, b, numbered(2))
		require.EqualValues(t, 1, (<-messages).Number, "what nobody was subscribed to is not numbered")
	})
}

// The stages of each event are told in their order, whichever goroutine tells them.
func TestLifeOfManyEventsInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		var mu sync.Mutex
		stages := map[bson.ObjectID][]event.Stage{}
		b := f.serverWith(event.Config{Observe: func(n event.Notice) {
			mu.Lock()
			defer mu.Unlock()
			stages[n.Event.ID] = append(stages[n.Event.ID], n.Stage)
		}}, &recorder{})
		for range 500 {
			publish(t, b, numbered(1), numbered(2), numbered(3), numbered(4))
		}
		require.Len(t, stages, 2000)
		for _, s := range stages {
			require.Equal(t, []event.Stage{event.Received, event.Dispatched, event.Handled}, s)
		}
	})
}
