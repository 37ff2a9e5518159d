// Package storetest holds a database to MongoDB's documented behaviour, as far
// as fleetcast relies on it: a suite of driver calls and their outcomes. The
// embedded store and real servers pass the same suite unchanged, so that a test
// on the embedded store says something about production.
//
// Where MongoDB's versions (4.4 to 8) differ, every documented outcome is
// accepted. Only tests import this package.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Error codes, see https://www.mongodb.com/docs/manual/reference/error-codes/.
const (
	badValue           = 2
	illegalOperation   = 20
	namespaceNotFound  = 26
	cursorNotFound     = 43
	namespaceExists    = 48
	invalidOptions     = 72
	cappedPositionLost = 136
	queryPlanKilled    = 175
	cursorKilled       = 237
	duplicateKey       = 11000
	notInReplicaSet    = 40573
)

// limit bounds every test: a hang becomes an error of the driver.
const limit = 30 * time.Second

// Run runs the suite against the database at uri, a MongoDB connection string.
// Each test uses a database of its own, which it drops at the end.
func Run(t *testing.T, uri string) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"server", serverTests}, {"collections", collectionTests}, {"insert", insertTests}, {"stamps", stampTests},
		{"rollover", rolloverTests}, {"query", queryTests}, {"tail", tailTests}, {"cursor", cursorTests},
		{"ordinary", ordinaryTests}, {"atomicity", atomicityTests}, {"indexes", indexTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(newFixture(t, client)) })
			}
		})
	}
}

type test struct {
	name string
	run  func(*fixture)
}

// fixture is what a test works with.
type fixture struct {
	*testing.T
	ctx    context.Context
	client *mongo.Client
	db     *mongo.Database
}

func newFixture(t *testing.T, client *mongo.Client) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	f := &fixture{T: t, ctx: ctx, client: client, db: client.Database("storetest_" + bson.NewObjectID().Hex())}
	t.Cleanup(func() {
		cancel()
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_ = f.db.Drop(ctx)
	})
	return f
}

// capped creates a capped collection; maxDocs 0 means no limit.
func (f *fixture) capped(size, maxDocs int64) *mongo.Collection {
	f.Helper()
	opts := options.CreateCollection().SetCapped(true).SetSizeInBytes(size)
	if maxDocs > 0 {
		opts.SetMaxDocuments(maxDocs)
	}
	require.NoError(f, f.db.CreateCollection(f.ctx, "log", opts))
	return f.db.Collection("log")
}

// numbered inserts documents {n: from} to {n: to}.
func (f *fixture) numbered(coll *mongo.Collection, from, to int) {
	f.Helper()
	for n := from; n <= to; n++ {
		_, err := coll.InsertOne(f.ctx, bson.D{{Key: "n", Value: n}})
		require.NoError(f, err)
	}
}

type numberedDoc struct {
	N int `bson:"n"`
}

// numbers are the n of the documents that a query finds, in its order.
func (f *fixture) numbers(coll *mongo.Collection, filter any, opts ...options.Lister[options.FindOptions]) []int {
	f.Helper()
	cursor, err := coll.Find(f.ctx, filter, opts...)
	require.NoError(f, err)
	var docs []numberedDoc
	require.NoError(f, cursor.All(f.ctx, &docs))
	return numbersOf(docs)
}

func numbersOf(docs []numberedDoc) []int {
	ns := []int{}
	for _, d := range docs {
		ns = append(ns, d.N)
	}
	return ns
}

func (f *fixture) requireCode(err error, codes ...int) {
	f.Helper()
	require.Error(f, err)
	var server mongo.ServerError
	require.True(f, errors.As(err, &server), "want an error of the server, got %v", err)
	for _, code := range codes {
		if server.HasErrorCode(code) {
			return
		}
	}
	require.Failf(f, "wrong error code", "want one of %v, got %v", codes, err)
}

func e(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

func to(n int) []int {
	ns := []int{}
	for i := 1; i <= n; i++ {
		ns = append(ns, i)
	}
	return ns
}
