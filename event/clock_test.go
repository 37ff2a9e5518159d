package event_test

import (
	"context"
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

// slowpoke is a subscriber whose actions take 90 s and must begin within 60.
type slowpoke struct {
	mu  sync.Mutex
	did []bson.ObjectID
}

func (*slowpoke) Name() string { return "slowpoke" }

func (s *slowpoke) Actions() []event.Action {
	return []event.Action{event.On("do", s.do, event.ExpiresAfter(time.Minute))}
}

func (s *slowpoke) do(ctx context.Context, _ event.None) error {
	e, _ := event.FromContext(ctx)
	s.mu.Lock()
	s.did = append(s.did, e.ID)
	s.mu.Unlock()
	time.Sleep(90 * time.Second)
	return nil
}

// TestClocksAreOff sets the clocks of publisher and server an hour off, both
// ways. What was published before the server started is never acted on, what is
// fresh is, and what is late is refused: by the store's clock alone.
func TestClocksAreOff(t *testing.T) {
	for _, server := range []time.Duration{-time.Hour, 0, time.Hour} {
		for _, publisher := range []time.Duration{-time.Hour, 0, time.Hour} {
			t.Run(fmt.Sprintf("server %s, publisher %s", server, publisher), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { clocksAreOff(t, server, publisher) })
			})
		}
	}
}

func clocksAreOff(t *testing.T, server, publisher time.Duration) {
	events, replies := eventtest.NewLog(0), eventtest.NewLog(0)
	events.Skew(-server) // the store's clock is right, so the process's is off by server
	replies.Skew(-server)
	console := event.NewBus(events, replies, event.Config{})
	publish := func() bson.ObjectID {
		e := event.New("slowpoke", "do", nil)
		e.ID = bson.NewObjectIDFromTimestamp(time.Now().Add(publisher - server))
		e.Reply = true
		id, err := console.Publish(t.Context(), e)
		require.NoError(t, err)
		return id
	}
	publish()
	subscriber := &slowpoke{}
	bus := event.NewBus(events, replies, event.Config{})
	_, err := bus.Subscribe(subscriber)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	<-bus.Listening()
	first, second := publish(), publish()
	time.Sleep(5 * time.Minute)
	third := publish()
	time.Sleep(5 * time.Minute)
	stop()
	require.NoError(t, <-done) // after this, nobody writes to subscriber
	require.Equal(t, []bson.ObjectID{first, third}, subscriber.did)
	require.Equal(t, map[bson.ObjectID]event.ReplyKind{first: event.Done, second: event.Refused, third: event.Done},
		finals(t, replies))
}

// finals returns the kind of the final reply to each event.
func finals(t *testing.T, replies event.Log) map[bson.ObjectID]event.ReplyKind {
	r := &replyReader{t: t, kinds: map[bson.ObjectID]event.ReplyKind{}}
	ctx, cancel := context.WithCancel(t.Context())
	r.caughtUp = cancel
	require.NoError(t, replies.Read(ctx, event.Earliest(), r))
	return r.kinds
}

type replyReader struct {
	t        *testing.T
	kinds    map[bson.ObjectID]event.ReplyKind
	caughtUp func()
}

func (r *replyReader) Entry(raw bson.Raw, _ event.Position) {
	reply, err := event.DecodeReply(raw)
	require.NoError(r.t, err)
	if reply.Kind.Final() {
		r.kinds[reply.EventID] = reply.Kind
	}
}

func (r *replyReader) Gap(event.Gap) {}

func (r *replyReader) State(s event.State, _ event.Position, _ error) {
	if s == event.StateListening {
		r.caughtUp()
	}
}
