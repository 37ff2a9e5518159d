package event_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
)

// rest closes the topic and reads what waits for a subscriber.
func rest(topic *event.Topic[int], messages <-chan event.Message[int]) (all []event.Message[int]) {
	topic.Close()
	for m := range messages {
		all = append(all, m)
	}
	return all
}

func TestPostWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		slow, end := topic.Subscribe()
		defer end()
		topic.Post(1)
		synctest.Wait() // it is being handed over, and waits beside the others
		const many = 10 * event.TopicBacklog
		for n := 2; n <= many; n++ {
			topic.Post(n)
		}
		all := rest(topic, slow)
		require.Len(t, all, 1+event.TopicBacklog)
		require.Zero(t, all[0].Missed)
		require.Equal(t, 1, all[0].Payload)
		require.Equal(t, many-1-event.TopicBacklog, all[1].Missed)
		for i, m := range all[1:] {
			require.Equal(t, many-event.TopicBacklog+i+1, m.Payload, "the oldest are lost, the others in order")
			require.EqualValues(t, m.Payload, m.Number)
			if i > 0 {
				require.Zero(t, m.Missed, "once")
			}
		}
	})
}

// What a publisher waits with is not lost, and stays where it is.
func TestPostBesidePublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		slow, end := topic.Subscribe()
		defer end()
		topic.Post(1)
		synctest.Wait()
		topic.Post(2)
		first := publishing(t, topic, 3)
		require.False(t, first())
		topic.Post(4)
		second := publishing(t, topic, 5)
		require.False(t, second())
		const last = 5 + event.TopicBacklog
		for n := 6; n <= last; n++ {
			topic.Post(n)
		}
		all := rest(topic, slow)
		require.Equal(t, []int{1, 3, 5, 6, 7}, []int{all[0].Payload, all[1].Payload, all[2].Payload, all[3].Payload, all[4].Payload})
		require.Equal(t, []int{0, 1, 1, 0, 0}, []int{all[0].Missed, all[1].Missed, all[2].Missed, all[3].Missed, all[4].Missed})
		require.Equal(t, last, all[len(all)-1].Payload)
		require.Len(t, all, 3+event.TopicBacklog)
		require.True(t, first() && second())
	})
}

// Publishers that give up leave no more behind than those who post.
func TestTopicPublishersThatGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		slow, end := topic.Subscribe()
		defer end()
		const many = 3 * event.TopicBacklog
		for n := 1; n <= many; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorIs(t, topic.Publish(ctx, n), context.DeadlineExceeded)
			cancel()
		}
		all := rest(topic, slow)
		require.Len(t, all, 1+event.TopicBacklog)
		require.Equal(t, many-1-event.TopicBacklog, all[1].Missed)
		require.Equal(t, many, all[len(all)-1].Payload)
	})
}

func TestTopicMissedByEachItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		early, endEarly := topic.Subscribe()
		defer endEarly()
		topic.Post(1)
		slow, end := topic.Subscribe() // what came before is not missed
		defer end()
		for n := 2; n < 4000; n++ {
			topic.Post(n)
			require.Equal(t, n-1, (<-early).Payload)
		}
		require.Zero(t, (<-slow).Missed)
		require.Equal(t, 4000-4-event.TopicBacklog+1, (<-slow).Missed)
		require.Zero(t, (<-early).Missed)
	})
}

func TestTopicClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := event.NewTopic[int]("n")
		messages, end := topic.Subscribe()
		payloads, endPayloads := topic.SubscribePayloads()
		topic.Post(1)
		waiting := publishing(t, topic, 2)
		require.False(t, waiting())
		topic.Close()
		topic.Close()
		topic.Post(3)
		require.ErrorIs(t, topic.Publish(t.Context(), 4), event.ErrTopicClosed)
		require.False(t, waiting(), "what was published before is still to be taken")
		require.Equal(t, 1, (<-messages).Payload)
		require.Equal(t, 2, (<-messages).Payload)
		_, open := <-messages
		require.False(t, open)
		require.False(t, waiting())
		endPayloads() // with what was not taken
		require.True(t, waiting())
		_, open = <-payloads
		require.False(t, open)
		end()

		late, endLate := topic.Subscribe()
		_, open = <-late
		require.False(t, open)
		endLate()
	})
}

// TestPostUnderConcurrency: each message is either seen, in order, or missed.
func TestPostUnderConcurrency(t *testing.T) {
	topic := event.NewTopic[int]("n")
	const posters, each = 8, 2000
	messages, end := topic.Subscribe()
	defer end()
	seen, missed, last := 0, 0, uint64(0)
	var reading, posting sync.WaitGroup
	reading.Go(func() {
		for m := range messages {
			if m.Number != last+uint64(m.Missed)+1 {
				t.Errorf("%d after %d, of which %d were missed", m.Number, last, m.Missed)
			}
			last = m.Number
			missed += m.Missed
			seen++
		}
	})
	for range posters {
		posting.Go(func() {
			for n := range each {
				topic.Post(n)
			}
		})
	}
	posting.Wait()
	topic.Close()
	reading.Wait()
	require.Equal(t, posters*each, seen+missed)
	require.EqualValues(t, posters*each, last, "the last one is never lost")
}

func TestPostCostsNothingWithoutSubscribers(t *testing.T) {
	topic := event.NewTopic[[64]int]("n")
	require.Zero(t, testing.AllocsPerRun(1000, func() { topic.Post([64]int{}) }))
}

func BenchmarkPost(b *testing.B) {
	b.Run("nobody", func(b *testing.B) {
		topic := event.NewTopic[int]("n")
		b.ReportAllocs()
		for b.Loop() {
			topic.Post(1)
		}
	})
	b.Run("one who never reads", func(b *testing.B) {
		topic := event.NewTopic[int]("n")
		_, end := topic.Subscribe()
		defer end()
		b.ReportAllocs()
		for b.Loop() {
			topic.Post(1)
		}
	})
}
