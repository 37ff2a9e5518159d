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

	"github.com/fleetcast/fleetcast/event"
)

// publishing publishes in the background, and reports when that has returned.
func publishing(t *testing.T, topic *event.Topic[int], n int) (returned func() bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := topic.Publish(t.Context(), n); err != nil {
			t.Error(err)
		}
	}()
	return func() bool {
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

func TestTopicWithoutSubscribers(t *testing.T) {
	require.NoError(t, event.NewTopic[int]("n").Publish(t.Context(), 1))
	event.NewTopic[int]("n").Post(1)
}

func TestTopicHoldsThePublisherUntilAllHaveTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("numbers")
		a, endA := topic.Subscribe()
		b, endB := topic.SubscribePayloads()
		defer endA()
		defer endB()
		start := time.Now()
		returned := publishing(t, topic, 7)
		require.False(t, returned())
		m := <-a
		require.Equal(t, []any{"numbers", uint64(1), 7, start}, []any{m.Topic, m.Number, m.Payload, m.At})
		require.False(t, returned(), "b has not taken it")
		require.Equal(t, 7, <-b)
		require.True(t, returned())

		next := publishing(t, topic, 8)
		require.Equal(t, 8, <-b, "one does not wait for the other")
		require.False(t, next())
		require.EqualValues(t, 2, (<-a).Number)
		require.True(t, next())
	})
}

func TestTopicUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		a, endA := topic.Subscribe()
		b, endB := topic.Subscribe()
		first, second := publishing(t, topic, 1), publishing(t, topic, 2)
		require.False(t, first() || second())
		endA() // with messages that were not taken
		endA()
		_, open := <-a
		require.False(t, open)
		require.False(t, first() || second())
		<-b
		<-b
		require.True(t, first() && second(), "nobody waits for who has gone")
		endB()
		require.NoError(t, topic.Publish(t.Context(), 3))

		c, endC := topic.Subscribe()
		require.True(t, func() bool { p := publishing(t, topic, 4); return (<-c).Payload == 4 && p() }(), "what came before is not seen")
		endC()
	})
}

// TestTopicSubscriberThatPublishes is the case that hangs where publishers wait for
// everybody.
func TestTopicSubscriberThatPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		messages, end := topic.Subscribe()
		others, endOthers := topic.SubscribePayloads()
		var seen, other []int
		var reading sync.WaitGroup
		reading.Go(func() {
			for m := range messages {
				seen = append(seen, m.Payload)
				for i := 1; i <= 2 && m.Payload < 10; i++ { // twice, for good measure
					if err := topic.Publish(m.Context(t.Context()), 10*m.Payload+i); err != nil {
						t.Error(err)
					}
				}
			}
		})
		reading.Go(func() {
			for n := range others {
				other = append(other, n)
				if n == 1 {
					topic.Post(99)
				}
			}
		})
		require.NoError(t, topic.Publish(t.Context(), 1))
		synctest.Wait()
		end()
		endOthers()
		reading.Wait()
		require.Equal(t, other, seen, "in the order of publishing, the same for all")
		require.ElementsMatch(t, []int{1, 11, 12, 99}, seen)
	})
}

func TestTopicPublisherMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		messages, end := topic.Subscribe()
		defer end()
		tired := errors.New("tired")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, tired)
		defer cancel()
		require.ErrorIs(t, topic.Publish(ctx, 1), tired)
		require.Equal(t, 1, (<-messages).Payload, "it comes all the same")
	})
}

func TestTopicOrderUnderConcurrency(t *testing.T) {
	topic := event.NewTopic[int]("n")
	const subscribers, publishers, each = 5, 8, 100
	var reading, publishing sync.WaitGroup
	seen := make([][]uint64, subscribers)
	for i := range subscribers {
		messages, end := topic.Subscribe()
		reading.Go(func() {
			defer end()
			for m := range messages {
				if seen[i] = append(seen[i], m.Number); len(seen[i]) == publishers*each {
					return
				}
			}
		})
	}
	for range publishers {
		publishing.Go(func() {
			for n := range each {
				_ = topic.Publish(t.Context(), n)
			}
		})
	}
	publishing.Wait()
	reading.Wait()
	for _, numbers := range seen {
		for i, n := range numbers {
			require.EqualValues(t, i+1, n)
		}
	}
}

func BenchmarkTopic(b *testing.B) {
	for _, n := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprint(n, " subscribers"), func(b *testing.B) {
			topic := event.NewTopic[int]("n")
			for range n {
				payloads, end := topic.SubscribePayloads()
				defer end()
				go func() {
					for range payloads {
						continue
					}
				}()
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = topic.Publish(b.Context(), 1)
			}
		})
	}
}

func ExampleTopic() {
	finished := event.NewTopic[string]("work-finished")
	payloads, unsubscribe := finished.SubscribePayloads()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for work := range payloads {
			fmt.Println(work, "is finished")
		}
	}()
	_ = finished.Publish(context.Background(), "import 42") // until it was taken
	unsubscribe()
	<-done
	// Output: import 42 is finished
}
