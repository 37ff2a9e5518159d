package event_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

// BenchmarkPublishToHandler is the way of one event through the store to a
// subscriber, and beside it, in turns, the bare driver's for the same document.
// It reports the medians of both and their ratio.
func BenchmarkPublishToHandler(b *testing.B) {
	ctx := b.Context()
	handled := make(chan struct{})
	bus, err := event.Open(ctx, teststore.Database(b), event.Config{})
	require.NoError(b, err)
	_, err = bus.Subscribe(bench(handled))
	require.NoError(b, err)
	listen(b, bus)
	publish := func() time.Duration {
		start := time.Now()
		_, err := bus.Publish(ctx, event.New("bench", "do", nil))
		require.NoError(b, err)
		<-handled
		return time.Since(start)
	}
	bare := bareDriver(b)
	var ours, floor []time.Duration
	for b.Loop() { // neither is always the first
		ours = append(ours, publish())
		floor = append(floor, bare(), bare())
		ours = append(ours, publish())
	}
	b.ReportMetric(float64(median(ours).Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(median(floor).Nanoseconds())/1e3, "bare-p50-us")
	b.ReportMetric(float64(median(ours))/float64(median(floor)), "ratio")
	b.ReportMetric(0, "ns/op") // four ways of two kinds
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// bareDriver returns a function that inserts a document as an event's and waits
// for it to come by the tail, by the driver alone.
func bareDriver(b *testing.B) func() time.Duration {
	ctx := b.Context()
	db := teststore.Database(b)
	require.NoError(b, db.CreateCollection(ctx, "log", options.CreateCollection().SetCapped(true).SetSizeInBytes(64<<20)))
	coll := db.Collection("log", options.Collection().SetWriteConcern(writeconcern.Majority()))
	publisher := bson.D{{Key: "user", Value: "root"}, {Key: "host", Value: "host"}, {Key: "pid", Value: 4711}, {Key: "app", Value: "bench"}}
	insert := func() {
		_, err := coll.InsertOne(ctx, bson.D{
			{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}},
			{Key: "name", Value: "bench"}, {Key: "action", Value: "do"}, {Key: "publisher", Value: publisher},
		})
		require.NoError(b, err)
	}
	insert()
	cursor, err := coll.Find(ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Second))
	require.NoError(b, err)
	require.True(b, cursor.Next(ctx))
	arrived, done := make(chan struct{}), make(chan struct{})
	tailing, stop := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for cursor.Next(tailing) {
			var e struct{ Name, Action string }
			if cursor.Decode(&e) == nil && e.Name == "bench" {
				arrived <- struct{}{}
			}
		}
	}()
	b.Cleanup(func() { stop(); <-done; _ = cursor.Close(context.Background()) })
	return func() time.Duration {
		start := time.Now()
		insert()
		<-arrived
		return time.Since(start)
	}
}

type bench chan struct{}

func (bench) Name() string { return "bench" }
func (b bench) Actions() []event.Action {
	return []event.Action{event.On("do", func(context.Context, event.None) error { b <- struct{}{}; return nil })}
}

// listen runs a bus on the database until the benchmark ends.
func listen(b *testing.B, bus *event.Bus) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	<-bus.Listening()
}

// BenchmarkSustained is the rate at which batches of 100 events go through the
// store and their handlers; an overrun fails it.
func BenchmarkSustained(b *testing.B) {
	const batch = 100
	handled := make(chan struct{}, batch)
	bus, err := event.Open(b.Context(), teststore.Database(b), event.Config{})
	require.NoError(b, err)
	_, err = bus.Subscribe(bench(handled))
	require.NoError(b, err)
	listen(b, bus)
	for b.Loop() {
		events := make([]event.Event, batch)
		for i := range events {
			events[i] = event.New("bench", "do", nil)
		}
		_, err := bus.Publish(b.Context(), events...)
		require.NoError(b, err)
		for range batch {
			<-handled
		}
	}
	require.Zero(b, bus.Health().Overruns)
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkCatchUp is the time from opening a full collection of 64 MiB until the
// last of 1,000 missed events has been read, and it is known to be the last.
func BenchmarkCatchUp(b *testing.B) {
	db := teststore.Database(b)
	log, err := event.OpenCapped(b.Context(), db, "log", 0)
	require.NoError(b, err)
	var from event.Position
	pad := strings.Repeat("x", 300)
	for i := range 160 { // 160,000 documents of some 430 bytes
		if i == 159 {
			from, err = log.Mark(b.Context())
			require.NoError(b, err)
		}
		docs := make([]bson.Raw, 1000)
		for j := range docs {
			docs[j], err = bson.Marshal(bson.D{
				{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "name", Value: "bench"},
				{Key: "action", Value: "do"}, {Key: "parameters", Value: bson.D{{Key: "n", Value: int32(j)}, {Key: "pad", Value: pad}}},
			})
			require.NoError(b, err)
		}
		require.NoError(b, log.Append(b.Context(), docs...))
	}
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		r := &catcher{stop: cancel}
		require.NoError(b, log.Read(ctx, from, r))
		require.Equal(b, 1000, r.read)
		require.Zero(b, r.gaps)
	}
}

// catcher reads until it has caught up.
type catcher struct {
	read, gaps int
	stop       func()
}

func (c *catcher) Entry(bson.Raw, event.Position) { c.read++ }
func (c *catcher) Gap(event.Gap)                  { c.gaps++ }
func (c *catcher) State(s event.State, _ event.Position, _ error) {
	if s == event.StateListening {
		c.stop()
	}
}

// BenchmarkIdleBus is the memory of a bus that listens, the driver's connections
// included.
func BenchmarkIdleBus(b *testing.B) {
	db := teststore.Database(b, options.Client().SetMaxPoolSize(200))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		if n++; n > 100 {
			continue // more would be about the store
		}
		bus, err := event.Open(b.Context(), db, event.Config{})
		require.NoError(b, err)
		_, err = bus.Subscribe(bench(nil))
		require.NoError(b, err)
		listen(b, bus)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	buses := float64(min(n, 100))
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/buses/1024, "KiB/bus")
}
