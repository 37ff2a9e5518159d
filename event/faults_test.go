package event_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/embedded"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/internal/faultproxy"
)

// TestListenersUnderInjectedErrors lets the store answer a listener with each
// error in turn, wherever the listener asks something, while events come in.
// The position is there all the time, whatever the error says of it.
func TestListenersUnderInjectedErrors(t *testing.T) {
	t.Parallel()
	type storm struct {
		lose   string // the command whose failure loses the store
		reopen string // a command by which a listener comes back
		times  int    // two, where drivers read again by themselves
	}
	storms := map[string][]storm{
		"capped":  {{lose: "getMore"}, {"getMore", "find", 2}, {"getMore", "listCollections", 2}},
		"polling": {{"find", "find", 2}, {"find", "find", 3}},
	}
	for name, open := range strategies {
		for _, e := range faultproxy.Errors() {
			t.Run(name+"/"+e.Name, func(t *testing.T) {
				t.Parallel()
				f := newFaulty(t)
				direct := open(t, f.direct)
				from, err := direct.Mark(t.Context())
				require.NoError(t, err)
				h := hear(t, open(t, f.through()), from)
				h.listensAgain(t)
				n := 0
				publish := func(some int) {
					for range some {
						require.NoError(t, direct.Append(t.Context(), eventtest.Doc(n)))
						n++
					}
				}
				for _, s := range storms[name] {
					publish(5)
					faults := []*faultproxy.Fault{f.Fail(1, e, s.lose)}
					if s.times > 0 {
						faults = append(faults, f.Fail(s.times, e, s.reopen))
					}
					for _, fault := range faults {
						publish(5)
						<-fault.Done()
					}
					publish(5)
				}
				h.heard(t, f.direct, n)
				if name == "capped" { // a find the driver repeats by itself, a getMore never
					require.Positive(t, h.losses())
				}
			})
		}
	}
}

// TestAppendUnderInjectedErrors lets inserts fail: what passes is tried again,
// what does not is the caller's, and nothing is stored twice.
func TestAppendUnderInjectedErrors(t *testing.T) {
	t.Parallel()
	ofReading := []int{faultproxy.CursorNotFound.Code, faultproxy.CappedPositionLost.Code, faultproxy.QueryPlanKilled.Code}
	for name, open := range strategies {
		for _, e := range faultproxy.Errors() {
			t.Run(name+"/"+e.Name, func(t *testing.T) {
				t.Parallel()
				f := newFaulty(t)
				log := open(t, f.through())
				from, err := log.Mark(t.Context())
				require.NoError(t, err)
				h := hear(t, log, from)
				for n, times := range []int{1, 2, 3} {
					docs := []bson.Raw{eventtest.Doc(2 * n), eventtest.Doc(2*n + 1)}
					failed := f.Fail(times, e, "insert", "update")
					err := log.Append(t.Context(), docs...)
					for slices.Contains(ofReading, e.Code) && err != nil { // no passing failures of a write: they are the caller's
						require.ErrorContains(t, err, e.Name)
						err = log.Append(t.Context(), docs...)
					}
					require.NoError(t, err)
					<-failed.Done()
				}
				h.heard(t, f.direct, 6)
			})
		}
	}
}

func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	log := f.log()
	from, err := log.Mark(t.Context())
	require.NoError(t, err)
	h := hear(t, log, from)
	n := 0
	docs := func(some int) []bson.Raw {
		var docs []bson.Raw
		for range some {
			docs = append(docs, eventtest.Doc(n))
			n++
		}
		return docs
	}
	for _, some := range []int{1, 5} {
		lost := f.Lose(2, "insert")
		require.NoError(t, log.Append(t.Context(), docs(some)...))
		<-lost.Done()
	}
	h.heard(t, f.direct, n)
	lost := f.Lose(1, "insert")
	pos, err := log.Mark(t.Context())
	require.NoError(t, err)
	<-lost.Done()
	later := hear(t, log, pos)
	later.listensAgain(t)
	require.Empty(t, later.ids)
	h.heard(t, f.direct, n)
}

// TestDatabaseRestart stops the store and starts it again on its address, with
// its data.
func TestDatabaseRestart(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{Dir: t.TempDir()}
	var stop func()
	start := func() string {
		store, err := embedded.Open(t.Context(), cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- store.Run(ctx) }()
		stop = func() { cancel(); require.NoError(t, <-done) }
		cfg.Addr = store.Addr()
		return store.URI()
	}
	address := start()
	defer func() { stop() }()
	db := connect(t, address).Database("restart")
	log, err := event.OpenCapped(t.Context(), db, "log", 0)
	require.NoError(t, err)
	from, err := log.Mark(t.Context())
	require.NoError(t, err)
	listeners := []*hearer{hear(t, log, from), hear(t, log, from)}

	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	n := 0
	publishing.Go(func() {
		for ; ctx.Err() == nil; n++ {
			until(t, log, eventtest.Doc(n))
		}
	})
	for restarts := range 3 {
		for _, h := range listeners {
			h.listensAgain(t)
		}
		stop()
		start()
		for _, h := range listeners {
			h.until(t, "a lost cursor", func() bool { return len(h.lost) > restarts })
		}
	}
	cancel()
	publishing.Wait()
	require.Positive(t, n)
	for _, h := range listeners {
		h.heard(t, db, n)
	}
}

// TestPublishersInAStorm is 60 publishers whose clocks are hours apart, so that
// ids are out of insertion order, while connections are cut.
func TestPublishersInAStorm(t *testing.T) {
	t.Parallel()
	for name, open := range strategies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publishers, each, cut := 60, 20, 100*time.Millisecond
			if name == "polling" { // which is for low rates: a write must fit between two cuts
				publishers, each, cut = 6, 20, 500*time.Millisecond
			}
			random := seeded(t)
			f := newFaulty(t)
			from, err := open(t, f.direct).Mark(t.Context())
			require.NoError(t, err)
			var listeners []*hearer
			for range 4 {
				listeners = append(listeners, hear(t, open(t, f.through()), from))
			}
			for _, h := range listeners {
				h.listensAgain(t)
			}
			var publishing sync.WaitGroup
			var published atomic.Int64
			shared := open(t, f.through())
			for range publishers {
				skew := upToTime(random, 24*time.Hour) - 12*time.Hour
				pauses := rand.New(rand.NewPCG(random.Uint64(), 0))
				publishing.Go(func() {
					for n := range each {
						until(t, shared, skewed(skew, n))
						published.Add(1)
						<-time.After(upToTime(pauses, 100*time.Millisecond))
					}
				})
			}
			calm := f.storm(random, cut, &published)
			publishing.Wait()
			calm()
			reconnects := 0
			for _, h := range listeners {
				h.heard(t, f.direct, publishers*each)
				reconnects += h.losses()
			}
			if name == "capped" { // between two polls there is nothing to lose
				require.GreaterOrEqual(t, reconnects, len(listeners), "there was a storm")
			}
			t.Logf("%d events, %d listeners, %d reconnects, %+v", publishers*each, len(listeners), reconnects, f.Stats())
		})
	}
}

// TestConformanceUnderFaults holds the Logs to the suite while the replies to
// whatever they ask are lost, with the connection, from the first one on.
func TestConformanceUnderFaults(t *testing.T) {
	t.Parallel()
	for name, open := range strategies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lost := 0
			eventtest.TestLog(t, func(t *testing.T, bytes int) event.Log {
				f := newFaulty(t)
				if name == "capped" { // with the size that the suite wants
					_, err := event.OpenCapped(t.Context(), f.direct, "log", int64(bytes))
					require.NoError(t, err)
				}
				var log event.Log = stubborn{open(t, f.through())}
				if name == "polling" {
					log = polled{log, f.direct}
				}
				calm := f.loseReplies("insert", "update", "find", "getMore", "listCollections")
				t.Cleanup(func() { calm(); lost += f.Stats().Lost })
				return log
			})
			t.Logf("%d replies lost", lost)
			require.Greater(t, lost, 20)
		})
	}
}

// TestHalfOpenConnections takes as long as a listener believes in a silent
// store, and then a moment for each idle connection that its driver holds.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	const idle = 16
	for name, open := range strategies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			direct := open(t, f.direct)
			from, err := direct.Mark(t.Context())
			require.NoError(t, err)
			db := f.through()
			h := hear(t, open(t, db), from)
			var asking sync.WaitGroup
			f.Delay(100 * time.Millisecond) // so that they are asked at once
			for range idle {
				asking.Go(func() { _, _ = event.StoreTime(context.Background(), db) })
			}
			asking.Wait()
			f.Delay(0)
			require.NoError(t, direct.Append(t.Context(), eventtest.Doc(0)))
			h.listensAgain(t)
			start := time.Now()
			f.HalfOpen(0)
			for n := 1; n <= 5; n++ {
				require.NoError(t, direct.Append(t.Context(), eventtest.Doc(n)))
			}
			h.heard(t, f.direct, 6)
			require.Positive(t, h.losses())
			t.Logf("%d connections half-open; heard again after %s", f.Stats().HalfOpen, time.Since(start))
		})
	}
}

// TestOpenThroughAFailOver opens a bus on a database that has no primary for a
// moment.
func TestOpenThroughAFailOver(t *testing.T) {
	t.Parallel()
	for _, e := range []faultproxy.Error{faultproxy.NotWritablePrimary, faultproxy.PrimarySteppedDown, faultproxy.InterruptedAtShutdown} {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			db := f.through()
			failed := f.Fail(3, e, "create")
			_, err := event.Open(t.Context(), db, event.Config{})
			require.NoError(t, err)
			<-failed.Done()
		})
	}
}
