// Package fleettest gives the tests of the examples a store and an operator. The
// store is an embedded one, or the MongoDB that FLEETCAST_TEST_URI names.
package fleettest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
)

// Patience bounds each wait; only a broken program reaches it.
const Patience = 30 * time.Second

// Fleet is a database of a test's own, and the operator's bus on it.
type Fleet struct {
	*server.Registry
	DB  *mongo.Database
	Bus *event.Bus
	t   *testing.T
}

// New makes a Fleet that is dropped when the test ends.
func New(t *testing.T) *Fleet {
	t.Helper()
	f := &Fleet{t: t, DB: teststore.Database(t)}
	f.Registry = server.NewRegistry(f.DB)
	bus, err := event.Open(t.Context(), f.DB, event.Config{Directory: f.Registry})
	require.NoError(t, err)
	f.Bus = bus
	return f
}

// URI is that of the fleet's database, for other processes.
func (f *Fleet) URI() string { return teststore.URI() + "/" + f.DB.Name() }

// Run runs a server until the test ends, and waits until it has joined the fleet.
// The result of Run comes from the channel.
func (f *Fleet) Run(srv *server.Server) <-chan error {
	f.t.Helper()
	ended := make(chan error, 1)
	done := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() { ended <- srv.Run(ctx); close(done) }()
	f.t.Cleanup(func() { stop(); <-done })
	id := srv.Bus().Identity().ServerID
	f.Await("the server is in the registry", func() bool {
		for _, e := range f.Entries() {
			if e.ID == id {
				return true
			}
		}
		return false
	})
	return ended
}

// Entries is the registry as it is now.
func (f *Fleet) Entries() []server.Entry {
	f.t.Helper()
	entries, err := f.List(f.t.Context())
	require.NoError(f.t, err)
	return entries
}

// Tell publishes an action of subscriber "server" to the servers that are meant,
// all without any, and expects each to answer that it is done.
func (f *Fleet) Tell(action string, parameters any, to ...*server.Server) {
	f.t.Helper()
	var target event.Target
	for _, srv := range to {
		target.ServerIDs = append(target.ServerIDs, srv.Bus().Identity().ServerID)
	}
	var sum event.Summary
	call := event.New("server", action, parameters, event.To(target))
	for _, err := range f.Bus.Call(f.t.Context(), call, event.Wait(Patience), event.Summarize(&sum)) {
		require.NoError(f.t, err)
	}
	require.Positive(f.t, sum.Matched)
	require.Equal(f.t, sum.Matched, sum.Done, "%+v", sum)
}

// Await waits until something is so.
func (f *Fleet) Await(what string, so func() bool) {
	f.t.Helper()
	require.Eventually(f.t, so, Patience, 10*time.Millisecond, what)
}

// Receive waits for a value from the channel.
func Receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(Patience):
		require.Fail(t, "nothing came from the channel")
	}
	return value
}

// Send waits until somebody takes the value from the channel.
func Send[T any](t *testing.T, to chan<- T, value T) {
	t.Helper()
	select {
	case to <- value:
	case <-time.After(Patience):
		require.Fail(t, "nobody has received from the channel")
	}
}
