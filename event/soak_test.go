package event_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/faultproxy"
)

// TestSoak mixes all faults, drawn from a seed, while servers hear, publishers
// publish and a caller calls, all through a Bus and a fault proxy. It lasts as
// long as FLEETCAST_SOAK says (make soak), else a few seconds.
func TestSoak(t *testing.T) {
	t.Parallel()
	length, err := time.ParseDuration(cmp.Or(os.Getenv("FLEETCAST_SOAK"), "3s"))
	require.NoError(t, err)
	s := &soak{t: t, faulty: newFaulty(t)}
	random := seeded(t)
	for n := range 4 {
		s.server(fmt.Sprintf("server-%d", n))
	}

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var busy sync.WaitGroup
	publisher := s.open(event.Config{})
	for range 12 {
		skew := upToTime(random, 24*time.Hour) - 12*time.Hour
		pauses := rand.New(rand.NewPCG(random.Uint64(), 0))
		busy.Go(func() { s.publish(ctx, publisher, skew, pauses) })
	}
	busy.Go(func() { s.call(ctx, s.open(event.Config{Directory: s})) })
	s.storm(ctx, random)
	s.Calm()
	busy.Wait()
	s.report(length)
}

// soak is a fleet, and what became of its events.
type soak struct {
	*faulty
	t       *testing.T
	members []event.Member
	servers []*soakServer

	mu    sync.Mutex
	acked []bson.ObjectID // events whose publishing returned no error

	failures           atomic.Int64 // publishings that did, and were repeated
	calls, complete    atomic.Int64
	callErrors, double atomic.Int64 // second final answers of a server to a call
}

func (s *soak) Members(context.Context) ([]event.Member, error) { return s.members, nil }

// open opens a bus through the proxy. Its queues hold what comes in at once
// after a time without connection.
func (s *soak) open(cfg event.Config) *event.Bus {
	cfg.Queue = 1 << 17
	// A dead database is noticed sooner than by default, to see more of it.
	client := options.Client().SetConnectTimeout(2 * time.Second).SetHeartbeatInterval(time.Second)
	bus, err := event.Open(s.t.Context(), s.through(client), cfg)
	require.NoError(s.t, err)
	return bus
}

func (s *soak) server(name string) {
	server := &soakServer{}
	server.bus = s.open(event.Config{Identity: event.Identity{Name: name}})
	_, err := server.bus.Subscribe(server)
	require.NoError(s.t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.bus.Run(ctx) }()
	s.t.Cleanup(func() { stop(); require.NoError(s.t, <-done) })
	<-server.bus.Listening()
	id := server.bus.Identity()
	s.members = append(s.members, event.Member{ServerID: id.ServerID, Name: name, Actions: server.bus.Actions()})
	s.servers = append(s.servers, server)
}

// soakServer is a subscriber that keeps the ids of its events.
type soakServer struct {
	bus  *event.Bus
	mu   sync.Mutex
	ids  []bson.ObjectID
	gaps int
}

func (*soakServer) Name() string { return "soak" }

func (s *soakServer) Actions() []event.Action { return []event.Action{event.On("hear", s.hear)} }

func (s *soakServer) hear(ctx context.Context, _ event.None) error {
	e, _ := event.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, e.ID)
	return nil
}

func (s *soakServer) Gap(context.Context, event.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps++
}

func (s *soakServer) heard() []bson.ObjectID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

// publish publishes until ctx ends, each event until it is acknowledged.
func (s *soak) publish(ctx context.Context, bus *event.Bus, skew time.Duration, pauses *rand.Rand) {
	for after(ctx, upToTime(pauses, 50*time.Millisecond)) {
		e := event.New("soak", "hear", nil)
		e.ID = bson.NewObjectIDFromTimestamp(time.Now().Add(skew))
		limit, cancel := context.WithTimeout(s.t.Context(), patience)
		for {
			try, cancelTry := context.WithTimeout(limit, 5*time.Second)
			_, err := bus.Publish(try, e)
			cancelTry()
			if err == nil {
				s.mu.Lock()
				s.acked = append(s.acked, e.ID)
				s.mu.Unlock()
				break
			}
			s.failures.Add(1)
			if !after(limit, 20*time.Millisecond) {
				s.t.Errorf("an event could not be published within %s: %v", patience, err)
				break
			}
		}
		cancel()
	}
}

// call asks all servers again and again. In a storm answers may be missing;
// none may come twice.
func (s *soak) call(ctx context.Context, bus *event.Bus) {
	for after(ctx, 50*time.Millisecond) {
		var summary event.Summary
		limit, cancel := context.WithTimeout(s.t.Context(), 15*time.Second)
		final := map[bson.ObjectID]int{}
		s.calls.Add(1)
		for r, err := range bus.Call(limit, event.New("soak", "hear", nil), event.Wait(10*time.Second), event.Summarize(&summary)) {
			switch {
			case err != nil:
				s.callErrors.Add(1)
			case r.Kind.Final():
				final[r.ServerID]++
			}
		}
		cancel()
		for _, n := range final {
			s.double.Add(int64(n - 1))
		}
		if summary.Matched > 0 && summary.Complete() {
			s.complete.Add(1)
		}
	}
}

// storm orders one fault after the other until ctx ends. Half-open connections
// are rare, since each costs the time-out of a silent store.
func (s *soak) storm(ctx context.Context, random *rand.Rand) {
	injected := faultproxy.Errors()
	s.Cut() // however short the storm is
	for n := 0; after(ctx, 50*time.Millisecond+upToTime(random, 400*time.Millisecond)); n++ {
		e := injected[random.IntN(len(injected))]
		switch random.IntN(10) {
		case 0, 1:
			s.Cut()
		case 2:
			s.Refuse(upToTime(random, time.Second))
			s.Cut()
		case 3:
			s.Delay(upToTime(random, 50*time.Millisecond))
		case 4:
			s.Delay(0)
		case 5:
			s.Fail(1+random.IntN(3), e, "getMore")
		case 6:
			s.Fail(1+random.IntN(3), e, "find", "listCollections")
		case 7:
			s.Fail(1+random.IntN(3), e, "insert")
		case 8:
			s.Lose(1+random.IntN(3), "insert")
		case 9:
			if n%10 == 9 {
				s.HalfOpen(upToTime(random, time.Second))
			}
		}
	}
}

// report waits until every server has heard what is stored, and compares.
func (s *soak) report(length time.Duration) {
	t := s.t
	want := stored(t, s.direct, event.EventsCollection)
	deadline, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	delivered, twice, lost := 0, 0, 0
	var sum event.Health
	for _, server := range s.servers {
		for len(server.heard()) < len(want) && after(deadline, 10*time.Millisecond) {
		}
		got := server.heard()
		times := map[bson.ObjectID]int{}
		for _, id := range got {
			times[id]++
		}
		delivered += len(got)
		twice += len(got) - len(times)
		for _, id := range want {
			if times[id] == 0 {
				lost++
			}
		}
		if lost == 0 && twice == 0 && !slices.Equal(want, got) {
			t.Error("events were not delivered in the order of the collection")
		}
		h := server.bus.Health()
		sum.Gaps += h.Gaps
		sum.Reconnects += h.Reconnects
		sum.Overruns += h.Overruns
		sum.Dropped += h.Dropped
	}
	acknowledged := len(s.acked)
	unstored := slices.DeleteFunc(s.acked, func(id bson.ObjectID) bool { return slices.Contains(want, id) })
	fmt.Printf("soak of %s: %d events published (%d acknowledged to publishers, %d attempts failed) to %d servers\n"+
		"  delivered %d, duplicated %d, lost %d, gaps %d, overruns %d, reconnects %d\n"+
		"  calls %d, complete %d, failed %d, answered twice %d, answers that could not be stored %d\n  faults %+v\n",
		length, len(want), acknowledged, s.failures.Load(), len(s.servers),
		delivered, twice, lost, sum.Gaps, sum.Overruns, sum.Reconnects,
		s.calls.Load(), s.complete.Load(), s.callErrors.Load(), s.double.Load(), sum.Dropped, s.Stats())
	require.Zero(t, twice, "duplicated")
	require.Zero(t, lost, "lost")
	require.Equal(t, len(want)*len(s.servers), delivered)
	require.Zero(t, sum.Gaps, "gaps")
	require.Zero(t, sum.Overruns, "overruns")
	require.Zero(t, s.double.Load(), "answered twice")
	require.Empty(t, unstored, "acknowledged, but not in the collection")
	require.Positive(t, sum.Reconnects, "there was a storm")
}
