package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// people are what the filters choose from; n is their number.
var people = []any{
	bson.D{e("n", 1), e("name", "ann"), e("age", 31), e("tags", bson.A{"a", "b"}), e("at", bson.DateTime(1000))},
	bson.D{e("n", 2), e("name", "bob"), e("age", int64(25)), e("tags", bson.A{}), e("host", bson.D{e("name", "h1"), e("port", 80)})},
	bson.D{e("n", 3), e("name", "cyd"), e("age", 25.5), e("host", bson.D{e("name", "h2")}), e("at", bson.DateTime(2000))},
	bson.D{e("n", 4), e("name", nil), e("age", "31"), e("list", bson.A{bson.D{e("k", 1), e("v", 5)}, bson.D{e("k", 2), e("v", 6)}})},
	bson.D{e("n", 5), e("scores", bson.A{1, 5, 9}), e("ts", bson.Timestamp{T: 10, I: 2}), e("ok", true)},
	bson.D{e("n", 6), e("name", "Ann B"), e("scores", 5), e("ts", bson.Timestamp{T: 11, I: 1}), e("ok", false)},
}

var filters = []struct {
	filter bson.D
	want   []int
}{
	{bson.D{}, []int{1, 2, 3, 4, 5, 6}},
	{bson.D{e("name", "ann")}, []int{1}},
	{bson.D{e("name", bson.D{e("$eq", "ann")})}, []int{1}},
	{bson.D{e("age", 31)}, []int{1}},
	{bson.D{e("age", 25.0)}, []int{2}},
	{bson.D{e("name", nil)}, []int{4, 5}},
	{bson.D{e("name", bson.D{e("$ne", "ann")})}, []int{2, 3, 4, 5, 6}},
	{bson.D{e("name", bson.D{e("$ne", nil)})}, []int{1, 2, 3, 6}},
	{bson.D{e("age", bson.D{e("$gt", 25)})}, []int{1, 3}},
	{bson.D{e("age", bson.D{e("$gte", 25)})}, []int{1, 2, 3}},
	{bson.D{e("age", bson.D{e("$lt", 25.6)})}, []int{2, 3}},
	{bson.D{e("age", bson.D{e("$lte", int64(25))})}, []int{2}},
	{bson.D{e("age", bson.D{e("$gte", "30")})}, []int{4}},
	{bson.D{e("age", bson.D{e("$gt", 25), e("$lt", 31)})}, []int{3}},
	{bson.D{e("age", bson.D{e("$not", bson.D{e("$lt", 31)})})}, []int{1, 4, 5, 6}},
	{bson.D{e("ts", bson.D{e("$gte", bson.Timestamp{T: 10, I: 3})})}, []int{6}},
	{bson.D{e("ts", bson.D{e("$gte", bson.Timestamp{T: 10, I: 2})})}, []int{5, 6}},
	{bson.D{e("ts", bson.D{e("$not", bson.D{e("$lt", bson.Timestamp{T: 11})})})}, []int{1, 2, 3, 4, 6}},
	{bson.D{e("at", bson.D{e("$gt", bson.DateTime(1000))})}, []int{3}},
	{bson.D{e("at", bson.D{e("$gt", 1)})}, []int{}},
	{bson.D{e("name", bson.D{e("$in", bson.A{"ann", "cyd", "x"})})}, []int{1, 3}},
	{bson.D{e("name", bson.D{e("$in", bson.A{nil, "bob"})})}, []int{2, 4, 5}},
	{bson.D{e("name", bson.D{e("$in", bson.A{bson.Regex{Pattern: "^a"}})})}, []int{1}},
	{bson.D{e("name", bson.D{e("$in", bson.A{})})}, []int{}},
	{bson.D{e("name", bson.D{e("$nin", bson.A{"ann", nil})})}, []int{2, 3, 6}},
	{bson.D{e("age", bson.D{e("$exists", false)})}, []int{5, 6}},
	{bson.D{e("name", bson.D{e("$exists", true)})}, []int{1, 2, 3, 4, 6}},
	{bson.D{e("tags", "a")}, []int{1}},
	{bson.D{e("tags", bson.A{"a", "b"})}, []int{1}},
	{bson.D{e("tags", bson.D{e("$ne", "a")})}, []int{2, 3, 4, 5, 6}},
	{bson.D{e("tags", bson.D{e("$size", 2)})}, []int{1}},
	{bson.D{e("tags", bson.D{e("$exists", true)})}, []int{1, 2}},
	{bson.D{e("scores", bson.D{e("$gt", 8)})}, []int{5}},
	{bson.D{e("scores", bson.D{e("$gt", 1), e("$lt", 5)})}, []int{5}}, // by different elements
	{bson.D{e("scores", bson.D{e("$elemMatch", bson.D{e("$gt", 1), e("$lt", 5)})})}, []int{}},
	{bson.D{e("scores", bson.D{e("$elemMatch", bson.D{e("$gt", 4), e("$lt", 6)})})}, []int{5}},
	{bson.D{e("scores", 5)}, []int{5, 6}},
	{bson.D{e("scores.1", 5)}, []int{5}},
	{bson.D{e("host.name", "h2")}, []int{3}},
	{bson.D{e("host", bson.D{e("name", "h2")})}, []int{3}},
	{bson.D{e("host", bson.D{e("port", 80), e("name", "h1")})}, []int{}}, // order counts
	{bson.D{e("host.port", bson.D{e("$exists", true)})}, []int{2}},
	{bson.D{e("list.k", 2)}, []int{4}},
	{bson.D{e("list.k", 1), e("list.v", 6)}, []int{4}},
	{bson.D{e("list", bson.D{e("$elemMatch", bson.D{e("k", 1), e("v", 6)})})}, []int{}},
	{bson.D{e("list", bson.D{e("$elemMatch", bson.D{e("k", 1), e("v", 5)})})}, []int{4}},
	{bson.D{e("list.0.v", 5)}, []int{4}},
	{bson.D{e("ok", true)}, []int{5}},
	{bson.D{e("ok", bson.D{e("$ne", true)})}, []int{1, 2, 3, 4, 6}},
	{bson.D{e("name", bson.D{e("$regex", "^a")})}, []int{1}},
	{bson.D{e("name", bson.D{e("$regex", "^a"), e("$options", "i")})}, []int{1, 6}},
	{bson.D{e("name", bson.Regex{Pattern: "^ANN$", Options: "i"})}, []int{1}},
	{bson.D{e("name", bson.D{e("$not", bson.Regex{Pattern: "n"})})}, []int{2, 3, 4, 5}},
	{bson.D{e("age", bson.D{e("$type", "string")})}, []int{4}},
	{bson.D{e("age", bson.D{e("$type", "number")})}, []int{1, 2, 3}},
	{bson.D{e("$or", bson.A{bson.D{e("n", 1)}, bson.D{e("age", 25)}})}, []int{1, 2}},
	{bson.D{e("$and", bson.A{bson.D{e("n", bson.D{e("$gt", 1)})}, bson.D{e("n", bson.D{e("$lt", 3)})}})}, []int{2}},
	{bson.D{e("$nor", bson.A{bson.D{e("n", bson.D{e("$lt", 3)})}, bson.D{e("name", nil)}})}, []int{3, 6}},
	{bson.D{e("n", 2), e("$or", bson.A{bson.D{e("n", 1)}, bson.D{e("n", 2)}})}, []int{2}},
}

func (f *fixture) people() *mongo.Collection {
	coll := f.capped(1<<20, 0)
	_, err := coll.InsertMany(f.ctx, people)
	require.NoError(f, err)
	return coll
}

var queryTests = []test{
	{"filters", func(f *fixture) {
		coll := f.people()
		for _, c := range filters {
			f.Run(fmt.Sprint(c.filter), func(t *testing.T) {
				g := *f
				g.T = t
				require.Equal(t, c.want, g.numbers(coll, c.filter))
				n, err := coll.CountDocuments(f.ctx, c.filter)
				require.NoError(t, err)
				require.EqualValues(t, len(c.want), n)
			})
		}
	}},
	{"wrong filters are refused", func(f *fixture) {
		coll := f.people()
		for _, filter := range []bson.D{
			{e("n", bson.D{e("$nonsense", 1)})}, {e("$nonsense", 1)}, {e("n", bson.D{e("$in", 1)})},
			{e("$or", bson.A{})}, {e("$and", 1)}, {e("n", bson.D{e("$regex", "(")})}, {e("n", bson.D{e("$size", -1)})},
		} {
			_, err := coll.Find(f.ctx, filter)
			require.Error(f, err, "%v", filter)
			f.requireCode(err, badValue, 51091)
		}
	}},
	{"natural order both ways", func(f *fixture) {
		coll := f.people()
		backward := bson.D{e("$natural", -1)}
		require.Equal(f, []int{6, 5, 4, 3, 2, 1}, f.numbers(coll, bson.D{}, options.Find().SetSort(backward)))
		require.Equal(f, []int{6, 5, 4, 3, 2, 1}, f.numbers(coll, bson.D{}, options.Find().SetSort(backward).SetBatchSize(2)))
		require.Equal(f, []int{6, 5}, f.numbers(coll, bson.D{}, options.Find().SetSort(backward).SetLimit(2)))
		require.Equal(f, []int{6, 5, 4, 3, 2, 1}, f.numbers(coll, bson.D{}, options.Find().SetHint(backward)))
		require.Equal(f, to(6), f.numbers(coll, bson.D{}, options.Find().SetSort(bson.D{e("$natural", 1)})))
		require.Equal(f, []int{3}, f.numbers(coll, bson.D{e("n", bson.D{e("$lt", 5)})}, options.Find().SetSort(backward).SetSkip(1).SetLimit(1)))
	}},
	{"sort by fields", func(f *fixture) {
		coll := f.people()
		by := func(sort bson.D) []int { return f.numbers(coll, bson.D{}, options.Find().SetSort(sort)) }
		require.Equal(f, []int{6, 5, 4, 3, 2, 1}, by(bson.D{e("n", -1)}))
		require.Equal(f, []int{5, 6, 2, 3, 1, 4}, by(bson.D{e("age", 1), e("n", 1)})) // missing, numbers, strings
		require.Equal(f, []int{5, 6}, f.numbers(coll, bson.D{e("ts", bson.D{e("$exists", true)})}, options.Find().SetSort(bson.D{e("ts", 1)})))
		require.Equal(f, []int{2, 3}, f.numbers(coll, bson.D{}, options.Find().SetSort(bson.D{e("n", 1)}).SetSkip(1).SetLimit(2).SetBatchSize(1)))
	}},
	{"skip, limit and batches", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 250)
		require.Equal(f, to(250), f.numbers(coll, bson.D{}))
		for _, size := range []int32{1, 7, 100, 250, 1000} {
			require.Equal(f, to(250), f.numbers(coll, bson.D{}, options.Find().SetBatchSize(size)))
		}
		require.Equal(f, to(7), f.numbers(coll, bson.D{}, options.Find().SetLimit(7).SetBatchSize(3)))
		require.Equal(f, to(7), f.numbers(coll, bson.D{}, options.Find().SetLimit(-7)))
		require.Equal(f, []int{249, 250}, f.numbers(coll, bson.D{}, options.Find().SetSkip(248)))
		require.Empty(f, f.numbers(coll, bson.D{}, options.Find().SetSkip(300)))
	}},
	{"a query that opens without reading", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 3)
		var reply struct {
			Cursor struct {
				ID    int64  `bson:"id"`
				NS    string `bson:"ns"`
				Batch bson.A `bson:"firstBatch"`
			} `bson:"cursor"`
		}
		require.NoError(f, f.db.RunCommand(f.ctx, bson.D{e("find", "log"), e("batchSize", 0)}).Decode(&reply))
		require.NotZero(f, reply.Cursor.ID)
		require.Empty(f, reply.Cursor.Batch)
		require.Equal(f, f.db.Name()+".log", reply.Cursor.NS)
	}},
	{"projections", func(f *fixture) {
		coll := f.people()
		for _, c := range []struct {
			n          int
			projection bson.D
			want       bson.D
		}{
			{2, bson.D{e("_id", 0), e("name", 1)}, bson.D{e("name", "bob")}},
			{2, bson.D{e("_id", 0), e("host.port", 1)}, bson.D{e("host", bson.D{e("port", int32(80))})}},
			{3, bson.D{e("_id", 0), e("host.port", 1)}, bson.D{e("host", bson.D{})}},
			{3, bson.D{e("_id", 0), e("host", 0), e("at", false)}, bson.D{e("n", int32(3)), e("name", "cyd"), e("age", 25.5)}},
			{4, bson.D{e("_id", 0), e("list.k", 1)}, bson.D{e("list", bson.A{bson.D{e("k", int32(1))}, bson.D{e("k", int32(2))}})}},
			{4, bson.D{e("_id", 0), e("list.k", 0), e("name", 0), e("age", 0)},
				bson.D{e("n", int32(4)), e("list", bson.A{bson.D{e("v", int32(5))}, bson.D{e("v", int32(6))}})}},
		} {
			var got bson.D
			opts := options.FindOne().SetProjection(c.projection)
			require.NoError(f, coll.FindOne(f.ctx, bson.D{e("n", c.n)}, opts).Decode(&got))
			require.Equal(f, c.want, got, "%v", c.projection)
		}
		var got bson.D
		require.NoError(f, coll.FindOne(f.ctx, bson.D{e("n", 1)}, options.FindOne().SetProjection(bson.D{e("_id", 1)})).Decode(&got))
		require.Len(f, got, 1)
		_, err := coll.Find(f.ctx, bson.D{}, options.Find().SetProjection(bson.D{e("a", 1), e("b", 0)}))
		require.Error(f, err)
	}},
	{"a document by its _id", func(f *fixture) {
		coll := f.people()
		id := bson.NewObjectID()
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", id), e("n", 7)})
		require.NoError(f, err)
		require.Equal(f, []int{7}, f.numbers(coll, bson.D{e("_id", id)}))
		require.Equal(f, []int{7}, f.numbers(coll, bson.D{e("_id", bson.D{e("$in", bson.A{id})})}))
		require.Empty(f, f.numbers(coll, bson.D{e("_id", id), e("n", 8)}))
		require.ErrorIs(f, coll.FindOne(f.ctx, bson.D{e("_id", bson.NewObjectID())}).Err(), mongo.ErrNoDocuments)
	}},
	{"counts", func(f *fixture) {
		coll := f.people()
		n, err := coll.EstimatedDocumentCount(f.ctx)
		require.NoError(f, err)
		require.EqualValues(f, 6, n)
		n, err = coll.CountDocuments(f.ctx, bson.D{e("n", bson.D{e("$gt", 1)})}, options.Count().SetSkip(1).SetLimit(3))
		require.NoError(f, err)
		require.EqualValues(f, 3, n)
		n, err = coll.CountDocuments(f.ctx, bson.D{e("n", 99)})
		require.NoError(f, err)
		require.Zero(f, n)
	}},
	{"distinct values", func(f *fixture) {
		coll := f.people()
		var names []any
		require.NoError(f, coll.Distinct(f.ctx, "scores", bson.D{}).Decode(&names))
		require.ElementsMatch(f, []any{int32(1), int32(5), int32(9)}, names)
	}},
	{"simple aggregations", func(f *fixture) {
		coll := f.people()
		cursor, err := coll.Aggregate(f.ctx, mongo.Pipeline{
			{e("$match", bson.D{e("n", bson.D{e("$gt", 1)})})}, {e("$sort", bson.D{e("n", -1)})}, {e("$skip", 1)}, {e("$limit", 2)},
			{e("$project", bson.D{e("_id", 0), e("n", 1)})}})
		require.NoError(f, err)
		var docs []bson.D
		require.NoError(f, cursor.All(f.ctx, &docs))
		require.Equal(f, []bson.D{{e("n", int32(5))}, {e("n", int32(4))}}, docs)
		cursor, err = coll.Aggregate(f.ctx, mongo.Pipeline{{e("$match", bson.D{e("n", bson.D{e("$gt", 1)})})}, {e("$count", "many")}})
		require.NoError(f, err)
		require.NoError(f, cursor.All(f.ctx, &docs))
		require.Equal(f, []bson.D{{e("many", int32(5))}}, docs)
		_, err = coll.Aggregate(f.ctx, mongo.Pipeline{{e("$nonsense", 1)}})
		f.requireCode(err, 40324)
	}},
}
