package event

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// burst is how many events come at once.
const burst = 100_000

// named are the parameters of the action that is merged by name.
type named struct {
	Name string `bson:"name"`
	N    int    `bson:"n"`
}

// counter keeps its calls.
type counter struct {
	mu    sync.Mutex
	calls []named
}

func (*counter) Name() string { return "user" }
func (c *counter) Actions() []Action {
	return []Action{On("event", func(_ context.Context, p named) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls = append(c.calls, p)
		return nil
	}, CoalesceBy("name"))}
}

func (c *counter) seen() []named {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// burster is a listener with one subscription, and nothing else of a bus.
type burster struct {
	*listener
	sub     *Subscription
	counter counter
	stop    func()
}

func newBurster(tb testing.TB) *burster {
	b := NewBus(nil, nil, Config{})
	log := zerolog.Nop()
	r := &burster{listener: &listener{bus: b, log: &log}}
	var err error
	r.sub, err = b.Subscribe(&r.counter)
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(tb, b.begin(ctx))
	r.stop = func() { cancel(); b.handlers.Wait() }
	return r
}

// publish hands over one event, as the listener does when it has read it.
func (r *burster) publish(tb testing.TB, name string, n int) {
	raw, err := bson.Marshal(named{name, n})
	require.NoError(tb, err)
	e := Event{ID: bson.NewObjectID(), Name: "user", Action: "event", Parameters: raw, Coalesce: true}
	r.hand(r.sub, r.bus.newAnswer(e, 1), r.sub.actions["event"])
}

// held is how many deliveries are held back.
func (r *burster) held() int {
	r.sub.held.mu.Lock()
	defer r.sub.held.mu.Unlock()
	return len(r.sub.held.pending)
}

// heap is how much memory is held.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBurstIsOneCall: of a burst, one delivery is held at any time, and the memory of
// those that it has taken the place of is free.
func TestBurstIsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBurster(t)
		defer r.stop()
		before := heap()
		for n := range burst {
			r.publish(t, "deploy", n)
			require.Equal(t, 1, r.held())
			require.Empty(t, r.sub.queue)
		}
		require.Less(t, heap()-before, int64(1<<20), "bytes held; all of them are 30 MB and more")
		require.Empty(t, r.counter.seen())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []named{{"deploy", burst - 1}}, r.counter.seen())
	})
}

// TestBurstOfManyNames: what is held is bounded, however many names there are.
func TestBurstOfManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBurster(t)
		defer r.stop()
		for n := range maxHeld {
			r.publish(t, fmt.Sprint(n), 0)
		}
		synctest.Wait()
		require.Empty(t, r.counter.seen())
		r.publish(t, "one more", 0)
		synctest.Wait()
		require.Len(t, r.counter.seen(), 1, "it does not wait")
		r.publish(t, "7", 1)
		require.Equal(t, maxHeld, r.held())
		time.Sleep(900 * time.Millisecond)
		r.publish(t, "7", 2)
		require.Equal(t, maxHeld, r.held())
	})
}

// BenchmarkBurst is what the listener has to do for a burst, and how much it holds
// then.
func BenchmarkBurst(b *testing.B) {
	r := newBurster(b)
	defer r.stop()
	before, held := heap(), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for n := range burst {
			r.publish(b, "deploy", n)
		}
		b.StopTimer()
		held = max(held, heap()-before)
		require.Equal(b, 1, r.held())
		b.StartTimer()
	}
	b.ReportMetric(float64(held), "held-B")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/burst, "ns/event")
}
