package event_test

import (
	"context"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

func TestMain(m *testing.M) {
	// The parallel tests wait, for the store and for time-outs, more than they
	// compute.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(teststore.Main(m))
}

func TestCappedLog(t *testing.T) {
	eventtest.TestLog(t, func(t *testing.T, bytes int) event.Log {
		log, err := event.OpenCapped(t.Context(), teststore.Database(t), "log", int64(bytes))
		require.NoError(t, err)
		return log
	})
}

// polled is a polling Log that the suite can empty.
type polled struct {
	event.Log
	db *mongo.Database
}

func (p polled) Drop(t *testing.T) {
	_, err := p.db.Collection("log").DeleteMany(t.Context(), bson.D{})
	require.NoError(t, err)
}

func TestPollingLog(t *testing.T) {
	eventtest.TestLog(t, func(t *testing.T, _ int) event.Log {
		db := teststore.Database(t)
		log, err := event.OpenPolling(t.Context(), db, "log", event.LogConfig{PollInterval: 20 * time.Millisecond})
		require.NoError(t, err)
		return polled{log, db}
	})
}

func TestStrategy(t *testing.T) {
	db := teststore.Database(t)
	capped := func(collection string) bool {
		specs, err := db.ListCollectionSpecifications(t.Context(), bson.D{{Key: "name", Value: collection}})
		require.NoError(t, err)
		require.Len(t, specs, 1)
		is, _ := specs[0].Options.Lookup("capped").BooleanOK()
		return is
	}
	open := func(collection string, s event.Strategy) error {
		_, err := event.OpenLog(t.Context(), db, collection, event.LogConfig{Strategy: s})
		return err
	}
	require.NoError(t, open("new", event.Auto))
	require.True(t, capped("new"))
	require.NoError(t, open("polled", event.Polling))
	require.False(t, capped("polled"))
	require.NoError(t, open("polled", event.Auto), "what is there decides")
	require.False(t, capped("polled"))
	var notCapped *event.NotCappedError
	require.ErrorAs(t, open("polled", event.Capped), &notCapped)
	require.ErrorContains(t, open("new", event.Polling), "is capped and cannot be polled")
	_, err := db.Collection("foreign").InsertOne(t.Context(), bson.D{})
	require.NoError(t, err)
	require.ErrorAs(t, open("foreign", event.Auto), &notCapped, "somebody else's collection is not polled")
	require.ErrorContains(t, open("x", "telepathy"), "is not a strategy")
}

func TestOpenRaces(t *testing.T) {
	db := teststore.Database(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := event.Open(t.Context(), db, event.Config{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOpenRefusesWhatIsNotCapped(t *testing.T) {
	db := teststore.Database(t)
	_, err := db.Collection("replies").InsertOne(t.Context(), bson.D{})
	require.NoError(t, err)
	_, err = event.Open(t.Context(), db, event.Config{})
	var notCapped *event.NotCappedError
	require.ErrorAs(t, err, &notCapped)
	require.Equal(t, db.Name()+".replies", notCapped.Namespace)
}

// watcher is a Reader that counts.
type watcher struct {
	mu      sync.Mutex
	numbers []int32
	gaps    int
	states  map[event.State]int
	lost    chan struct{} // told of every lost cursor
}

func newWatcher() *watcher {
	return &watcher{states: map[event.State]int{}, lost: make(chan struct{}, 100)}
}

func (w *watcher) Entry(raw bson.Raw, _ event.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, _ := raw.Lookup("parameters", "n").Int32OK()
	w.numbers = append(w.numbers, n)
}

func (w *watcher) Gap(event.Gap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gaps++
}

func (w *watcher) State(s event.State, _ event.Position, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[s]++
	if err != nil {
		w.lost <- struct{}{}
	}
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.numbers)
}

// follow reads a log until the test ends.
func follow(t *testing.T, log event.Log, from event.Position) *watcher {
	w := newWatcher()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- log.Read(ctx, from, w) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return w
}

func TestTailSurvivesKilledCursors(t *testing.T) {
	db := teststore.Database(t)
	log, err := event.OpenCapped(t.Context(), db, "log", 0)
	require.NoError(t, err)
	from, err := log.Mark(t.Context())
	require.NoError(t, err)
	opened := make(chan int64, 100) // ids of the tail's cursors
	w := follow(t, openMonitored(t, db.Name(), opened), from)
	for n := range 100 {
		require.NoError(t, log.Append(t.Context(), eventtest.Doc(n)))
		if n%20 == 10 {
			id := <-opened
			require.NoError(t, db.RunCommand(t.Context(), bson.D{
				{Key: "killCursors", Value: "log"}, {Key: "cursors", Value: bson.A{id}},
			}).Err())
			<-w.lost
		}
	}
	require.Eventually(t, func() bool { return w.count() >= 100 }, 20*time.Second, 10*time.Millisecond)
	for n, got := range w.numbers {
		require.EqualValues(t, n, got, "each once, in order")
	}
	require.Zero(t, w.gaps)
}

func TestTailSurvivesADroppedCollection(t *testing.T) {
	db := teststore.Database(t)
	log, err := event.OpenCapped(t.Context(), db, "log", 0)
	require.NoError(t, err)
	from, err := log.Mark(t.Context())
	require.NoError(t, err)
	w := follow(t, log, from)
	require.NoError(t, log.Append(t.Context(), eventtest.Doc(0)))
	require.Eventually(t, func() bool { return w.count() == 1 }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, db.Collection("log").Drop(t.Context()))
	<-w.lost
	require.Eventually(t, func() bool { // the tail makes the collection anew
		specs, err := db.ListCollectionSpecifications(t.Context(), bson.D{{Key: "name", Value: "log"}})
		return err == nil && len(specs) == 1 && specs[0].Options.Lookup("capped").Boolean()
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, log.Append(t.Context(), eventtest.Doc(1)))
	require.Eventually(t, func() bool { return w.count() == 2 }, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, 1, w.gaps, "what was dropped unread cannot be known")
}
