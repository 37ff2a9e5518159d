package storetest

import (
	"errors"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var insertTests = []test{
	{"documents keep the order of insertion", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 20)
		require.Equal(f, to(20), f.numbers(coll, bson.D{}))
	}},
	{"many at once", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		var docs []any
		for _, n := range to(500) {
			docs = append(docs, bson.D{e("n", n)})
		}
		result, err := coll.InsertMany(f.ctx, docs)
		require.NoError(f, err)
		require.Len(f, result.InsertedIDs, 500)
		require.Equal(f, to(500), f.numbers(coll, bson.D{}))
	}},
	{"a duplicate _id is refused", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		for _, id := range []any{bson.NewObjectID(), "a", 7, bson.D{e("a", 1)}} {
			_, err := coll.InsertOne(f.ctx, bson.D{e("_id", id)})
			require.NoError(f, err)
			_, err = coll.InsertOne(f.ctx, bson.D{e("_id", id)})
			f.requireCode(err, duplicateKey)
			require.True(f, mongo.IsDuplicateKeyError(err))
			require.Contains(f, err.Error(), "_id")
		}
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 7.0)})
		f.requireCode(err, duplicateKey) // numbers are equal across types
		n, err := coll.CountDocuments(f.ctx, bson.D{})
		require.NoError(f, err)
		require.EqualValues(f, 4, n)
	}},
	{"ordered inserts stop at the first failure, others go on", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		docs := []any{bson.D{e("_id", 1), e("n", 1)}, bson.D{e("_id", 1), e("n", 2)}, bson.D{e("_id", 3), e("n", 3)}}
		_, err := coll.InsertMany(f.ctx, docs)
		var many mongo.BulkWriteException
		require.True(f, errors.As(err, &many))
		require.Len(f, many.WriteErrors, 1)
		require.Equal(f, 1, many.WriteErrors[0].Index)
		require.Equal(f, duplicateKey, many.WriteErrors[0].Code)
		require.Equal(f, []int{1}, f.numbers(coll, bson.D{}))

		_, err = coll.InsertMany(f.ctx, docs, options.InsertMany().SetOrdered(false))
		require.True(f, errors.As(err, &many))
		require.Len(f, many.WriteErrors, 2)
		require.Equal(f, []int{1, 3}, f.numbers(coll, bson.D{}))
	}},
	{"_id is made when missing and comes first", func(f *fixture) {
		f.capped(1<<20, 0)
		insert := bson.D{e("insert", "log"), e("documents", bson.A{
			bson.D{e("n", 1)}, bson.D{e("n", 2), e("_id", "x")}})}
		require.NoError(f, f.db.RunCommand(f.ctx, insert).Err())
		cursor, err := f.db.Collection("log").Find(f.ctx, bson.D{})
		require.NoError(f, err)
		var docs []bson.D
		require.NoError(f, cursor.All(f.ctx, &docs))
		require.Len(f, docs, 2)
		require.Equal(f, "_id", docs[0][0].Key)
		require.IsType(f, bson.ObjectID{}, docs[0][0].Value)
		require.Equal(f, bson.D{e("_id", "x"), e("n", int32(2))}, docs[1])
	}},
	{"an _id must not be an array", func(f *fixture) {
		_, err := f.capped(1<<20, 0).InsertOne(f.ctx, bson.D{e("_id", bson.A{1})})
		require.Error(f, err)
		f.requireCode(err, badValue, 53)
	}},
	{"a document larger than the collection is refused", func(f *fixture) {
		coll := f.capped(4096, 0)
		f.numbered(coll, 1, 1)
		_, err := coll.InsertOne(f.ctx, bson.D{e("x", strings.Repeat("x", 10_000))})
		require.Error(f, err)
		f.requireCode(err, badValue, 10003)
		require.Equal(f, []int{1}, f.numbers(coll, bson.D{}))
	}},
	{"every type comes back as it was", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		decimal, err := bson.ParseDecimal128("12.50")
		require.NoError(f, err)
		doc := bson.D{e("_id", "all"), e("double", 1.5), e("string", "s"), e("doc", bson.D{e("a", bson.D{e("b", int32(1))})}),
			e("array", bson.A{int32(1), bson.A{"x"}, bson.D{}}), e("binary", bson.Binary{Subtype: 0x80, Data: []byte{1, 2}}),
			e("oid", bson.NewObjectID()), e("bool", true), e("date", bson.DateTime(123)), e("null", nil),
			e("regex", bson.Regex{Pattern: "a", Options: "i"}), e("int", int32(3)), e("ts", bson.Timestamp{T: 3, I: 4}),
			e("long", int64(1<<40)), e("decimal", decimal), e("min", bson.MinKey{}), e("max", bson.MaxKey{}), e("", "empty key")}
		_, err = coll.InsertOne(f.ctx, doc)
		require.NoError(f, err)
		var got bson.D
		require.NoError(f, coll.FindOne(f.ctx, bson.D{}).Decode(&got))
		require.Equal(f, doc, got)
	}},
}

var stampTests = []test{
	{"an empty timestamp at the top level is filled in", func(f *fixture) {
		for _, coll := range []*mongo.Collection{f.capped(1<<20, 0), f.db.Collection("some")} {
			doc := bson.D{e("_id", 1), e("ts", bson.Timestamp{}), e("in", bson.D{e("ts", bson.Timestamp{})}),
				e("given", bson.Timestamp{T: 5, I: 6}), e("other", bson.Timestamp{})}
			_, err := coll.InsertOne(f.ctx, doc)
			require.NoError(f, err)
			var got stamped
			require.NoError(f, coll.FindOne(f.ctx, bson.D{}).Decode(&got))
			require.NotZero(f, got.TS.T)
			require.NotZero(f, got.TS.I)
			require.NotZero(f, got.Other)
			require.NotEqual(f, got.TS, got.Other)
			require.Zero(f, got.In.TS)
			require.Equal(f, bson.Timestamp{T: 5, I: 6}, got.Given)
		}
	}},
	{"the timestamp is the time of the database", func(f *fixture) {
		var before, after struct {
			LocalTime bson.DateTime `bson:"localTime"`
		}
		hello := bson.D{e("hello", 1)}
		require.NoError(f, f.db.RunCommand(f.ctx, hello).Decode(&before))
		coll := f.capped(1<<20, 0)
		_, err := coll.InsertOne(f.ctx, bson.D{e("ts", bson.Timestamp{})})
		require.NoError(f, err)
		require.NoError(f, f.db.RunCommand(f.ctx, hello).Decode(&after))
		var got stamped
		require.NoError(f, coll.FindOne(f.ctx, bson.D{}).Decode(&got))
		require.GreaterOrEqual(f, int64(got.TS.T)+1, before.LocalTime.Time().Unix())
		require.LessOrEqual(f, int64(got.TS.T)-1, after.LocalTime.Time().Unix())
	}},
	{"stamps of 20 inserters are unique, and rise for each", func(f *fixture) {
		const inserters, each = 20, 25
		coll := f.capped(1<<20, 0)
		var running sync.WaitGroup
		errs := make([]error, inserters)
		for i := range inserters {
			running.Go(func() {
				for n := range each {
					if _, err := coll.InsertOne(f.ctx, bson.D{e("ts", bson.Timestamp{}), e("by", i), e("n", n)}); err != nil {
						errs[i] = err
					}
				}
			})
		}
		running.Wait()
		require.NoError(f, errors.Join(errs...))
		cursor, err := coll.Find(f.ctx, bson.D{})
		require.NoError(f, err)
		var docs []stamped
		require.NoError(f, cursor.All(f.ctx, &docs))
		require.Len(f, docs, inserters*each)
		all, last := map[bson.Timestamp]bool{}, map[int]stamped{}
		for _, d := range docs {
			require.False(f, all[d.TS], "%v twice", d.TS)
			all[d.TS] = true
			if before, ok := last[d.By]; ok {
				require.Equal(f, before.N+1, d.N)
				require.True(f, d.TS.After(before.TS))
			}
			last[d.By] = d
		}
	}},
	{"$currentDate takes the time of the database", func(f *fixture) {
		coll := f.db.Collection("some")
		update := bson.D{e("$currentDate", bson.D{e("at", true), e("ts", bson.D{e("$type", "timestamp")}),
			e("d", bson.D{e("$type", "date")})}), e("$set", bson.D{e("n", 1)})}
		var last bson.Timestamp
		for range 5 {
			_, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 1)}, update, options.UpdateOne().SetUpsert(true))
			require.NoError(f, err)
			got := f.current(coll)
			require.True(f, got.TS.After(last))
			last = got.TS
			require.NoError(f, coll.FindOneAndUpdate(f.ctx, bson.D{e("_id", 1)}, update).Err())
			got = f.current(coll)
			require.True(f, got.TS.After(last))
			last = got.TS
		}
	}},
	{"a replacement is stamped as well", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.ReplaceOne(f.ctx, bson.D{e("_id", 1)}, bson.D{e("ts", bson.Timestamp{})}, options.Replace().SetUpsert(true))
		require.NoError(f, err)
		var got stamped
		require.NoError(f, coll.FindOne(f.ctx, bson.D{e("_id", 1)}).Decode(&got))
		require.NotZero(f, got.TS)
	}},
}

type stamped struct {
	TS    bson.Timestamp `bson:"ts"`
	Other bson.Timestamp `bson:"other"`
	Given bson.Timestamp `bson:"given"`
	In    struct {
		TS bson.Timestamp `bson:"ts"`
	} `bson:"in"`
	By int `bson:"by"`
	N  int `bson:"n"`
}

type currentDates struct {
	At bson.DateTime  `bson:"at"`
	D  bson.DateTime  `bson:"d"`
	TS bson.Timestamp `bson:"ts"`
	N  int            `bson:"n"`
}

func (f *fixture) current(coll *mongo.Collection) currentDates {
	f.Helper()
	var got currentDates
	require.NoError(f, coll.FindOne(f.ctx, bson.D{e("_id", 1)}).Decode(&got))
	require.NotZero(f, got.At)
	require.NotZero(f, got.D)
	require.Equal(f, 1, got.N)
	return got
}
