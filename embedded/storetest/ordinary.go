package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var ordinaryTests = []test{
	{"insert, find, update, delete", func(f *fixture) {
		coll := f.db.Collection("some")
		f.numbered(coll, 1, 5)
		result, err := coll.UpdateMany(f.ctx, bson.D{e("n", bson.D{e("$gt", 3)})}, bson.D{e("$set", bson.D{e("big", true)})})
		require.NoError(f, err)
		require.EqualValues(f, 2, result.MatchedCount)
		require.EqualValues(f, 2, result.ModifiedCount)
		require.Equal(f, []int{4, 5}, f.numbers(coll, bson.D{e("big", true)}))
		deleted, err := coll.DeleteMany(f.ctx, bson.D{e("big", true)})
		require.NoError(f, err)
		require.EqualValues(f, 2, deleted.DeletedCount)
		require.Equal(f, to(3), f.numbers(coll, bson.D{}, options.Find().SetSort(bson.D{e("n", 1)})))
	}},
	{"an upsert tells the _id it made", func(f *fixture) {
		coll := f.db.Collection("some")
		upsert := options.UpdateOne().SetUpsert(true)
		result, err := coll.UpdateOne(f.ctx, bson.D{e("_id", "a")}, bson.D{e("$inc", bson.D{e("n", 1)})}, upsert)
		require.NoError(f, err)
		require.EqualValues(f, 1, result.UpsertedCount)
		require.Equal(f, "a", result.UpsertedID)
		require.Zero(f, result.MatchedCount)
		result, err = coll.UpdateOne(f.ctx, bson.D{e("_id", "a")}, bson.D{e("$inc", bson.D{e("n", 1)})}, upsert)
		require.NoError(f, err)
		require.EqualValues(f, 1, result.MatchedCount)
		require.Zero(f, result.UpsertedCount)
		require.Equal(f, []int{2}, f.numbers(coll, bson.D{}))
	}},
	{"many writes in one command", func(f *fixture) {
		coll := f.db.Collection("some")
		result, err := coll.BulkWrite(f.ctx, []mongo.WriteModel{
			mongo.NewInsertOneModel().SetDocument(bson.D{e("_id", 1), e("n", 1)}),
			mongo.NewUpdateOneModel().SetFilter(bson.D{e("_id", 1)}).SetUpdate(bson.D{e("$inc", bson.D{e("n", 1)})}),
			mongo.NewUpdateOneModel().SetFilter(bson.D{e("_id", 2)}).SetUpdate(bson.D{e("$inc", bson.D{e("n", 5)})}).SetUpsert(true),
			mongo.NewReplaceOneModel().SetFilter(bson.D{e("_id", 1)}).SetReplacement(bson.D{e("n", 7)}),
			mongo.NewDeleteOneModel().SetFilter(bson.D{e("_id", 2)}),
		})
		require.NoError(f, err)
		require.EqualValues(f, 1, result.InsertedCount)
		require.EqualValues(f, 2, result.MatchedCount)
		require.EqualValues(f, 1, result.UpsertedCount)
		require.EqualValues(f, 1, result.DeletedCount)
		require.Equal(f, map[int64]any{2: int32(2)}, result.UpsertedIDs)
		require.Equal(f, []int{7}, f.numbers(coll, bson.D{}))
	}},
	{"findAndModify returns the document before or after", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 1), e("n", 1), e("x", 2)})
		require.NoError(f, err)
		inc := bson.D{e("$inc", bson.D{e("n", 1)})}
		var got numberedDoc
		require.NoError(f, coll.FindOneAndUpdate(f.ctx, bson.D{e("_id", 1)}, inc).Decode(&got))
		require.Equal(f, 1, got.N)
		opts := options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(bson.D{e("n", 1)})
		raw, err := coll.FindOneAndUpdate(f.ctx, bson.D{e("_id", 1)}, inc, opts).Raw()
		require.NoError(f, err)
		var d bson.D
		require.NoError(f, bson.Unmarshal(raw, &d))
		require.Equal(f, bson.D{e("_id", int32(1)), e("n", int32(3))}, d)
		require.ErrorIs(f, coll.FindOneAndUpdate(f.ctx, bson.D{e("_id", 2)}, inc).Err(), mongo.ErrNoDocuments)
	}},
	{"a duplicate _id is refused", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 1)})
		require.NoError(f, err)
		_, err = coll.InsertOne(f.ctx, bson.D{e("_id", 1)})
		f.requireCode(err, duplicateKey)
		require.Contains(f, err.Error(), "_id")
	}},
	{"large results come in batches", func(f *fixture) {
		coll := f.db.Collection("some")
		var docs []any
		for _, n := range to(350) {
			docs = append(docs, bson.D{e("n", n)})
		}
		_, err := coll.InsertMany(f.ctx, docs)
		require.NoError(f, err)
		require.ElementsMatch(f, to(350), f.numbers(coll, bson.D{}, options.Find().SetBatchSize(40)))
	}},
}

// together runs do in many goroutines.
func together(many int, do func(i int) error) error {
	var running sync.WaitGroup
	errs := make([]error, many)
	for i := range many {
		running.Go(func() { errs[i] = do(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}

func (f *fixture) ofOne(coll *mongo.Collection) bson.M {
	f.Helper()
	var got bson.M
	require.NoError(f, coll.FindOne(f.ctx, bson.D{e("_id", 1)}).Decode(&got))
	return got
}

const writers, eachWrites = 8, 20

var atomicityTests = []test{
	{"$inc of many counts each once", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 1), e("n", 0)})
		require.NoError(f, err)
		require.NoError(f, together(writers, func(int) error {
			for range eachWrites {
				if _, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 1)}, bson.D{e("$inc", bson.D{e("n", 1)})}); err != nil {
					return err
				}
			}
			return nil
		}))
		require.EqualValues(f, writers*eachWrites, f.ofOne(coll)["n"])
	}},
	{"$set of different fields loses none", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 1)})
		require.NoError(f, err)
		require.NoError(f, together(writers, func(i int) error {
			for n := range eachWrites {
				set := bson.D{e("$set", bson.D{e(fmt.Sprintf("f%d_%d", i, n), 1)})}
				if _, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 1)}, set); err != nil {
					return err
				}
			}
			return nil
		}))
		require.Len(f, f.ofOne(coll), 1+writers*eachWrites)
	}},
	{"findAndModify hands out each number once", func(f *fixture) {
		coll := f.db.Collection("some")
		var mu sync.Mutex
		seen := map[int]bool{}
		opts := options.FindOneAndUpdate().SetReturnDocument(options.After)
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 1), e("n", 0)})
		require.NoError(f, err)
		require.NoError(f, together(writers, func(int) error {
			for range eachWrites {
				var got numberedDoc
				if err := coll.FindOneAndUpdate(f.ctx, bson.D{e("_id", 1)}, bson.D{e("$inc", bson.D{e("n", 1)})}, opts).Decode(&got); err != nil {
					return err
				}
				mu.Lock()
				seen[got.N] = true
				mu.Unlock()
			}
			return nil
		}))
		require.Len(f, seen, writers*eachWrites)
	}},
	{"reads go on while others write", func(f *fixture) {
		coll := f.db.Collection("some")
		var docs []any
		for _, n := range to(200) {
			docs = append(docs, bson.D{e("_id", n), e("n", 0)})
		}
		_, err := coll.InsertMany(f.ctx, docs)
		require.NoError(f, err)
		open, err := coll.Find(f.ctx, bson.D{}, options.Find().SetBatchSize(10))
		require.NoError(f, err)
		require.NoError(f, together(writers, func(i int) error {
			for n := range eachWrites {
				if i%2 == 0 {
					if count, err := coll.CountDocuments(f.ctx, bson.D{}); err != nil || count != 200 {
						return fmt.Errorf("%d documents: %w", count, err)
					}
					continue
				}
				if _, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 1+n)}, bson.D{e("$inc", bson.D{e("n", 1)})}); err != nil {
					return err
				}
			}
			return nil
		}))
		var all []bson.D
		require.NoError(f, open.All(f.ctx, &all))
		require.Len(f, all, 200)
	}},
	{"compare and set is won by one", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.InsertOne(f.ctx, bson.D{e("_id", 1), e("n", 0)})
		require.NoError(f, err)
		var won atomic.Int64
		require.NoError(f, together(writers, func(int) error {
			for n := range eachWrites {
				result, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 1), e("n", n)}, bson.D{e("$set", bson.D{e("n", n+1)})})
				if err != nil {
					return err
				}
				won.Add(result.ModifiedCount)
			}
			return nil
		}))
		require.EqualValues(f, f.ofOne(coll)["n"], won.Load())
	}},
	{"an upsert by _id makes one document", func(f *fixture) {
		coll := f.db.Collection("some")
		require.NoError(f, together(writers, func(int) error { return upsertOne(f.ctx, coll) }))
		require.EqualValues(f, writers, f.ofOne(coll)["n"])
		n, err := coll.CountDocuments(f.ctx, bson.D{})
		require.NoError(f, err)
		require.EqualValues(f, 1, n)
	}},
}

// upsertOne may meet another that made the document just now, and then tries
// again, as MongoDB's documentation of upserts with unique indexes says.
func upsertOne(ctx context.Context, coll *mongo.Collection) error {
	for {
		_, err := coll.UpdateOne(ctx, bson.D{e("_id", 1)}, bson.D{e("$inc", bson.D{e("n", 1)})}, options.UpdateOne().SetUpsert(true))
		if !mongo.IsDuplicateKeyError(err) {
			return err
		}
	}
}

var indexTests = []test{
	{"a unique index refuses inserts, updates and upserts", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.Indexes().CreateOne(f.ctx, mongo.IndexModel{Keys: bson.D{e("name", 1)}, Options: options.Index().SetUnique(true)})
		require.NoError(f, err)
		_, err = coll.InsertMany(f.ctx, []any{bson.D{e("_id", 1), e("name", "a")}, bson.D{e("_id", 2), e("name", "b")}})
		require.NoError(f, err)
		set := bson.D{e("$set", bson.D{e("name", "a")})}
		for what, do := range map[string]func() error{
			"insert": func() error { _, err := coll.InsertOne(f.ctx, bson.D{e("name", "a")}); return err },
			"update": func() error { _, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 2)}, set); return err },
			"upsert": func() error {
				_, err := coll.UpdateOne(f.ctx, bson.D{e("_id", 3)}, set, options.UpdateOne().SetUpsert(true))
				return err
			},
			"replace": func() error {
				_, err := coll.ReplaceOne(f.ctx, bson.D{e("_id", 2)}, bson.D{e("name", "a")})
				return err
			},
			"findAndModify": func() error { return coll.FindOneAndUpdate(f.ctx, bson.D{e("_id", 2)}, set).Err() },
		} {
			f.Run(what, func(t *testing.T) {
				err := do()
				require.True(t, mongo.IsDuplicateKeyError(err), "%v", err)
				require.Contains(t, err.Error(), "name_1")
			})
		}
		var names []string
		require.NoError(f, coll.Distinct(f.ctx, "name", bson.D{}).Decode(&names))
		require.ElementsMatch(f, []string{"a", "b"}, names)
	}},
	{"one of many inserts of the same wins", func(f *fixture) {
		coll := f.db.Collection("some")
		_, err := coll.Indexes().CreateOne(f.ctx, mongo.IndexModel{Keys: bson.D{e("name", 1)}, Options: options.Index().SetUnique(true)})
		require.NoError(f, err)
		var won atomic.Int64
		require.NoError(f, together(writers, func(int) error {
			_, err := coll.InsertOne(f.ctx, bson.D{e("name", "a")})
			if mongo.IsDuplicateKeyError(err) {
				return nil
			}
			won.Add(1)
			return err
		}))
		require.EqualValues(f, 1, won.Load())
	}},
	{"a TTL index is listed with its time", func(f *fixture) {
		coll := f.db.Collection("some")
		ttl := mongo.IndexModel{Keys: bson.D{e("at", 1)}, Options: options.Index().SetExpireAfterSeconds(3600)}
		for range 2 { // the same again is no fault
			name, err := coll.Indexes().CreateOne(f.ctx, ttl)
			require.NoError(f, err)
			require.Equal(f, "at_1", name)
		}
		specs, err := coll.Indexes().ListSpecifications(f.ctx)
		require.NoError(f, err)
		require.Len(f, specs, 2)
		for _, s := range specs {
			if s.Name == "at_1" {
				require.NotNil(f, s.ExpireAfterSeconds)
				require.EqualValues(f, 3600, *s.ExpireAfterSeconds)
			}
		}
		names, err := f.db.ListCollectionNames(f.ctx, bson.D{})
		require.NoError(f, err)
		require.Equal(f, []string{"some"}, names)
		ttl.Options = options.Index().SetExpireAfterSeconds(10)
		_, err = coll.Indexes().CreateOne(f.ctx, ttl)
		f.requireCode(err, 85)
		require.NoError(f, coll.Indexes().DropOne(f.ctx, "at_1"))
		_, err = coll.Indexes().CreateOne(f.ctx, ttl)
		require.NoError(f, err)
	}},
	{"indexes of a capped collection", func(f *fixture) {
		coll := f.capped(1<<20, 0)
		f.numbered(coll, 1, 5)
		_, err := coll.Indexes().CreateOne(f.ctx, mongo.IndexModel{Keys: bson.D{e("n", 1)}})
		require.NoError(f, err)
		specs, err := coll.Indexes().ListSpecifications(f.ctx)
		require.NoError(f, err)
		require.Len(f, specs, 2)
		require.Equal(f, "_id_", specs[0].Name)
		require.Equal(f, "n_1", specs[1].Name)
		require.Equal(f, []int{3}, f.numbers(coll, bson.D{e("n", 3)}, options.Find().SetHint("n_1")))
		_, err = coll.Find(f.ctx, bson.D{}, options.Find().SetHint("m_1"))
		f.requireCode(err, badValue)
		require.NoError(f, coll.Indexes().DropOne(f.ctx, "n_1"))
		f.requireCode(coll.Indexes().DropOne(f.ctx, "n_1"), 27)
	}},
}
