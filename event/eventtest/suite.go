package eventtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// patience bounds each wait of the suite; only a broken Log reaches it.
const patience = 20 * time.Second

// TestLog is the conformance suite that every event.Log must pass. open returns
// a new, empty log that holds at least that many bytes of documents, and not
// many times more; the suite shares it between concurrent readers and writers.
//
// A log that drops its documents by age and not by size has, for the suite, a
// method Drop(*testing.T), which removes all of them; it gets fewer documents.
func TestLog(t *testing.T, open func(t *testing.T, bytes int) event.Log) {
	const large = 8 << 20
	tests := map[string]func(*testing.T, event.Log){
		"entries come in the order of the log, once":  inOrder,
		"the database sets the timestamp":             stamped,
		"appending again is a success and no entry":   idempotent,
		"a batch goes on behind what is there":        batchIdempotent,
		"a mark divides before from after":            markDivides,
		"marks are not entries":                       marksHidden,
		"the zero position is the earliest":           earliest,
		"a moment is a position":                      fromMoment,
		"reading goes on at a position, none twice":   resumes,
		"a reader of an empty log hears the first":    emptyLog,
		"concurrent publishers, several readers":      concurrent,
		"a reader says that it listens":               saysListening,
		"documents that are no events are handed on":  foreign,
		"append and mark honour their context":        honoursContext,
		"the clock is near":                           clock,
		"ids out of insertion order are no obstacle":  skewedIDs,
		"read returns nil when its context has ended": endsCleanly,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t, large)) })
	}
	t.Run("a rolled over position is a gap", func(t *testing.T) { rollover(t, open(t, 16<<10)) })
}

type dropper interface{ Drop(t *testing.T) }

// Doc returns an event-like document with the number n and an empty timestamp.
func Doc(n int) bson.Raw { return docWithID(bson.NewObjectID(), n) }

func docWithID(id bson.ObjectID, n int) bson.Raw {
	raw, err := bson.Marshal(bson.D{
		{Key: "_id", Value: id}, {Key: "ts", Value: bson.Timestamp{}},
		{Key: "name", Value: "suite"}, {Key: "action", Value: "count"},
		{Key: "parameters", Value: bson.D{{Key: "n", Value: n}}},
	})
	if err != nil {
		panic(err) // cannot happen: the document is fixed
	}
	return raw
}

func number(doc bson.Raw) int {
	n, _ := doc.Lookup("parameters", "n").AsInt64OK()
	return int(n)
}

// recorder is a Reader that keeps what it was told.
type recorder struct {
	mu        sync.Mutex
	numbers   []int
	docs      []bson.Raw
	positions []event.Position
	gaps      []event.Gap
	listening int
	changed   chan struct{}
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{}, 1)} }

func (r *recorder) Entry(doc bson.Raw, pos event.Position) {
	r.change(func() {
		r.numbers = append(r.numbers, number(doc))
		r.docs = append(r.docs, slices.Clone(doc))
		r.positions = append(r.positions, pos)
	})
}

func (r *recorder) Gap(gap event.Gap) { r.change(func() { r.gaps = append(r.gaps, gap) }) }

func (r *recorder) State(s event.State, _ event.Position, _ error) {
	if s == event.StateListening {
		r.change(func() { r.listening++ })
	}
}

func (r *recorder) change(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// until waits for a condition on what was recorded.
func (r *recorder) until(t *testing.T, what string, met func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		ok := met()
		n := len(r.numbers)
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.changed:
		case <-timeout:
			t.Fatalf("waited %s for %s; %d entries so far", patience, what, n)
		}
	}
}

func (r *recorder) count(t *testing.T, n int) []int {
	t.Helper()
	r.until(t, fmt.Sprintf("%d entries", n), func() bool { return len(r.numbers) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.numbers)
}

// read starts a reader, which is stopped and joined when the test ends.
func read(t *testing.T, log event.Log, from event.Position) (*recorder, func()) {
	t.Helper()
	r := newRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- log.Read(ctx, from, r) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err, "Read returns nil when its context has ended")
		case <-time.After(patience):
			t.Error("Read did not return when its context had ended")
		}
	})
	t.Cleanup(stop)
	return r, stop
}

func mark(t *testing.T, log event.Log) event.Position {
	t.Helper()
	pos, err := log.Mark(t.Context())
	require.NoError(t, err)
	return pos
}

func add(t *testing.T, log event.Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		require.NoError(t, log.Append(t.Context(), Doc(n)))
	}
}

func upTo(from, to int) []int {
	var numbers []int
	for n := from; n < to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}
