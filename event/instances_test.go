package event_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
)

// cache is a subscriber that is made with arguments.
type cache struct {
	name    string
	cleared *[]string
	before  func()
}

func (c *cache) Name() string { return "cache" }

func (c *cache) Actions() []event.Action {
	return []event.Action{event.OnResult("clear", func(context.Context, event.None) (string, error) {
		if c.before != nil {
			c.before()
		}
		*c.cleared = append(*c.cleared, c.name)
		return c.name, nil
	})}
}

// TestSeveralInstances: what an instance needs it has from its constructor; each of
// them gets the event, and the server answers once for all.
func TestSeveralInstances(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		var people, orders []string
		f.server("a", &cache{name: "people", cleared: &people}, &cache{name: "orders", cleared: &orders})
		var sum event.Summary
		answers := 0
		for r, err := range f.bus(event.Config{}).Call(t.Context(), event.New("cache", "clear", nil), event.Summarize(&sum)) {
			require.NoError(t, err)
			if r.Kind.Final() {
				answers++
			}
		}
		require.Equal(t, 1, answers)
		var names []string
		require.NoError(t, sum.Servers[0].Reply.Result(&names))
		require.ElementsMatch(t, []string{"people", "orders"}, names)
		require.Equal(t, [][]string{{"people"}, {"orders"}}, [][]string{people, orders})
	})
}

// TestScopedSubscription: a subscription is there for as long as a function runs.
func TestScopedSubscription(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		b := f.server("a", &recorder{}) // somebody else
		r := &recorder{}
		scope := func() {
			sub, err := b.Subscribe(r)
			require.NoError(t, err)
			defer sub.Close()
			publish(t, b, numbered(1))
		}
		publish(t, b, numbered(0))
		scope()
		publish(t, b, numbered(2))
		require.Equal(t, []int{1}, r.numbers())
		scope()
		require.Equal(t, []int{1, 1}, r.numbers(), "and again")
	})
}

// TestUnsubscribeDuringDispatch: an action closes other subscriptions, to which later
// events have been handed already. These are answered all the same.
func TestUnsubscribeDuringDispatch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		var cleared []string
		others := make([][]string, 3)
		free, closed := make(chan struct{}), make(chan struct{})
		first := &cache{name: "first", cleared: &cleared, before: func() { <-free }}
		b := f.server("a", first)
		var subs []*event.Subscription
		for n := range others {
			sub, err := b.Subscribe(&cache{name: fmt.Sprint("other ", n), cleared: &others[n], before: func() { <-closed }})
			require.NoError(t, err)
			subs = append(subs, sub)
		}
		publish(t, b, event.New("cache", "clear", nil)) // all four are at it
		answer := make(chan event.Reply, 1)
		go func() {
			sum, err := f.bus(event.Config{}).CallFunc(t.Context(), event.New("cache", "clear", nil), event.Callbacks{})
			require.NoError(t, err)
			answer <- *sum.Servers[0].Reply
		}()
		synctest.Wait() // the second event is in their queues
		first.before = func() {
			for _, sub := range subs {
				sub.Close()
			}
			close(closed)
			first.before = nil
		}
		close(free)
		reply := <-answer
		require.Equal(t, event.Failed, reply.Kind, "it has not reached all whom it was for")
		require.Contains(t, reply.Error, "the subscriber has been closed")
		var result string
		require.NoError(t, reply.Result(&result))
		require.Equal(t, "first", result)

		publish(t, b, event.New("cache", "clear", nil))
		require.Equal(t, []string{"first", "first", "first"}, cleared, "the dispatch goes on")
		require.Equal(t, [][]string{{"other 0"}, {"other 1"}, {"other 2"}}, others, "what was running has ended")
	})
}
