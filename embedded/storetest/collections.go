package storetest

import (
	"sync"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var collectionTests = []test{
	{"a capped collection is listed as such", func(f *fixture) {
		f.capped(1<<20, 7)
		_, err := f.db.Collection("some").InsertOne(f.ctx, bson.D{})
		require.NoError(f, err)

		specs, err := f.db.ListCollectionSpecifications(f.ctx, bson.D{e("name", "log")})
		require.NoError(f, err)
		require.Len(f, specs, 1)
		require.Equal(f, "collection", specs[0].Type)
		require.NotNil(f, specs[0].UUID)
		var opts struct {
			Capped bool  `bson:"capped"`
			Size   int64 `bson:"size"`
			Max    int64 `bson:"max"`
		}
		require.NoError(f, bson.Unmarshal(specs[0].Options, &opts))
		require.True(f, opts.Capped)
		require.EqualValues(f, 1<<20, opts.Size)
		require.EqualValues(f, 7, opts.Max)

		for _, c := range []struct {
			filter bson.D
			want   []string
		}{
			{bson.D{}, []string{"log", "some"}},
			{bson.D{e("name", "some")}, []string{"some"}},
			{bson.D{e("options.capped", true)}, []string{"log"}},
			{bson.D{e("name", bson.D{e("$in", bson.A{"log", "other"})}), e("type", "collection")}, []string{"log"}},
			{bson.D{e("name", "other")}, []string{}},
		} {
			names, err := f.db.ListCollectionNames(f.ctx, c.filter)
			require.NoError(f, err)
			require.ElementsMatch(f, c.want, names, "%v", c.filter)
		}
	}},
	{"creating a collection twice", func(f *fixture) {
		f.capped(1<<20, 0)
		err := f.db.CreateCollection(f.ctx, "log", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20))
		if err != nil { // a success since 7.0
			f.requireCode(err, namespaceExists)
		}
		err = f.db.CreateCollection(f.ctx, "log", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<21))
		f.requireCode(err, namespaceExists)
		f.requireCode(f.db.CreateCollection(f.ctx, "log"), namespaceExists)
	}},
	{"an ordinary collection does not become a capped one", func(f *fixture) {
		_, err := f.db.Collection("log").InsertOne(f.ctx, bson.D{e("n", 1)})
		require.NoError(f, err)
		err = f.db.CreateCollection(f.ctx, "log", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20))
		f.requireCode(err, namespaceExists)
		require.Equal(f, []int{1}, f.numbers(f.db.Collection("log"), bson.D{}))
	}},
	{"a capped collection needs a size", func(f *fixture) {
		f.requireCode(f.db.RunCommand(f.ctx, bson.D{e("create", "log"), e("capped", true)}).Err(), invalidOptions)
	}},
	{"many create the same collection at once", func(f *fixture) {
		var clients sync.WaitGroup
		errs := make([]error, 10)
		for i := range errs {
			clients.Go(func() {
				opts := options.CreateCollection().SetCapped(true).SetSizeInBytes(1 << 20)
				errs[i] = f.db.CreateCollection(f.ctx, "log", opts)
			})
		}
		clients.Wait()
		made := 0
		for _, err := range errs {
			if err != nil {
				f.requireCode(err, namespaceExists)
			} else {
				made++
			}
		}
		require.Positive(f, made)
		specs, err := f.db.ListCollectionSpecifications(f.ctx, bson.D{})
		require.NoError(f, err)
		require.Len(f, specs, 1)
	}},
	{"creation and a first insert at once leave one collection", func(f *fixture) {
		for range 10 {
			var clients sync.WaitGroup
			var errCreate, errInsert error
			clients.Go(func() {
				errCreate = f.db.CreateCollection(f.ctx, "log", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20))
			})
			clients.Go(func() { _, errInsert = f.db.Collection("log").InsertOne(f.ctx, bson.D{e("n", 1)}) })
			clients.Wait()
			require.NoError(f, errInsert)
			if errCreate != nil {
				f.requireCode(errCreate, namespaceExists)
			}
			names, err := f.db.ListCollectionNames(f.ctx, bson.D{})
			require.NoError(f, err)
			require.Equal(f, []string{"log"}, names)
			require.Equal(f, []int{1}, f.numbers(f.db.Collection("log"), bson.D{}))
			require.NoError(f, f.db.Collection("log").Drop(f.ctx))
		}
	}},
	{"dropping ends a collection", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 3)
		require.NoError(f, coll.Drop(f.ctx))
		require.Empty(f, f.numbers(coll, bson.D{}))
		names, err := f.db.ListCollectionNames(f.ctx, bson.D{})
		require.NoError(f, err)
		require.Empty(f, names)
		f.numbered(f.capped(1<<20, 0), 1, 1)
		require.Equal(f, []int{1}, f.numbers(coll, bson.D{}))
	}},
	{"dropping the database ends all its collections", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 3)
		f.numbered(f.db.Collection("some"), 1, 3)
		require.NoError(f, f.db.Drop(f.ctx))
		names, err := f.db.ListCollectionNames(f.ctx, bson.D{})
		require.NoError(f, err)
		require.Empty(f, names)
	}},
	{"databases are listed", func(f *fixture) {
		f.numbered(f.capped(1<<20, 0), 1, 1)
		names, err := f.client.ListDatabaseNames(f.ctx, bson.D{e("name", f.db.Name())})
		require.NoError(f, err)
		require.Equal(f, []string{f.db.Name()}, names)
	}},
	{"statistics of a capped collection", func(f *fixture) {
		coll := f.capped(1<<20, 100)
		f.numbered(coll, 1, 5)
		type stats struct {
			Count   int64 `bson:"count"`
			Size    int64 `bson:"size"`
			Capped  bool  `bson:"capped"`
			Max     int64 `bson:"max"`
			MaxSize int64 `bson:"maxSize"`
		}
		check := func(s stats) {
			require.EqualValues(f, 5, s.Count)
			require.Greater(f, s.Size, int64(5*20))
			require.True(f, s.Capped)
			require.EqualValues(f, 100, s.Max)
			require.EqualValues(f, 1<<20, s.MaxSize)
		}
		var command stats
		require.NoError(f, f.db.RunCommand(f.ctx, bson.D{e("collStats", "log")}).Decode(&command))
		check(command)
		cursor, err := coll.Aggregate(f.ctx, mongo.Pipeline{{e("$collStats", bson.D{e("storageStats", bson.D{})})}})
		require.NoError(f, err)
		var stages []struct {
			Storage stats `bson:"storageStats"`
		}
		require.NoError(f, cursor.All(f.ctx, &stages))
		require.Len(f, stages, 1)
		check(stages[0].Storage)
	}},
	{"statistics of a database", func(f *fixture) {
		f.numbered(f.capped(1<<20, 0), 1, 5)
		_, err := f.db.Collection("some").InsertOne(f.ctx, bson.D{})
		require.NoError(f, err)
		var stats struct {
			Collections int     `bson:"collections"`
			Indexes     int     `bson:"indexes"`
			DataSize    float64 `bson:"dataSize"`
		}
		require.NoError(f, f.db.RunCommand(f.ctx, bson.D{e("dbStats", 1)}).Decode(&stats))
		require.Equal(f, 2, stats.Collections)
		require.Equal(f, 2, stats.Indexes)
		require.Positive(f, stats.DataSize)
	}},
	{"a tail of an ordinary collection is refused", func(f *fixture) {
		f.numbered(f.db.Collection("some"), 1, 1)
		_, err := f.db.Collection("some").Find(f.ctx, bson.D{}, options.Find().SetCursorType(options.Tailable))
		f.requireCode(err, badValue)
	}},
}
