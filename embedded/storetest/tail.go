package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// await is how long a tail waits for documents in most of these tests.
const await = 10 * time.Second

// getMore asks for more with all the patience there is: one that is not woken
// fails at the test's limit, which a driver's cursor would not (it asks again).
func (f *fixture) getMore(id int64) ([]int, error) {
	var reply struct {
		Cursor struct {
			Batch []numberedDoc `bson:"nextBatch"`
		} `bson:"cursor"`
	}
	command := bson.D{e("getMore", id), e("collection", "log"), e("maxTimeMS", 20*limit.Milliseconds())}
	err := f.db.RunCommand(f.ctx, command).Decode(&reply)
	return numbersOf(reply.Cursor.Batch), err
}

// waitingTail is a tail that has read all, and the collection.
func (f *fixture) waitingTail() (*mongo.Collection, int64) {
	f.Helper()
	coll := f.capped(1<<20, 0)
	f.numbered(coll, 1, 1)
	cursor := f.tail(coll, bson.D{}, await)
	require.Equal(f, 1, f.next(cursor))
	return coll, cursor.ID()
}

// tail opens a tailable cursor that waits.
func (f *fixture) tail(coll *mongo.Collection, filter any, wait time.Duration) *mongo.Cursor {
	f.Helper()
	opts := options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(wait)
	cursor, err := coll.Find(f.ctx, filter, opts)
	require.NoError(f, err)
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_ = cursor.Close(ctx)
	})
	return cursor
}

func (f *fixture) next(cursor *mongo.Cursor) int {
	f.Helper()
	require.True(f, cursor.Next(f.ctx), "%v", cursor.Err())
	var d numberedDoc
	require.NoError(f, cursor.Decode(&d))
	return d.N
}

// async runs do and returns its result when asked for it.
func (f *fixture) async(do func() error) (result func() error) {
	done := make(chan error, 1)
	go func() { done <- do() }()
	return func() error { return <-done }
}

var tailTests = []test{
	{"an empty collection gives a dead cursor", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		for _, size := range []int32{0, 1, 100} {
			for _, kind := range []options.CursorType{options.Tailable, options.TailableAwait} {
				cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetCursorType(kind).SetBatchSize(size))
				require.NoError(f, err)
				require.Zero(f, cursor.ID())
				require.False(f, cursor.Next(f.ctx))
				require.NoError(f, cursor.Err())
			}
		}
	}},
	{"a collection that is not there gives a dead cursor", func(f *fixture) {
		cursor := f.tail(f.db.Collection("log"), bson.D{}, await)
		require.Zero(f, cursor.ID())
		require.False(f, cursor.Next(f.ctx))
		require.NoError(f, cursor.Err())
	}},
	{"a tail reads what is there and what comes", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 3)
		cursor := f.tail(coll, bson.D{}, await)
		for _, n := range to(3) {
			require.Equal(f, n, f.next(cursor))
		}
		inserted := f.async(func() error {
			for n := 4; n <= 20; n++ {
				if _, err := coll.InsertOne(f.ctx, bson.D{e("n", n)}); err != nil {
					return err
				}
			}
			return nil
		})
		for n := 4; n <= 20; n++ {
			require.Equal(f, n, f.next(cursor))
		}
		require.NoError(f, inserted())
	}},
	{"a filter that matches nothing yet stays open", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 3)
		cursor := f.tail(coll, bson.D{e("n", bson.D{e("$gt", 5)})}, await)
		require.NotZero(f, cursor.ID())
		inserted := f.async(func() error {
			var docs []any
			for n := 4; n <= 8; n++ {
				docs = append(docs, bson.D{e("n", n)})
			}
			_, err := coll.InsertMany(f.ctx, docs)
			return err
		})
		for n := 6; n <= 8; n++ {
			require.Equal(f, n, f.next(cursor))
		}
		require.NoError(f, inserted())
	}},
	{"waiting ends with an empty batch, and the cursor lives", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 1)
		cursor := f.tail(coll, bson.D{}, 50*time.Millisecond)
		require.Equal(f, 1, f.next(cursor))
		for range 3 {
			require.False(f, cursor.TryNext(f.ctx))
			require.NoError(f, cursor.Err())
			require.NotZero(f, cursor.ID())
		}
		f.numbered(coll, 2, 2)
		require.Equal(f, 2, f.next(cursor))
	}},
	{"a tail that does not wait returns at once", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 1)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetCursorType(options.Tailable))
		require.NoError(f, err)
		defer cursor.Close(f.ctx)
		require.Equal(f, 1, f.next(cursor))
		for range 20 { // waiting would exceed the limit of the test
			require.False(f, cursor.TryNext(f.ctx))
			require.NoError(f, cursor.Err())
		}
		require.NotZero(f, cursor.ID())
		f.numbered(coll, 2, 2)
		require.Equal(f, 2, f.next(cursor))
	}},
	{"batch size 0 opens a tail without reading", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 2)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetBatchSize(0))
		require.NoError(f, err)
		defer cursor.Close(f.ctx)
		require.NotZero(f, cursor.ID())
		require.Zero(f, cursor.RemainingBatchLength())
		require.Equal(f, 1, f.next(cursor))
		require.Equal(f, 2, f.next(cursor))
	}},
	{"a tail in small batches", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 30)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetBatchSize(4))
		require.NoError(f, err)
		defer cursor.Close(f.ctx)
		for _, n := range to(30) {
			require.Equal(f, n, f.next(cursor))
		}
	}},
	{"a tail from a timestamp", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		for n := range 10 {
			_, err := coll.InsertOne(f.ctx, bson.D{e("n", n), e("ts", bson.Timestamp{})})
			require.NoError(f, err)
		}
		var fifth struct {
			TS bson.Timestamp `bson:"ts"`
		}
		require.NoError(f, coll.FindOne(f.ctx, bson.D{e("n", 5)}).Decode(&fifth))
		cursor := f.tail(coll, bson.D{e("ts", bson.D{e("$gte", fifth.TS)})}, await)
		for n := 5; n < 10; n++ {
			require.Equal(f, n, f.next(cursor))
		}
	}},
	{"a tail may only be in natural order", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 1)
		tail := func(sort bson.D) error {
			cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetCursorType(options.Tailable).SetSort(sort))
			if err == nil {
				err = cursor.Close(f.ctx)
			}
			return err
		}
		f.requireCode(tail(bson.D{e("n", 1)}), badValue)
		f.requireCode(tail(bson.D{e("$natural", -1)}), badValue)
		require.NoError(f, tail(bson.D{e("$natural", 1)}))
	}},
	{"an insert wakes a waiting tail", func(f *fixture) {
		coll, id := f.waitingTail()
		for n := 2; n < 50; n++ {
			inserted := f.async(func() error { _, err := coll.InsertOne(f.ctx, bson.D{e("n", n)}); return err })
			got, err := f.getMore(id)
			require.NoError(f, err)
			require.Equal(f, []int{n}, got)
			require.NoError(f, inserted())
		}
	}},
	{"dropping the collection ends a waiting tail", func(f *fixture) {
		coll, id := f.waitingTail()
		dropped := f.async(func() error { return coll.Drop(f.ctx) })
		_, err := f.getMore(id)
		f.requireCode(err, queryPlanKilled)
		require.NoError(f, dropped())
	}},
	{"dropping the database ends a waiting tail", func(f *fixture) {
		_, id := f.waitingTail()
		dropped := f.async(func() error { return f.db.Drop(f.ctx) })
		_, err := f.getMore(id)
		f.requireCode(err, queryPlanKilled)
		require.NoError(f, dropped())
	}},
	{"tails and inserters at once: nothing lost, nothing twice, one order", func(f *fixture) {
		const tails, inserters, each = 4, 4, 150
		coll := f.capped(16<<20, 0)
		f.numbered(coll, 0, 0)
		read := make([][]int, tails)
		var work sync.WaitGroup
		errs := make([]error, tails+inserters)
		for i := range tails {
			cursor := f.tail(coll, bson.D{e("n", bson.D{e("$gt", 0)})}, await)
			work.Go(func() {
				for len(read[i]) < inserters*each && cursor.Next(f.ctx) {
					var d numberedDoc
					errs[i] = errors.Join(errs[i], cursor.Decode(&d))
					read[i] = append(read[i], d.N)
				}
				errs[i] = errors.Join(errs[i], cursor.Err())
			})
		}
		for i := range inserters {
			work.Go(func() {
				for n := range each {
					if _, err := coll.InsertOne(f.ctx, bson.D{e("n", 1+i*each+n)}); err != nil {
						errs[tails+i] = err
					}
				}
			})
		}
		work.Wait()
		require.NoError(f, errors.Join(errs...))
		require.ElementsMatch(f, to(inserters*each), read[0])
		stored := f.numbers(coll, bson.D{e("n", bson.D{e("$gt", 0)})})
		for i := range tails {
			require.Equal(f, stored, read[i])
		}
	}},
}

var cursorTests = []test{
	{"a cursor that was killed is not found", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 5)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetBatchSize(2))
		require.NoError(f, err)
		id := cursor.ID()
		require.NotZero(f, id)
		var reply struct {
			Killed  []int64 `bson:"cursorsKilled"`
			Missing []int64 `bson:"cursorsNotFound"`
		}
		kill := bson.D{e("killCursors", "log"), e("cursors", bson.A{id})}
		require.NoError(f, f.db.RunCommand(f.ctx, kill).Decode(&reply))
		require.Equal(f, []int64{id}, reply.Killed)
		f.requireCode(f.db.RunCommand(f.ctx, bson.D{e("getMore", id), e("collection", "log")}).Err(), cursorNotFound)
		require.NoError(f, f.db.RunCommand(f.ctx, kill).Decode(&reply))
		require.Equal(f, []int64{id}, reply.Missing)
	}},
	{"killing ends a waiting tail", func(f *fixture) {
		_, id := f.waitingTail()
		killed := f.async(func() error {
			return f.db.RunCommand(f.ctx, bson.D{e("killCursors", "log"), e("cursors", bson.A{id})}).Err()
		})
		_, err := f.getMore(id)
		f.requireCode(err, cursorNotFound, cursorKilled)
		require.NoError(f, killed())
	}},
	{"a cursor belongs to its collection", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 5)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetBatchSize(2))
		require.NoError(f, err)
		defer cursor.Close(f.ctx)
		require.Error(f, f.db.RunCommand(f.ctx, bson.D{e("getMore", cursor.ID()), e("collection", "other")}).Err())
		require.Equal(f, 1, f.next(cursor))
		require.Equal(f, 2, f.next(cursor))
		require.Equal(f, 3, f.next(cursor))
	}},
	{"a client that stops waiting can go on", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 1)
		cursor := f.tail(coll, bson.D{}, await)
		require.Equal(f, 1, f.next(cursor))
		ctx, cancel := context.WithCancel(f.ctx)
		waiting := f.async(func() error { cursor.Next(ctx); return cursor.Err() })
		cancel()
		require.ErrorIs(f, waiting(), context.Canceled)
		f.numbered(coll, 2, 3)
		require.Equal(f, to(3), f.numbers(coll, bson.D{}))
	}},
}
