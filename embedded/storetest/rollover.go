package storetest

import (
	"strings"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var rolloverTests = []test{
	{"by number of documents", func(f *fixture) {
		coll := f.capped(1<<20, 5)
		f.numbered(coll, 1, 12)
		require.Equal(f, []int{8, 9, 10, 11, 12}, f.numbers(coll, bson.D{}))
		n, err := coll.EstimatedDocumentCount(f.ctx)
		require.NoError(f, err)
		require.EqualValues(f, 5, n)
	}},
	{"by size", func(f *fixture) {
		const size, each = 64 << 10, 1000
		coll := f.capped(size, 0)
		for n := range 200 {
			_, err := coll.InsertOne(f.ctx, bson.D{e("n", n), e("x", strings.Repeat("x", each))})
			require.NoError(f, err)
		}
		left := f.numbers(coll, bson.D{})
		require.Less(f, len(left), size/each+1)
		require.Greater(f, len(left), size/each/2)
		require.Equal(f, 199, left[len(left)-1])
		for i := 1; i < len(left); i++ {
			require.Equal(f, left[i-1]+1, left[i]) // the oldest have gone, and no others
		}
	}},
	{"an _id that has gone may come again", func(f *fixture) {
		coll := f.capped(1<<20, 2)
		for _, id := range []string{"a", "b", "c", "a"} {
			_, err := coll.InsertOne(f.ctx, bson.D{e("_id", id)})
			require.NoError(f, err)
		}
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", "c")})
		f.requireCode(err, duplicateKey)
	}},
	{"past a tail that was left behind", func(f *fixture) {
		coll := f.capped(1<<20, 5)
		f.numbered(coll, 1, 5)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetBatchSize(2))
		require.NoError(f, err)
		defer cursor.Close(f.ctx)
		require.True(f, cursor.Next(f.ctx))
		require.True(f, cursor.Next(f.ctx))
		f.numbered(coll, 6, 20)
		require.False(f, cursor.Next(f.ctx))
		f.requireCode(cursor.Err(), cappedPositionLost)
	}},
	{"past a cursor that is no tail", func(f *fixture) {
		coll := f.capped(1<<20, 5)
		f.numbered(coll, 1, 5)
		cursor, err := coll.Find(f.ctx, bson.D{}, options.Find().SetBatchSize(2))
		require.NoError(f, err)
		defer cursor.Close(f.ctx)
		require.True(f, cursor.Next(f.ctx))
		require.True(f, cursor.Next(f.ctx))
		f.numbered(coll, 6, 20)
		require.False(f, cursor.Next(f.ctx))
		f.requireCode(cursor.Err(), cappedPositionLost)
	}},
}
