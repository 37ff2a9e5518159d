package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

// patience bounds each wait; only a broken server reaches it.
const patience = 20 * time.Second

func TestMain(m *testing.M) { os.Exit(teststore.Main(m)) }

// fleet is the servers of one test, in a database of their own.
type fleet struct {
	t   testing.TB
	db  *mongo.Database
	bus *event.Bus // of an operator
	*server.Registry
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	db := teststore.Database(t)
	f := &fleet{t: t, db: db, Registry: server.NewRegistry(db)}
	bus, err := event.Open(t.Context(), db, event.Config{Directory: f.Registry})
	require.NoError(t, err)
	f.bus = bus
	return f
}

// running is a server that runs until the test ends.
type running struct {
	*server.Server
	wait func() error // returns what Run has returned
	end  func() error // ends Run's context, and waits
}

func named(name string) server.Config {
	return server.Config{Bus: event.Config{Identity: event.Identity{Name: name}}, Pool: worker.Config{Workers: 2, Grace: 200 * time.Millisecond}}
}

func (f *fleet) start(source worker.Source, cfg server.Config) running {
	f.t.Helper()
	srv, err := server.Open(f.t.Context(), f.db, source, cfg)
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	r := running{Server: srv, wait: sync.OnceValue(func() error {
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("Run did not return")
		}
	})}
	r.end = func() error { cancel(); return r.wait() }
	f.t.Cleanup(func() { _ = r.end() })
	return r
}

func (f *fleet) run(source worker.Source, cfg server.Config) running {
	f.t.Helper()
	r := f.start(source, cfg)
	f.await("the server in the registry", func() bool { _, ok := f.entries()[cfg.Bus.Identity.Name]; return ok })
	return r
}

func (f *fleet) await(what string, met func() bool) {
	f.t.Helper()
	require.Eventually(f.t, met, patience, 10*time.Millisecond, what)
}

func (f *fleet) entries() map[string]server.Entry {
	f.t.Helper()
	list, err := f.List(f.t.Context())
	require.NoError(f.t, err)
	byName := map[string]server.Entry{}
	for _, e := range list {
		byName[e.Name] = e
	}
	return byName
}

// call asks all servers that match and returns the one final answer.
func (f *fleet) call(e event.Event) event.Reply {
	f.t.Helper()
	var finals []event.Reply
	for r, err := range f.bus.Call(f.t.Context(), e, event.Wait(patience)) {
		require.NoError(f.t, err)
		if r.Kind.Final() {
			finals = append(finals, r)
		}
	}
	require.Len(f.t, finals, 1)
	return finals[0]
}

func (f *fleet) state(action string, parameters any) subscribers.ServerState {
	f.t.Helper()
	r := f.call(event.New("server", action, parameters))
	require.Equal(f.t, event.Done, r.Kind, r.Error)
	var s subscribers.ServerState
	require.NoError(f.t, r.Result(&s))
	return s
}

// none is a source without work.
var none = worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
	<-ctx.Done()
	return worker.Work{}, ctx.Err()
})

// works is a source of units that run until they are released, or cancelled
// unless they ignore that.
func works(release <-chan struct{}, ignoreCancel bool) worker.Source {
	return worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
		return worker.Work{ID: "1", Kind: "test", Run: func(ctx context.Context) error {
			cancelled := ctx.Done()
			if ignoreCancel {
				cancelled = nil
			}
			select {
			case <-release:
			case <-cancelled:
			}
			return ctx.Err()
		}}, nil
	})
}

func TestServerJoinsObeysAndLeaves(t *testing.T) {
	f := newFleet(t)
	cfg := named("a")
	cfg.Bus.Identity.Labels = map[string]string{"role": "test"}
	cfg.Version = "v1"
	a := f.run(none, cfg)
	entry := f.entries()["a"]
	require.Equal(t, a.Bus().Identity().ServerID, entry.ID)
	require.Equal(t, os.Getpid(), entry.PID)
	require.Equal(t, "v1", entry.Version)
	require.Equal(t, map[string]string{"role": "test"}, entry.Labels)
	require.WithinDuration(t, entry.Heartbeat.At, entry.StartedAt, 5*time.Second)
	require.Positive(t, entry.Heartbeat.Goroutines)
	require.Contains(t, entry.Actions["server"], "thread_dump")
	require.False(t, entry.Lost() || entry.Deaf())

	require.Equal(t, subscribers.ServerState{Lifecycle: "running", Paused: true, MaxWorkers: 2}, f.state("pause", nil))
	require.True(t, f.entries()["a"].Paused, "the registry shows it before the answer")
	require.Equal(t, "already paused", f.state("pause", nil).Note)
	require.False(t, f.state("resume", nil).Paused)
	require.Equal(t, "was not paused", f.state("resume", nil).Note)
	require.Equal(t, "quiet", f.state("quiet", nil).Lifecycle)
	require.Equal(t, "already quiet", f.state("quiet", nil).Note)
	require.Equal(t, "quiet", f.state("refresh", nil).Lifecycle)
	require.Equal(t, "stopped", f.state("stop", nil).Lifecycle)
	require.NoError(t, a.wait())
	require.Empty(t, f.entries(), "it has left before it answered")
}

func TestStopLetsWorkFinish(t *testing.T) {
	f := newFleet(t)
	release := make(chan struct{})
	a := f.run(works(release, false), named("a"))
	f.await("work", func() bool { return f.busy("a") == 2 })
	_, err := f.bus.Publish(t.Context(), event.New("server", "stop", nil))
	require.NoError(t, err)
	f.await("stopping, and beating", func() bool { return f.entries()["a"].Lifecycle == server.Stopping })
	require.Equal(t, 2, f.busy("a"))
	close(release)
	require.NoError(t, a.wait())
	require.Empty(t, f.entries())
}

func (f *fleet) busy(name string) int {
	n := 0
	for _, w := range f.entries()[name].Heartbeat.Workers {
		if !w.BusySince.IsZero() {
			n++
		}
	}
	return n
}

func TestStopCancelsWorkThatTakesTooLong(t *testing.T) {
	f := newFleet(t)
	a := f.run(works(nil, false), named("a"))
	f.await("work", func() bool { return f.busy("a") == 2 })
	require.Equal(t, "stopped", f.state("stop", bson.M{"timeout": "50ms"}).Lifecycle)
	require.NoError(t, a.wait())
}

func TestKillAbandonsWorkThatIgnoresIt(t *testing.T) {
	f := newFleet(t)
	release := make(chan struct{})
	defer close(release)
	a := f.run(works(release, true), named("a"))
	f.await("work", func() bool { return f.busy("a") == 2 })
	r := f.call(event.New("server", "kill", bson.M{"wait_timeout": "50ms"}))
	require.Equal(t, event.Failed, r.Kind)
	require.Equal(t, "abandoned, because cancelled work did not end: worker 1 test 1, worker 2 test 1", r.Error)
	var s subscribers.ServerState
	require.NoError(t, r.Result(&s))
	require.Equal(t, []int{1, 2}, s.Abandoned)
	err := a.wait()
	require.ErrorIs(t, err, server.ErrKilled)
	var abandoned *worker.AbandonedError
	require.ErrorAs(t, err, &abandoned)
	require.Contains(t, abandoned.Workers[0].Stack, "works.func")
	require.Empty(t, f.entries(), "it has left all the same")
}

func TestKillDoesNotWaitForAStopUnderWay(t *testing.T) {
	f := newFleet(t)
	a := f.run(works(nil, false), named("a"))
	f.await("work", func() bool { return f.busy("a") == 2 })
	_, err := f.bus.Publish(t.Context(), event.New("server", "stop", bson.M{"timeout": 0}))
	require.NoError(t, err)
	f.await("stopping", func() bool { return f.entries()["a"].Lifecycle == server.Stopping })
	require.Equal(t, "stopped", f.state("kill", nil).Lifecycle)
	require.ErrorIs(t, a.wait(), server.ErrKilled)
}

func TestServerWithoutWorkers(t *testing.T) {
	f := newFleet(t)
	a := f.run(nil, named("a"))
	require.Empty(t, f.entries()["a"].Heartbeat.Workers)
	require.NotContains(t, f.entries()["a"].Actions, "worker")
	require.Equal(t, event.Refused, f.call(event.New("server", "thread_dump", nil)).Kind)
	require.Equal(t, "stopped", f.state("stop", nil).Lifecycle)
	require.NoError(t, a.end())
}

func TestNameIsTakenOrTakenOver(t *testing.T) {
	f := newFleet(t)
	cfg := named("a")
	cfg.Heartbeat = 50 * time.Millisecond
	f.run(none, cfg)
	second := f.start(none, named("a"))
	var taken *server.NameTakenError
	require.ErrorAs(t, second.wait(), &taken)
	require.Len(t, f.entries(), 1)

	// One that has not been heard of for a minute loses its name.
	f.age(bson.ObjectID{9}, "b", 2*time.Minute)
	require.True(t, f.entries()["b"].Lost())
	f.start(none, named("b"))
	f.await("another b", func() bool { b := f.entries()["b"]; return b.ID != bson.ObjectID{9} && !b.Lost() })
}

// age puts the entry of a server into the registry that was last heard of some
// time ago.
func (f *fleet) age(id bson.ObjectID, name string, ago time.Duration) {
	f.t.Helper()
	require.NoError(f.t, f.tryAge(id, name, ago))
}

func (f *fleet) tryAge(id bson.ObjectID, name string, ago time.Duration) error {
	f.t.Helper()
	now, err := event.StoreTime(f.t.Context(), f.db)
	require.NoError(f.t, err)
	_, err = f.db.Collection(server.ServersCollection).InsertOne(f.t.Context(), bson.D{
		{Key: "_id", Value: id}, {Key: "name", Value: name}, {Key: "lifecycle", Value: "running"},
		{Key: "heartbeat", Value: bson.D{{Key: "at", Value: now.Add(-ago)}}},
	})
	return err
}

func TestPurgeRemovesTheLostAlone(t *testing.T) {
	f := newFleet(t)
	f.run(none, named("a"))
	f.age(bson.ObjectID{1}, "lost-1", time.Hour)
	f.age(bson.ObjectID{2}, "late", 30*time.Second)
	members, err := f.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 2, "nobody waits for the lost")
	purged, err := f.Purge(t.Context())
	require.NoError(t, err)
	require.Len(t, purged, 1)
	require.Equal(t, "lost-1", purged[0].Name)
	require.Len(t, f.entries(), 2)
}

func TestPurgeOfOneLeavesTheLivingAlone(t *testing.T) {
	f := newFleet(t)
	f.age(bson.ObjectID{1}, "lost-1", time.Hour)
	f.age(bson.ObjectID{2}, "lost-2", time.Hour)
	f.age(bson.ObjectID{3}, "late", 30*time.Second)
	read := f.entries()
	_, err := f.db.Collection(server.ServersCollection).UpdateByID(t.Context(), bson.ObjectID{2},
		bson.D{{Key: "$currentDate", Value: bson.D{{Key: "heartbeat.at", Value: true}}}})
	require.NoError(t, err)
	for name, want := range map[string]bool{"lost-1": true, "lost-2": false, "late": false} { // lost-2 has come back since
		gone, err := f.PurgeOne(t.Context(), read[name])
		require.NoError(t, err)
		require.Equal(t, want, gone, name)
	}
	require.Len(t, f.entries(), 2)
}

func TestEntryRemovedFromOutsideComesBack(t *testing.T) {
	f := newFleet(t)
	cfg := named("a")
	cfg.Heartbeat = 50 * time.Millisecond
	f.run(none, cfg)
	_, err := f.db.Collection(server.ServersCollection).DeleteMany(t.Context(), bson.D{})
	require.NoError(t, err)
	f.await("the server in the registry again", func() bool { return f.entries()["a"].Lifecycle == server.Running })
}

func TestBadConfig(t *testing.T) {
	f := newFleet(t)
	cfg := named("a")
	cfg.Bus.Identity.Labels = map[string]string{"a.b": "c"}
	_, err := server.Open(t.Context(), f.db, none, cfg)
	require.ErrorContains(t, err, `label key "a.b"`)
	cfg = named("a")
	cfg.Pool.Filter = worker.Filter{Include: []string{"a"}, Exclude: []string{"b"}}
	_, err = server.Open(t.Context(), f.db, none, cfg)
	require.Error(t, err)
}

func TestDeafAndLost(t *testing.T) {
	for name, test := range map[string]struct {
		age, lag   time.Duration
		lost, deaf bool
	}{
		"healthy": {time.Second, time.Second, false, false},
		"deaf":    {time.Second, time.Minute, false, true},
		"lost":    {2 * time.Minute, time.Minute, true, false},
	} {
		e := server.Entry{Age: test.age, Heartbeat: server.Heartbeat{LagMS: test.lag.Milliseconds()}}
		require.Equal(t, test.lost, e.Lost(), name)
		require.Equal(t, test.deaf, e.Deaf(), name)
	}
}

func TestGapLeadsToTheDesiredState(t *testing.T) {
	f := newFleet(t)
	levels, err := logging.New("info")
	require.NoError(t, err)
	cfg := named("a")
	cfg.Logger = levels
	cfg.Bus.Log.Bytes = 4096
	require.NoError(t, f.db.Drop(t.Context())) // made anew by the server, small
	a := f.run(none, cfg)
	id := a.Bus().Identity().ServerID

	// What publishers note while the server cannot hear.
	for _, e := range []event.Event{
		event.New("server", "pause", nil, event.To(event.Target{Names: []string{"a*"}})),
		event.New("logger", "set", bson.M{"level": "debug"}),
		event.New("server", "resume", nil, event.To(event.Target{Names: []string{"other"}})),
		event.New("logger", "set", bson.M{"level": "loud"}),
		event.New("logger", "set", bson.M{"level": "trace", "component": "worker", "for": "1h"}),
		event.New("logger", "set", bson.M{"level": "trace", "component": "$no.key"}),
	} {
		require.NoError(t, f.Desire(t.Context(), e))
	}
	require.False(t, f.entries()["a"].Paused)

	require.NoError(t, f.db.Collection(event.EventsCollection).Drop(t.Context()))
	f.await("the pause", func() bool { return f.entries()["a"].Paused })
	require.Equal(t, id, f.entries()["a"].ID)
	f.await("the levels", func() bool {
		l := levels.List()
		return l[0].Level == "debug" && l[3].Level == "trace" && l[3].Left > 0
	})
	require.EqualValues(t, 1, a.Bus().Health().Gaps)
	f.await("the gap in the heartbeat", func() bool { return f.entries()["a"].Heartbeat.Gaps == 1 })
}

func TestPublishNotesTheDesiredState(t *testing.T) {
	f := newFleet(t)
	f.run(none, named("a"))
	f.state("pause", nil)
	require.Equal(t, new(true), f.entries()["a"].Desired.Paused)
	f.state("resume", nil)
	require.Equal(t, new(false), f.entries()["a"].Desired.Paused)
	f.state("refresh", nil)
	require.Equal(t, new(false), f.entries()["a"].Desired.Paused, "beats leave it alone")

	// What a program without a directory publishes becomes the desired state, too.
	f.state("pause", nil)
	other, err := event.Open(t.Context(), f.db, event.Config{})
	require.NoError(t, err)
	_, err = other.Publish(t.Context(), event.New("server", "resume", nil))
	require.NoError(t, err)
	f.await("the resume as desired", func() bool {
		e := f.entries()["a"]
		return !e.Paused && e.Desired.Paused != nil && !*e.Desired.Paused
	})
}

func get(t *testing.T, handler http.Handler, path string) (code int, body string) {
	t.Helper()
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, path, nil))
	return response.Code, response.Body.String()
}

func TestHealthAndMetrics(t *testing.T) {
	f := newFleet(t)
	srv, err := server.Open(t.Context(), f.db, none, named("a"))
	require.NoError(t, err)
	get := func(path string) (int, string) { return get(t, srv.Handler(), path) }
	code, body := get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "the server is starting")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	f.await("readiness", func() bool { code, _ := get("/readyz"); return code == http.StatusOK })
	f.state("pause", nil)
	code, _ = get("/readyz")
	require.Equal(t, http.StatusOK, code, "a paused server is ready")
	_, body = get("/metrics")
	for _, line := range []string{
		"fleetcast_events_delivered_total 1", "fleetcast_server_paused 1", "fleetcast_gaps_total 0",
		`fleetcast_server_lifecycle{stage="running"} 1`, `fleetcast_workers{state="paused"} 2`, `go_goroutines `,
	} {
		require.Contains(t, body, line)
	}
	f.state("quiet", nil)
	code, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "quiet")
	code, _ = get("/healthz")
	require.Equal(t, http.StatusOK, code)
	f.state("stop", nil)
	require.NoError(t, <-done)
	code, _ = get("/healthz")
	require.Equal(t, http.StatusServiceUnavailable, code)
}
