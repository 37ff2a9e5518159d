package queue

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/examples/internal/fleettest"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// serve runs a server of the fleet whose workers take from the queue.
func (f fixture) serve(name string, handle Handler, cfg server.Config) (*server.Server, <-chan error) {
	f.t.Helper()
	id := bson.NewObjectID()
	source, err := Open(f.t.Context(), f.DB, id, handle, Config{Poll: eager.Poll, Sweep: 500 * time.Millisecond})
	require.NoError(f.t, err)
	cfg.Bus.Identity = event.Identity{ServerID: id, Name: name}
	srv, err := server.Open(f.t.Context(), f.DB, source, cfg)
	require.NoError(f.t, err)
	_, err = srv.Bus().Subscribe(source)
	require.NoError(f.t, err)
	return srv, f.Run(srv)
}

// count is how many jobs are in that state.
func (f fixture) count(state State) int {
	f.t.Helper()
	n, err := f.DB.Collection(Collection).CountDocuments(f.t.Context(), bson.D{{Key: "state", Value: state}})
	require.NoError(f.t, err)
	return int(n)
}

// TestFleetSharesJobs: two servers do all jobs, each once.
func TestFleetSharesJobs(t *testing.T) {
	f := newFixture(t)
	const n = 30
	for i := range n {
		f.add(fmt.Sprint("kind-", i%3), i%5)
	}
	var mu sync.Mutex
	times, by := map[bson.ObjectID]int{}, map[bson.ObjectID]int{}
	both := make(chan struct{})
	handle := func(ctx context.Context, job Job) error {
		mu.Lock()
		times[job.ID]++
		if by[job.ServerID]++; by[job.ServerID] == 1 && len(by) == 2 {
			close(both)
		}
		mu.Unlock()
		select { // the first server waits for the second
		case <-both:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, name := range []string{"a", "b"} {
		f.serve(name, handle, server.Config{Pool: worker.Config{Workers: 3}})
	}
	f.Await("all jobs are done", func() bool { return f.count(Completed) == n })
	require.Len(t, times, n)
	for id, n := range times {
		require.Equal(t, 1, n, id)
	}
}

// TestFleetObeys pauses, resumes and stops servers.
func TestFleetObeys(t *testing.T) {
	f := newFixture(t)
	begun, finish := make(chan Job, 10), make(chan struct{})
	handle := func(ctx context.Context, job Job) error {
		begun <- job
		select {
		case <-finish:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	srv, ended := f.serve("a", handle, server.Config{Pool: worker.Config{Workers: 2}, ShutdownTimeout: 50 * time.Millisecond})
	first := f.add("import", 0)
	require.Equal(t, first, fleettest.Receive(t, begun).ID.Hex())

	f.Tell("pause", nil)
	second := f.add("import", 0)
	fleettest.Send(t, finish, struct{}{})
	f.Await("the current job is finished", func() bool { return f.count(Completed) == 1 })
	require.Equal(t, Queued, f.job(second).State)

	f.Tell("resume", nil)
	require.Equal(t, second, fleettest.Receive(t, begun).ID.Hex())

	f.Tell("stop", nil, srv) // which the job does not survive
	require.NoError(t, fleettest.Receive(t, ended))
	require.Equal(t, Queued, f.job(second).State)
	require.Contains(t, f.job(second).Error, "interrupted: ")
	require.Empty(t, f.Entries())
}

// TestKilledProcess: jobs of a process that was killed are done by another one.
func TestKilledProcess(t *testing.T) {
	f := newFixture(t)
	binary := filepath.Join(t.TempDir(), "queue")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/queue").CombinedOutput()
	require.NoError(t, err, string(output))
	process := exec.CommandContext(t.Context(), binary, "-add", "20", "-workers", "4") // killed at the latest when the test ends
	process.Env = append(process.Environ(), "FLEETCAST_URI="+f.URI())
	require.NoError(t, process.Start())
	f.Await("it has four jobs in hand", func() bool { return f.count(Running) == 4 })
	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())
	inHand := f.count(Running)
	require.Positive(t, inHand)

	done := func(context.Context, Job) error { return nil }
	f.serve("heir", done, server.Config{})
	f.Await("all other jobs are done", func() bool { return f.count(Queued) == 0 && f.count(Running) == inHand })

	// A minute later it is lost.
	_, err = f.DB.Collection(server.ServersCollection).UpdateOne(t.Context(), bson.D{{Key: "name", Value: bson.D{{Key: "$ne", Value: "heir"}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "heartbeat.at", Value: time.Unix(0, 0)}}}})
	require.NoError(t, err)
	f.Await("its jobs are done", func() bool { return f.count(Completed)+f.count(Failed) == 20 })
	twice, err := f.DB.Collection(Collection).CountDocuments(t.Context(), bson.D{{Key: "attempts", Value: 2}})
	require.NoError(t, err)
	require.EqualValues(t, inHand, twice)
}
