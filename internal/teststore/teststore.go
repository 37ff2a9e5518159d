// Package teststore is the store that tests of several packages run on: the
// MongoDB that FLEETCAST_TEST_URI names, or an embedded store of the test
// process. It is for tests alone.
package teststore

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/fleetcast/fleetcast/embedded"
)

var uri string

// URI is that of the store, without a database.
func URI() string { return uri }

// Slow reports whether tests of many servers should have fewer: under the race
// detector the store behind the embedded one notes the stack of whoever makes an
// iterator, which takes it twenty times as long for everything.
func Slow() bool { return raced && os.Getenv("FLEETCAST_TEST_URI") == "" }

// Main runs a package's tests on the store, for its TestMain, and returns the exit
// code. Goroutines that are left in the end fail them, but for those in the
// functions that ignore names.
func Main(m *testing.M, ignore ...goleak.Option) int {
	code, err := run(m)
	if err == nil && code == 0 {
		err = goleak.Find(ignore...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "after all tests:", err)
		return max(1, code)
	}
	return code
}

func run(m *testing.M) (code int, err error) {
	if uri = os.Getenv("FLEETCAST_TEST_URI"); uri != "" {
		return m.Run(), nil
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, err := embedded.Open(ctx, embedded.Config{})
	if err != nil {
		return 1, err
	}
	uri = store.URI()
	done := make(chan error)
	go func() { done <- store.Run(ctx) }()
	code = m.Run()
	stop()
	return code, <-done
}

// Database returns a new database, seen by a client of its own. It is dropped
// when the test ends.
func Database(t testing.TB, opts ...*options.ClientOptions) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(append([]*options.ClientOptions{options.Client().ApplyURI(uri)}, opts...)...)
	require.NoError(t, err)
	db := client.Database("test_" + bson.NewObjectID().Hex())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = db.Drop(ctx)
		_ = client.Disconnect(ctx)
	})
	return db
}
