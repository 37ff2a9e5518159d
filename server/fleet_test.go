package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

var sticky = subscribers.PauseParameters{Sticky: true}

// everybody publishes, waits, and returns the summary of a call to all.
func (f *fleet) everybody(action string, parameters any, opts ...event.Option) event.Summary {
	f.t.Helper()
	var sum event.Summary
	for _, err := range f.bus.Call(f.t.Context(), event.New("server", action, parameters, opts...), event.Wait(3*patience), event.Summarize(&sum)) {
		require.NoError(f.t, err)
	}
	return sum
}

func TestStickyPauseHoldsServersThatStartLater(t *testing.T) {
	f := newFleet(t)
	web := event.To(event.Target{Labels: map[string]string{"role": "w*"}})
	labelled := func(name, role string) server.Config {
		cfg := named(name)
		cfg.Bus.Identity.Labels = map[string]string{"role": role}
		return cfg
	}
	f.run(none, labelled("web-1", "web"))
	f.run(none, labelled("db-1", "db"))
	require.Equal(t, 1, f.everybody("pause", sticky, web).Done)
	holds, err := f.Holds(t.Context())
	require.NoError(t, err)
	require.Len(t, holds, 1)
	require.NotEmpty(t, holds[0].Publisher.Host)
	require.WithinDuration(t, f.entries()["web-1"].Heartbeat.At, holds[0].At, 10*time.Second)

	web2 := f.run(none, labelled("web-2", "web"))
	f.run(none, labelled("db-2", "db"))
	f.await("web-2 paused", func() bool { return f.entries()["web-2"].Paused })
	require.Equal(t, "paused", f.entries()["web-1"].State())
	require.Equal(t, "running", f.entries()["db-1"].State())
	f.await("db-2 at work", func() bool { return len(f.entries()["db-2"].Heartbeat.Workers) == 2 })
	require.False(t, f.entries()["db-2"].Paused)

	// A narrower resume frees those that match now, and the hold stays.
	require.Equal(t, 1, f.everybody("resume", nil, event.To(event.Target{Names: []string{"web-2"}})).Done)
	require.False(t, f.entries()["web-2"].Paused)
	require.NoError(t, web2.end())
	f.run(none, labelled("web-2", "web"))
	f.await("its successor paused", func() bool { return f.entries()["web-2"].Paused })

	// The same target ends it.
	require.Equal(t, 2, f.everybody("resume", nil, web).Done)
	holds, err = f.Holds(t.Context())
	require.NoError(t, err)
	require.Empty(t, holds)
	f.run(none, labelled("web-3", "web"))
	f.await("web-3 at work", func() bool { return len(f.entries()["web-3"].Heartbeat.Workers) == 2 })
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		require.False(t, f.entries()[name].Paused, name)
	}
}

func TestResumeForEverybodyEndsAllHolds(t *testing.T) {
	f := newFleet(t)
	for _, target := range []event.Target{{}, {Names: []string{"a"}}, {Hosts: []string{"h*"}}} {
		_, err := f.bus.Publish(t.Context(), event.New("server", "pause", sticky, event.To(target)))
		require.NoError(t, err)
	}
	again := event.New("server", "pause", sticky)
	for range 2 { // repeating an event makes no second hold
		_, err := f.bus.Publish(t.Context(), again)
		require.NoError(t, err)
	}
	_, err := f.bus.Publish(t.Context(), event.New("server", "pause", nil))
	require.NoError(t, err)
	holds, err := f.Holds(t.Context())
	require.NoError(t, err)
	require.Len(t, holds, 4)
	require.Equal(t, []string{"a"}, holds[1].Target.Names, "the oldest first")
	_, err = f.bus.Publish(t.Context(), event.New("server", "resume", nil))
	require.NoError(t, err)
	holds, err = f.Holds(t.Context())
	require.NoError(t, err)
	require.Empty(t, holds)
}

func TestStickyPauseOfIDsIsRefused(t *testing.T) {
	f := newFleet(t)
	for _, target := range []event.Target{{ServerIDs: []bson.ObjectID{{1}}}, {PIDs: []int{1}}} {
		_, err := f.bus.Publish(t.Context(), event.New("server", "pause", sticky, event.To(target)))
		require.ErrorIs(t, err, event.ErrInvalid)
		require.ErrorContains(t, err, "name servers, hosts or labels")
	}
}

// TestHoldsAgainstStarts starts servers while a sticky pause is published: each
// must end up paused, whichever came first; and then the same with its end.
func TestHoldsAgainstStarts(t *testing.T) {
	f := newFleet(t)
	const n = 8
	race := func(round, action string, parameters any) {
		var servers sync.WaitGroup
		for i := range n {
			cfg := named(fmt.Sprintf("%s-%d", round, i))
			cfg.Pool.Workers = 1
			servers.Go(func() { f.start(none, cfg) })
			if i == n/2 {
				_, err := f.bus.Publish(t.Context(), event.New("server", action, parameters))
				require.NoError(t, err)
			}
		}
		servers.Wait()
	}
	all := func(prefix, state string) bool {
		found := 0
		for name, e := range f.entries() {
			if name[:1] == prefix && e.State() == state && len(e.Heartbeat.Workers) == 1 {
				found++
			}
		}
		return found == n
	}
	race("a", "pause", sticky)
	f.await("all paused", func() bool { return all("a", "paused") })
	race("b", "resume", nil)
	f.await("all running", func() bool { return all("a", "running") && all("b", "running") })
}

// TestGapInARegistryWithoutTheEntry: the hold was noted while the server was in
// no registry.
func TestGapInARegistryWithoutTheEntry(t *testing.T) {
	f := newFleet(t)
	cfg := named("a")
	cfg.Bus.Log.Bytes = 4096
	require.NoError(t, f.db.Drop(t.Context()))
	f.run(none, cfg)
	entry := f.entries()["a"]
	_, err := f.db.Collection(server.ServersCollection).DeleteMany(t.Context(), bson.D{})
	require.NoError(t, err)
	require.NoError(t, f.Desire(t.Context(), event.New("server", "pause", sticky)))
	require.NoError(t, f.db.Collection(event.EventsCollection).Drop(t.Context()))
	f.await("the pause", func() bool { return f.entries()["a"].Paused })
	require.Equal(t, entry.ID, f.entries()["a"].ID)
}

func TestResize(t *testing.T) {
	f := newFleet(t)
	a := f.run(none, named("a"))
	listens := f.run(nil, named("b"))
	sum := f.everybody("resize", subscribers.ResizeParameters{MaxWorkers: 5})
	require.Equal(t, 1, sum.Done)
	require.Equal(t, 1, sum.Refused, "by the server without workers")
	require.NoError(t, listens.end())
	f.await("five workers", func() bool { return len(f.entries()["a"].Heartbeat.Workers) == 5 })
	state := f.state("resize", bson.M{"max_workers": 5})
	require.Equal(t, "already 5", state.Note)
	require.Equal(t, 5, state.MaxWorkers)
	f.state("resize", bson.M{"max_workers": 1})
	f.await("one worker", func() bool { return len(f.entries()["a"].Heartbeat.Workers) == 1 })
	require.NoError(t, a.end())
}

func TestConsumersAndPublishers(t *testing.T) {
	f := newFleet(t)
	f.run(nil, named("publisher"))
	f.run(none, named("workers"))
	hooked := named("hooks")
	hooked.Hooks.Pause = func(context.Context) error { return nil }
	f.run(nil, hooked)
	entries := f.entries()
	require.False(t, entries["publisher"].Consumer)
	require.True(t, entries["workers"].Consumer)
	require.True(t, entries["hooks"].Consumer)
	f.everybody("refresh", nil)
	h := f.entries()["workers"].Heartbeat
	require.Positive(t, h.RTTMS)
	require.EqualValues(t, 15_000, h.IntervalMS)
}

// TestNameTakenWhileCutOff: a server's entry is removed as lost, and another has
// its name when it beats again.
func TestNameTakenWhileCutOff(t *testing.T) {
	f := newFleet(t)
	cfg := named("a")
	cfg.Heartbeat = 50 * time.Millisecond
	a := f.run(none, cfg)
	id := a.Bus().Identity().ServerID
	// The entry of another server takes the place of ours between two beats.
	other := bson.ObjectID{9}
	f.await("the other in its place", func() bool {
		_, err := f.db.Collection(server.ServersCollection).DeleteOne(t.Context(), bson.D{{Key: "_id", Value: id}})
		require.NoError(t, err)
		return f.tryAge(other, "a", 0) == nil
	})
	ready := func() string {
		_, body := get(t, a.Handler(), "/readyz")
		return body
	}
	f.await("the reason", func() bool { return ready() != "ok\n" })
	require.Contains(t, ready(), "not in the registry: a server named a is in the registry already (id 09")
	require.Equal(t, other, f.entries()["a"].ID)
	_, err := f.db.Collection(server.ServersCollection).DeleteOne(t.Context(), bson.D{{Key: "_id", Value: other}})
	require.NoError(t, err)
	f.await("the server back", func() bool { return f.entries()["a"].ID == id && ready() == "ok\n" })
}

// TestManyServers runs fifty in one process, where the store can bear that.
func TestManyServers(t *testing.T) {
	f := newFleet(t)
	n := 50
	if teststore.Slow() {
		n = 20
	}
	for i := range n {
		cfg := named(fmt.Sprintf("s-%02d", i))
		cfg.Pool.Workers = 1
		f.start(none, cfg)
	}
	require.Eventually(t, func() bool { return len(f.entries()) == n }, 3*patience, time.Second, "all in the registry")
	sum := f.everybody("pause", nil)
	require.Equal(t, []int{n, n, n}, []int{sum.Matched, sum.Acked, sum.Done})
	// Answers do not wait long for a slow store, so this does; it looks seldom,
	// since to look is the most expensive thing here.
	require.Eventually(t, func() bool {
		for _, e := range f.entries() {
			if !e.Paused {
				return false
			}
		}
		return true
	}, 3*patience, time.Second, "all shown as paused")
	require.Equal(t, n, f.everybody("stop", nil).Done)
	require.Eventually(t, func() bool { return len(f.entries()) == 0 }, 3*patience, time.Second, "none in the registry")
}

// TestTwoHundredWorkers runs them in one server, all busy.
func TestTwoHundredWorkers(t *testing.T) {
	f := newFleet(t)
	const n = 200
	release := make(chan struct{})
	cfg := named("a")
	cfg.Pool.Workers = n
	a := f.run(works(release, false), cfg)
	f.await("all busy", func() bool { return f.busy("a") == n })
	r := f.call(event.New("server", "thread_dump", nil))
	var dump subscribers.Dump
	require.NoError(t, r.Result(&dump))
	require.Len(t, dump.Workers, n)
	for i, w := range dump.Workers {
		require.Equal(t, i+1, w.ID)
		require.Contains(t, w.Stack, "works.func")
	}
	require.True(t, f.state("pause", nil).Paused)
	close(release)
	f.await("all paused", func() bool {
		for _, w := range f.entries()["a"].Heartbeat.Workers {
			if w.State != string(worker.Paused) {
				return false
			}
		}
		return true
	})
	require.Equal(t, "stopped", f.state("stop", nil).Lifecycle)
	require.NoError(t, a.wait())
}
