package eventtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

func inOrder(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	add(t, log, 0, 50)
	var batch []bson.Raw
	for n := 50; n < 100; n++ {
		batch = append(batch, Doc(n))
	}
	require.NoError(t, log.Append(t.Context(), batch...))
	require.Equal(t, upTo(0, 100), r.count(t, 100))
}

func stamped(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	add(t, log, 0, 20)
	r.count(t, 20)
	var last bson.Timestamp
	for i, doc := range r.docs {
		seconds, counter, ok := doc.Lookup("ts").TimestampOK()
		require.True(t, ok)
		ts := bson.Timestamp{T: seconds, I: counter}
		require.True(t, ts.After(last), "timestamps rise: %v after %v", ts, last)
		require.Equal(t, ts, r.positions[i].Time)
		last = ts
	}
}

func idempotent(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	doc := Doc(0)
	for range 3 {
		require.NoError(t, log.Append(t.Context(), doc))
	}
	add(t, log, 1, 2)
	require.Equal(t, []int{0, 1}, r.count(t, 2))
}

func batchIdempotent(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	docs := []bson.Raw{Doc(0), Doc(1), Doc(2), Doc(3)}
	require.NoError(t, log.Append(t.Context(), docs[0], docs[2]))
	require.NoError(t, log.Append(t.Context(), docs...))
	require.Equal(t, []int{0, 2, 1, 3}, r.count(t, 4))
}

func markDivides(t *testing.T, log event.Log) {
	add(t, log, 0, 5)
	from := mark(t, log)
	add(t, log, 5, 10)
	r, _ := read(t, log, from)
	require.Equal(t, upTo(5, 10), r.count(t, 5))
}

func marksHidden(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	add(t, log, 0, 1)
	last := mark(t, log)
	add(t, log, 1, 2)
	require.Equal(t, []int{0, 1}, r.count(t, 2))
	require.NotContains(t, r.positions, last)
}

func earliest(t *testing.T, log event.Log) {
	add(t, log, 0, 5)
	r, _ := read(t, log, event.Position{})
	require.Equal(t, upTo(0, 5), r.count(t, 5))
}

func fromMoment(t *testing.T, log event.Log) {
	add(t, log, 0, 5)
	now, err := log.Time(t.Context())
	require.NoError(t, err)
	r, _ := read(t, log, event.At(now.Add(-time.Hour)))
	require.Equal(t, upTo(0, 5), r.count(t, 5))

	late, _ := read(t, log, event.At(now.Add(time.Hour)))
	late.until(t, "listening", func() bool { return late.listening > 0 })
	require.Empty(t, late.numbers)
	require.Empty(t, late.gaps)
}

func resumes(t *testing.T, log event.Log) {
	r, stop := read(t, log, mark(t, log))
	add(t, log, 0, 30)
	r.count(t, 30)
	stop()
	add(t, log, 30, 40)
	for _, i := range []int{0, 14, 29} {
		again, _ := read(t, log, r.positions[i])
		require.Equal(t, upTo(i+1, 40), again.count(t, 39-i))
		require.Empty(t, again.gaps)
	}
}

func emptyLog(t *testing.T, log event.Log) {
	r, _ := read(t, log, event.Position{})
	r.until(t, "listening", func() bool { return r.listening > 0 })
	add(t, log, 0, 1)
	require.Equal(t, []int{0}, r.count(t, 1))
}

func concurrent(t *testing.T, log event.Log) {
	publishers, each := 20, 50
	if _, slow := log.(dropper); slow {
		publishers, each = 10, 10
	}
	from := mark(t, log)
	var readers []*recorder
	for range 4 {
		r, _ := read(t, log, from)
		readers = append(readers, r)
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := range each {
				if err := log.Append(t.Context(), Doc(p*each+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	first := readers[0].count(t, publishers*each)
	sorted := slices.Sorted(slices.Values(first))
	require.Equal(t, upTo(0, publishers*each), sorted, "each once")
	for _, r := range readers[1:] {
		require.Equal(t, first, r.count(t, publishers*each), "all readers see the same order")
	}
}

func saysListening(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	add(t, log, 0, 1)
	r.count(t, 1)
	r.mu.Lock()
	before := r.listening
	r.mu.Unlock()
	r.until(t, "confirmations while nothing happens", func() bool { return r.listening >= before+2 })
}

func foreign(t *testing.T, log event.Log) {
	r, _ := read(t, log, mark(t, log))
	odd, err := bson.Marshal(bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "hello", Value: "world"}})
	require.NoError(t, err)
	require.NoError(t, log.Append(t.Context(), odd))
	add(t, log, 1, 2)
	r.count(t, 2)
	require.Equal(t, "world", r.docs[0].Lookup("hello").StringValue())
	require.Equal(t, 1, r.numbers[1])
}

func honoursContext(t *testing.T, log event.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, log.Append(ctx, Doc(0)), context.Canceled)
	_, err := log.Mark(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func clock(t *testing.T, log event.Log) {
	now, err := log.Time(t.Context())
	require.NoError(t, err)
	pos := mark(t, log)
	require.InDelta(t, now.Unix(), int64(pos.Time.T), 60, "the clock and the stamps are of the same store")
}

// skewedIDs inserts ids in falling order, as clients with wrong clocks do.
func skewedIDs(t *testing.T, log event.Log) {
	r, stop := read(t, log, mark(t, log))
	now := time.Now()
	for n := range 20 {
		id := bson.NewObjectIDFromTimestamp(now.Add(-time.Duration(n) * time.Hour))
		require.NoError(t, log.Append(t.Context(), docWithID(id, n)))
	}
	require.Equal(t, upTo(0, 20), r.count(t, 20))
	stop()
	again, _ := read(t, log, r.positions[9])
	require.Equal(t, upTo(10, 20), again.count(t, 10))
}

func endsCleanly(t *testing.T, log event.Log) {
	r, stop := read(t, log, mark(t, log))
	r.until(t, "listening", func() bool { return r.listening > 0 })
	stop()
	add(t, log, 0, 1)
	require.Empty(t, r.numbers)
}

// rollover fills the log well past its size behind a reader's back.
func rollover(t *testing.T, log event.Log) {
	r, stop := read(t, log, mark(t, log))
	add(t, log, 0, 3)
	r.count(t, 3)
	stop()
	last := 2000
	if d, ok := log.(dropper); ok {
		last = 20
		add(t, log, 3, 10)
		d.Drop(t)
		add(t, log, 10, last+1)
	} else {
		add(t, log, 3, last+1)
	}
	again, _ := read(t, log, r.positions[2])
	again.until(t, "the last entry", func() bool {
		return len(again.numbers) > 0 && again.numbers[len(again.numbers)-1] == last
	})
	require.Len(t, again.gaps, 1)
	require.NotEmpty(t, again.gaps[0].Reason)
	require.False(t, again.gaps[0].Since.IsZero())
	first := again.numbers[0]
	require.Greater(t, first, 3, "the log has rolled over")
	require.Equal(t, upTo(first, last+1), again.numbers, "what is left comes in order, once")
}
