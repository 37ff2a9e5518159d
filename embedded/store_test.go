package embedded

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// start runs a store; stop ends it, and is called at the end of the test in
// any case.
func start(t testing.TB, cfg Config) (st *Store, stop func()) {
	t.Helper()
	st, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return st, stop
}

func connect(t testing.TB, st *Store) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(st.URI()).SetServerSelectionTimeout(5 * time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

func TestFirstSteps(t *testing.T) {
	st, stop := start(t, Config{})
	client := connect(t, st)
	ctx := t.Context()
	db := client.Database("smoke")
	began := time.Now()
	_, err := db.Collection("o").InsertOne(ctx, bson.D{{Key: "a", Value: 1}, {Key: "ts", Value: bson.Timestamp{}}})
	require.NoError(t, err)
	t.Log("first insert", time.Since(began))
	require.NoError(t, db.CreateCollection(ctx, "c", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20)))
	_, err = db.Collection("c").InsertOne(ctx, bson.D{{Key: "a", Value: 1}, {Key: "ts", Value: bson.Timestamp{}}})
	require.NoError(t, err)
	cur, err := db.Collection("c").Find(ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Second))
	require.NoError(t, err)
	require.True(t, cur.Next(ctx))
	t.Log(cur.Current)
	go func() { _, _ = db.Collection("c").InsertOne(ctx, bson.D{{Key: "a", Value: 2}}) }()
	require.True(t, cur.Next(ctx))
	t.Log(cur.Current)
	names, err := db.ListCollectionNames(ctx, bson.D{})
	require.NoError(t, err)
	t.Log(names)
	var o bson.D
	require.NoError(t, db.Collection("o").FindOne(ctx, bson.D{}).Decode(&o))
	t.Log(o)
	_, err = db.Collection("o").UpdateOne(ctx, bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "$currentDate", Value: bson.D{{Key: "x", Value: bson.D{{Key: "$type", Value: "timestamp"}}}, {Key: "y", Value: true}}}})
	require.NoError(t, err)
	require.NoError(t, db.Collection("o").FindOne(ctx, bson.D{}).Decode(&o))
	t.Log(o)
	idx, err := db.Collection("o").Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "u", Value: 1}}, Options: options.Index().SetUnique(true)})
	require.NoError(t, err)
	t.Log(idx)
	for i := range 2 {
		_, err = db.Collection("o").InsertOne(ctx, bson.D{{Key: "u", Value: 5}, {Key: "i", Value: i}})
		t.Log(err, mongo.IsDuplicateKeyError(err))
	}
	_, err = db.Collection("o").UpdateOne(ctx, bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "$set", Value: bson.D{{Key: "u", Value: 5}}}})
	t.Log(err, mongo.IsDuplicateKeyError(err))
	_, err = db.Collection("o").UpdateOne(ctx, bson.D{{Key: "a", Value: 9}}, bson.D{{Key: "$set", Value: bson.D{{Key: "u", Value: 5}}}}, options.UpdateOne().SetUpsert(true))
	t.Log(err, mongo.IsDuplicateKeyError(err))
	err = db.Collection("o").FindOneAndUpdate(ctx, bson.D{{Key: "a", Value: 9}}, bson.D{{Key: "$set", Value: bson.D{{Key: "u", Value: 5}}}}, options.FindOneAndUpdate().SetUpsert(true)).Err()
	t.Log(err, mongo.IsDuplicateKeyError(err))
	err = db.Collection("o").FindOneAndUpdate(ctx, bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "$set", Value: bson.D{{Key: "u", Value: 5}}}}).Err()
	t.Log(err, mongo.IsDuplicateKeyError(err))
	require.NoError(t, client.Disconnect(ctx))
	began = time.Now()
	stop()
	t.Log("stop took", time.Since(began))
}
