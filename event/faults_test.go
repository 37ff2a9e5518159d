package event_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/embedded"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/internal/faultproxy"
)

// patience bounds each wait for something that must come; only a broken log
// reaches it.
const patience = 45 * time.Second

// faulty is a database, seen directly and through a fault proxy.
type faulty struct {
	*faultproxy.Proxy
	t      *testing.T
	direct *mongo.Database
}

func newFaulty(t *testing.T) *faulty {
	direct := database(t)
	p, err := faultproxy.Open(uri)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return &faulty{p, t, direct}
}

// through returns the database seen through the proxy, by a client of its own.
func (f *faulty) through(opts ...*options.ClientOptions) *mongo.Database {
	return connect(f.t, f.URI(), opts...).Database(f.direct.Name())
}

// log opens the log "log" through the proxy.
func (f *faulty) log() event.Log {
	log, err := event.OpenCapped(f.t.Context(), f.through(), "log", 0)
	require.NoError(f.t, err)
	return log
}

func connect(t *testing.T, uri string, opts ...*options.ClientOptions) *mongo.Client {
	client, err := mongo.Connect(append([]*options.ClientOptions{options.Client().ApplyURI(uri)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// hearer is a Reader that keeps ids, and why its cursor was lost.
type hearer struct {
	mu        sync.Mutex
	ids       []bson.ObjectID
	gaps      []event.Gap
	lost      []error
	listening int
	changed   chan struct{}
}

func (h *hearer) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *hearer) Entry(doc bson.Raw, _ event.Position) {
	id, _ := doc.Lookup("_id").ObjectIDOK()
	h.change(func() { h.ids = append(h.ids, id) })
}

func (h *hearer) Gap(gap event.Gap) { h.change(func() { h.gaps = append(h.gaps, gap) }) }

func (h *hearer) State(s event.State, _ event.Position, err error) {
	h.change(func() {
		if err != nil {
			h.lost = append(h.lost, err)
		}
		if s == event.StateListening {
			h.listening++
		}
	})
}

// until waits for a condition on what was heard.
func (h *hearer) until(t *testing.T, what string, met func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		h.mu.Lock()
		ok, n, lost := met(), len(h.ids), slices.Clone(h.lost)
		h.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-h.changed:
		case <-timeout:
			t.Fatalf("waited %s for %s; %d entries so far; cursors lost: %v", patience, what, n, lost)
		}
	}
}

// losses is how often it was told of an error.
func (h *hearer) losses() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.lost)
}

// listensAgain waits until the store has confirmed that there is nothing more.
func (h *hearer) listensAgain(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	before := h.listening
	h.mu.Unlock()
	h.until(t, "a listener that listens", func() bool { return h.listening > before })
}

// heard checks that the listener gets what is in the collection: each event
// once, in the order of the collection, and no gap.
func (h *hearer) heard(t *testing.T, direct *mongo.Database, n int) {
	t.Helper()
	h.until(t, fmt.Sprintf("%d entries", n), func() bool { return len(h.ids) >= n })
	want := stored(t, direct, "log")
	require.Len(t, want, n)
	h.listensAgain(t) // what comes twice may come late
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Equal(t, want, h.ids)
	require.Empty(t, h.gaps)
}

// stored returns the ids of the events in a collection, in its order.
func stored(t *testing.T, db *mongo.Database, collection string) []bson.ObjectID {
	t.Helper()
	cursor, err := db.Collection(collection).Find(t.Context(), bson.D{{Key: "mark", Value: bson.D{{Key: "$ne", Value: true}}}},
		options.Find().SetSort(bson.D{{Key: "$natural", Value: 1}}))
	require.NoError(t, err)
	var ids []bson.ObjectID
	for cursor.Next(t.Context()) {
		id, _ := cursor.Current.Lookup("_id").ObjectIDOK()
		ids = append(ids, id)
	}
	require.NoError(t, cursor.Err())
	return ids
}

// hear reads a log until the test ends.
func hear(t *testing.T, log event.Log, from event.Position) *hearer {
	h := &hearer{changed: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- log.Read(ctx, from, h) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return h
}

// TestTailUnderInjectedErrors lets the store answer a listener with each error
// in turn, wherever the listener asks something, while events come in. The
// position is there all the time, whatever the error says of it.
func TestTailUnderInjectedErrors(t *testing.T) {
	t.Parallel()
	for _, e := range faultproxy.Errors() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			direct, err := event.OpenCapped(t.Context(), f.direct, "log", 0)
			require.NoError(t, err)
			from, err := direct.Mark(t.Context())
			require.NoError(t, err)
			h := hear(t, f.log(), from)
			h.listensAgain(t)
			n := 0
			publish := func(some int) {
				for range some {
					require.NoError(t, direct.Append(t.Context(), eventtest.Doc(n)))
					n++
				}
			}
			for _, also := range []int{0, 2} { // two, since drivers read again by themselves
				publish(5)
				lost := f.Fail(1, e, "getMore")
				reopened := lost
				if also > 0 {
					reopened = f.Fail(also, e, "find")
				}
				publish(5)
				<-lost.Done()
				publish(5)
				<-reopened.Done()
				publish(5)
			}
			h.heard(t, f.direct, n)
			require.GreaterOrEqual(t, h.losses(), 2)
		})
	}
}

func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	log := f.log()
	from, err := log.Mark(t.Context())
	require.NoError(t, err)
	h := hear(t, log, from)
	n := 0
	docs := func(some int) []bson.Raw {
		var docs []bson.Raw
		for range some {
			docs = append(docs, eventtest.Doc(n))
			n++
		}
		return docs
	}
	for _, some := range []int{1, 5} {
		lost := f.Lose(2, "insert")
		require.NoError(t, log.Append(t.Context(), docs(some)...))
		<-lost.Done()
	}
	h.heard(t, f.direct, n)
	lost := f.Lose(1, "insert")
	pos, err := log.Mark(t.Context())
	require.NoError(t, err)
	<-lost.Done()
	later := hear(t, log, pos)
	later.listensAgain(t)
	require.Empty(t, later.ids)
	h.heard(t, f.direct, n)
}

// TestDatabaseRestart stops the store and starts it again on its address, with
// its data.
func TestDatabaseRestart(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{Dir: t.TempDir()}
	var stop func()
	start := func() string {
		store, err := embedded.Open(t.Context(), cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- store.Run(ctx) }()
		stop = func() { cancel(); require.NoError(t, <-done) }
		cfg.Addr = store.Addr()
		return store.URI()
	}
	address := start()
	defer func() { stop() }()
	db := connect(t, address).Database("restart")
	log, err := event.OpenCapped(t.Context(), db, "log", 0)
	require.NoError(t, err)
	from, err := log.Mark(t.Context())
	require.NoError(t, err)
	listeners := []*hearer{hear(t, log, from), hear(t, log, from)}

	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	n := 0
	publishing.Go(func() {
		for ; ctx.Err() == nil; n++ {
			until(t, log, eventtest.Doc(n))
		}
	})
	for range 3 {
		for _, h := range listeners {
			h.listensAgain(t)
		}
		stop()
		start()
	}
	cancel()
	publishing.Wait()
	require.Positive(t, n)
	for _, h := range listeners {
		h.heard(t, db, n)
		require.GreaterOrEqual(t, h.losses(), 3)
	}
}

// until appends a document, again and again: its id makes that safe.
func until(t *testing.T, log event.Log, doc bson.Raw) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := log.Append(ctx, doc)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("an event could not be published within %s: %v", patience, err)
			return
		}
	}
}

// seeded draws from the environment's seed, or a random one; it is logged.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if given := os.Getenv("FLEETCAST_SEED"); given != "" {
		_, err := fmt.Sscan(given, &seed)
		require.NoError(t, err)
	}
	t.Logf("FLEETCAST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func upToTime(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}

// TestPublishersInAStorm is 60 publishers whose clocks are hours apart, so that
// ids are out of insertion order, while connections are cut.
func TestPublishersInAStorm(t *testing.T) {
	t.Parallel()
	const publishers, each = 60, 20
	random := seeded(t)
	f := newFaulty(t)
	direct, err := event.OpenCapped(t.Context(), f.direct, "log", 0)
	require.NoError(t, err)
	from, err := direct.Mark(t.Context())
	require.NoError(t, err)
	var listeners []*hearer
	for range 4 {
		listeners = append(listeners, hear(t, f.log(), from))
	}
	for _, h := range listeners {
		h.listensAgain(t)
	}

	var publishing, storm sync.WaitGroup
	shared := f.log()
	for range publishers {
		skew := upToTime(random, 24*time.Hour) - 12*time.Hour
		pauses := rand.New(rand.NewPCG(random.Uint64(), 0))
		publishing.Go(func() {
			for n := range each {
				until(t, shared, skewed(skew, n))
				<-time.After(upToTime(pauses, 100*time.Millisecond))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	storm.Go(func() {
		for after(ctx, 100*time.Millisecond+upToTime(random, 400*time.Millisecond)) {
			f.Cut()
		}
	})
	publishing.Wait()
	cancel()
	storm.Wait()
	reconnects := 0
	for _, h := range listeners {
		h.heard(t, f.direct, publishers*each)
		reconnects += h.losses()
	}
	require.GreaterOrEqual(t, reconnects, len(listeners), "there was a storm")
	t.Logf("%d events, %d listeners, %d reconnects, %+v", publishers*each, len(listeners), reconnects, f.Stats())
}

// skewed is an event of a publisher whose clock is off by skew.
func skewed(skew time.Duration, n int) bson.Raw {
	var doc bson.D
	if err := bson.Unmarshal(eventtest.Doc(n), &doc); err != nil {
		panic(err) // cannot happen: the document is fixed
	}
	doc[0].Value = bson.NewObjectIDFromTimestamp(time.Now().Add(skew))
	raw, err := bson.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return raw
}

// after waits, and reports whether ctx is still alive.
func after(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// TestHalfOpenConnection takes as long as a listener believes in a silent store.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	direct, err := event.OpenCapped(t.Context(), f.direct, "log", 0)
	require.NoError(t, err)
	from, err := direct.Mark(t.Context())
	require.NoError(t, err)
	h := hear(t, f.log(), from)
	require.NoError(t, direct.Append(t.Context(), eventtest.Doc(0)))
	h.listensAgain(t)
	start := time.Now()
	f.HalfOpen(0)
	for n := 1; n <= 5; n++ {
		require.NoError(t, direct.Append(t.Context(), eventtest.Doc(n)))
	}
	h.heard(t, f.direct, 6)
	require.Positive(t, h.losses())
	t.Logf("heard again after %s", time.Since(start))
}
