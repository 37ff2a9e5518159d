package event_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/internal/faultproxy"
	"github.com/fleetcast/fleetcast/internal/teststore"
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
	direct := teststore.Database(t)
	p, err := faultproxy.Open(teststore.URI())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return &faulty{p, t, direct}
}

// through returns the database seen through the proxy, by a client of its own.
func (f *faulty) through(opts ...*options.ClientOptions) *mongo.Database {
	return connect(f.t, f.URI(), opts...).Database(f.direct.Name())
}

// log opens the log "log" through the proxy.
func (f *faulty) log() event.Log { return openCapped(f.t, f.through()) }

func openCapped(t *testing.T, db *mongo.Database) event.Log {
	log, err := event.OpenCapped(t.Context(), db, "log", 0)
	require.NoError(t, err)
	return log
}

func openPolling(t *testing.T, db *mongo.Database) event.Log {
	log, err := event.OpenPolling(t.Context(), db, "log", event.LogConfig{PollInterval: 20 * time.Millisecond})
	require.NoError(t, err)
	return log
}

// strategies are the Logs in a database.
var strategies = map[string]func(*testing.T, *mongo.Database) event.Log{"capped": openCapped, "polling": openPolling}

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

// stored returns the ids of the events in a collection, in its order: that of
// a polled one is by timestamp.
func stored(t *testing.T, db *mongo.Database, collection string) []bson.ObjectID {
	t.Helper()
	specs, err := db.ListCollectionSpecifications(t.Context(), bson.D{{Key: "name", Value: collection}})
	require.NoError(t, err)
	require.Len(t, specs, 1)
	order := bson.D{{Key: "ts", Value: 1}, {Key: "_id", Value: 1}}
	if capped, _ := specs[0].Options.Lookup("capped").BooleanOK(); capped {
		order = bson.D{{Key: "$natural", Value: 1}}
	}
	cursor, err := db.Collection(collection).Find(t.Context(), bson.D{{Key: "mark", Value: bson.D{{Key: "$ne", Value: true}}}},
		options.Find().SetSort(order))
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

// storm cuts all connections, at once and then after pauses of every to five times
// that, until calm is called. Between two cuts there is some progress, however busy
// the machine is: connections that never live as long as a write are no storm.
func (f *faulty) storm(random *rand.Rand, every time.Duration, progress *atomic.Int64) (calm func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var storm sync.WaitGroup
	storm.Go(func() {
		for ok := true; ok; ok = after(ctx, every+upToTime(random, 4*every)) {
			f.Cut()
			for before := progress.Load(); progress.Load() == before && after(ctx, 10*time.Millisecond); {
			}
		}
	})
	return func() { cancel(); storm.Wait() }
}

// loseReplies loses the reply to the next command of each of these names, with
// its connection, and to others later, until calm is called. The pauses grow from two
// seconds on, so that on a slow machine, too, commands succeed between them.
func (f *faulty) loseReplies(commands ...string) (calm func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var losing sync.WaitGroup
	for _, command := range commands {
		losing.Go(func() {
			for pause := 2 * time.Second; ctx.Err() == nil; pause *= 2 {
				select {
				case <-f.Lose(1, command).Done():
					after(ctx, pause)
				case <-ctx.Done():
				}
			}
		})
	}
	return func() { cancel(); losing.Wait() }
}

// stubborn is a Log whose writers do not give up while their context lives, as
// the suite expects.
type stubborn struct{ event.Log }

func (s stubborn) Append(ctx context.Context, docs ...bson.Raw) error {
	return persist(ctx, func() error { return s.Log.Append(ctx, docs...) })
}

func (s stubborn) Mark(ctx context.Context) (pos event.Position, err error) {
	err = persist(ctx, func() error { pos, err = s.Log.Mark(ctx); return err })
	return pos, err
}

func (s stubborn) Time(ctx context.Context) (now time.Time, err error) {
	err = persist(ctx, func() error { now, err = s.Log.Time(ctx); return err })
	return now, err
}

func persist(ctx context.Context, do func() error) error {
	for {
		if err := do(); err == nil || ctx.Err() != nil {
			return err
		}
	}
}
