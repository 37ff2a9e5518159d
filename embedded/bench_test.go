package embedded

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// event is a document of the size of a usual event.
func event(n int) bson.D {
	return bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "n", Value: n},
		{Key: "name", Value: "server"}, {Key: "action", Value: "pause"}, {Key: "x", Value: strings.Repeat("x", 200)}}
}

func fill(b *testing.B, log *mongo.Collection, n int) {
	b.Helper()
	for i := 0; i < n; i += 1000 {
		docs := make([]any, 1000)
		for j := range docs {
			docs[j] = event(i + j)
		}
		_, err := log.InsertMany(b.Context(), docs)
		require.NoError(b, err)
	}
}

func openTail(b *testing.B, log *mongo.Collection, filter any) *mongo.Cursor {
	b.Helper()
	opts := options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Second)
	cursor, err := log.Find(b.Context(), filter, opts)
	require.NoError(b, err)
	return cursor
}

// BenchmarkInsert inserts one by one while four tails read all.
func BenchmarkInsert(b *testing.B) {
	for _, dir := range []string{"", b.TempDir()} {
		name := map[bool]string{true: "memory", false: "folder"}[dir == ""]
		b.Run(name, func(b *testing.B) {
			st, _ := start(b, Config{Dir: dir})
			log := logOf(b, connect(b, st), 64<<20, 0)
			fill(b, log, 1000)
			var tails sync.WaitGroup
			ctx, cancel := context.WithCancel(b.Context())
			defer tails.Wait()
			defer cancel()
			for range 4 {
				cursor := openTail(b, log, bson.D{})
				tails.Go(func() {
					defer cursor.Close(context.WithoutCancel(ctx))
					for cursor.Next(ctx) {
					}
				})
			}
			n := 0
			for b.Loop() {
				_, err := log.InsertOne(b.Context(), event(n))
				require.NoError(b, err)
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "inserts/s")
		})
	}
}

// BenchmarkInsertEngine leaves out the driver and the wire.
func BenchmarkInsertEngine(b *testing.B) {
	c := newCapped(cappedOptions{DB: "a", Name: "b", Size: 64 << 20}, new(clock))
	for b.Loop() {
		require.NoError(b, c.insert(document(event(1))))
	}
}

// BenchmarkPublishToTail is the way of one document to a waiting tail, in a
// collection that has seen 100,000.
func BenchmarkPublishToTail(b *testing.B) {
	st, _ := start(b, Config{})
	log := logOf(b, connect(b, st), 64<<20, 0)
	fill(b, log, 100_000)
	var last entry
	require.NoError(b, log.FindOne(b.Context(), bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: -1}})).Decode(&last))
	cursor := openTail(b, log, bson.D{{Key: "ts", Value: bson.D{{Key: "$gt", Value: last.TS}}}})
	defer cursor.Close(context.WithoutCancel(b.Context()))
	read := make(chan bool)
	go func() {
		for range read {
			read <- cursor.Next(b.Context())
		}
	}()
	n := 0
	for b.Loop() {
		read <- true
		_, err := log.InsertOne(b.Context(), event(n))
		require.NoError(b, err)
		require.True(b, <-read)
		n++
	}
	close(read)
}

// BenchmarkOpen opens a tail at the end of 150,000 documents.
func BenchmarkOpen(b *testing.B) {
	st, _ := start(b, Config{})
	log := logOf(b, connect(b, st), 64<<20, 0)
	fill(b, log, 150_000)
	var last entry
	require.NoError(b, log.FindOne(b.Context(), bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: -1}})).Decode(&last))
	for name, filter := range map[string]bson.D{
		"gte":    {{Key: "ts", Value: bson.D{{Key: "$gte", Value: last.TS}}}},
		"not lt": {{Key: "ts", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$lt", Value: last.TS}}}}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cursor := openTail(b, log, filter)
				require.True(b, cursor.Next(b.Context()))
				require.NoError(b, cursor.Close(b.Context()))
			}
		})
	}
}
