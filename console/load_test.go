package console

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	driverevent "go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
)

// populate puts n servers into the registry, of four workers each.
func (s *site) populate(n int) {
	s.t.Helper()
	now, err := event.StoreTime(s.t.Context(), s.db)
	require.NoError(s.t, err)
	var all []any
	for i := range n {
		workers := bson.A{}
		for w := range 4 {
			workers = append(workers, bson.M{"id": w + 1, "state": "busy", "kind": "invoice", "work_id": fmt.Sprint(i), "busy_since": now})
		}
		all = append(all, bson.D{
			{Key: "_id", Value: bson.NewObjectID()}, {Key: "name", Value: fmt.Sprintf("web-%04d", i)}, {Key: "host", Value: fmt.Sprintf("host-%d", i/8)},
			{Key: "pid", Value: i}, {Key: "version", Value: "1.0"}, {Key: "lifecycle", Value: "running"}, {Key: "consumer", Value: true},
			{Key: "labels", Value: bson.M{"zone": fmt.Sprintf("z%d", i%4)}}, {Key: "started_at", Value: now},
			{Key: "heartbeat", Value: bson.D{{Key: "at", Value: now.Add(time.Hour)}, {Key: "state", Value: "listening"}, {Key: "interval_ms", Value: int64(15_000)}, {Key: "workers", Value: workers}}},
		})
	}
	_, err = s.db.Collection(server.ServersCollection).InsertMany(s.t.Context(), all)
	require.NoError(s.t, err)
}

// watch opens n streams and reads them until ctx ends; got counts messages.
func (s *site) watch(ctx context.Context, n int, path string, got *atomic.Int64) *sync.WaitGroup {
	s.t.Helper()
	var reading sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	for range n {
		r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
		require.NoError(s.t, err)
		res, err := transport.RoundTrip(r)
		require.NoError(s.t, err)
		require.Equal(s.t, http.StatusOK, res.StatusCode)
		reading.Go(func() {
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				if strings.HasPrefix(line, "data: ") {
					got.Add(1)
				}
			}
		})
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &reading
}

// touch changes a server, as its heartbeat does.
func (s *site) touch(n int) {
	s.t.Helper()
	_, err := s.db.Collection(server.ServersCollection).UpdateOne(s.t.Context(), bson.D{{Key: "name", Value: fmt.Sprintf("web-%04d", n)}},
		bson.D{{Key: "$inc", Value: bson.D{{Key: "heartbeat.lag_ms", Value: 1}}}})
	require.NoError(s.t, err)
}

// TestOneQueryHoweverManyLookOn, and none when nobody does.
func TestOneQueryHoweverManyLookOn(t *testing.T) {
	var queries atomic.Int64
	monitor := &driverevent.CommandMonitor{Started: func(_ context.Context, e *driverevent.CommandStartedEvent) {
		if e.CommandName == "find" && e.Command.Lookup("find").StringValue() == server.ServersCollection {
			queries.Add(1)
		}
	}}
	db := teststore.Database(t, options.Client().ApplyURI(teststore.URI()).SetMonitor(monitor))
	s := siteOn(t, db, Config{Refresh: 100 * time.Millisecond})
	s.populate(20)
	time.Sleep(500 * time.Millisecond)
	require.Zero(t, queries.Load(), "nobody looks on")

	ctx, cancel := context.WithCancel(t.Context())
	var got atomic.Int64
	reading := s.watch(ctx, 50, "/live/fleet", &got)
	s.await("a message for each", func() bool { return got.Load() >= 50 })
	before, begun := queries.Load(), time.Now()
	time.Sleep(2 * time.Second)
	most := int64(time.Since(begun)/(90*time.Millisecond)) + 2
	require.LessOrEqual(t, queries.Load()-before, most, "one for each refresh, however many look on")
	require.Positive(t, queries.Load()-before)
	cancel()
	reading.Wait()
}

// TestASlowBrowserIsDropped, and holds up no other.
func TestASlowBrowserIsDropped(t *testing.T) {
	was := slowest
	slowest = 300 * time.Millisecond
	defer func() { slowest = was }()
	s := newSite(t, Config{})
	s.populate(1000)
	ctx, cancel := context.WithCancel(t.Context())
	var got atomic.Int64
	reading := s.watch(ctx, 1, "/live/fleet?rows=1000", &got)
	defer reading.Wait()
	defer cancel()
	s.await("the first message", func() bool { return got.Load() > 0 })

	narrow := httptest.NewUnstartedServer(s.Console)
	narrow.Listener = narrowListener{narrow.Listener}
	narrow.Start()
	defer narrow.Close()
	slow, err := net.Dial("tcp", narrow.Listener.Addr().String())
	require.NoError(t, err)
	defer slow.Close()
	require.NoError(t, slow.(*net.TCPConn).SetReadBuffer(4096))
	_, err = fmt.Fprintf(slow, "GET /live/fleet?rows=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") // and never reads
	require.NoError(t, err)
	s.await("the slow one", func() bool { return len(s.streams) == 2 })
	s.await("its end", func() bool { return len(s.streams) == 1 })
	before := got.Load()
	s.touch(1)
	s.await("news for the other", func() bool { return got.Load() > before })
}

// narrowListener accepts connections of which the system keeps little.
type narrowListener struct{ net.Listener }

func (l narrowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return conn, err
}

// BenchmarkFleetPage is the page of a fleet of a thousand, in front of two hundred open
// streams, while servers change all the time. It reports the server's time at the median
// and at the 99th percentile, and what a stream costs in memory.
func BenchmarkFleetPage(b *testing.B) {
	const servers, streams = 1000, 200
	s := newSite(b, Config{Refresh: time.Second})
	s.populate(servers)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	page := func() {
		res, err := client.Get(s.url + "/")
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(b, err)
		_ = res.Body.Close()
	}
	page() // which reads the registry
	idle := heap()
	ctx, cancel := context.WithCancel(b.Context())
	var got atomic.Int64
	reading := s.watch(ctx, streams, "/live/fleet", &got)
	s.await("a message for each", func() bool { return got.Load() >= streams })
	reading.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_, _ = s.db.Collection(server.ServersCollection).UpdateOne(ctx, bson.D{{Key: "name", Value: fmt.Sprintf("web-%04d", n%servers)}},
				bson.D{{Key: "$inc", Value: bson.D{{Key: "heartbeat.lag_ms", Value: 1}}}})
			time.Sleep(20 * time.Millisecond)
		}
	})
	perStream := (heap() - idle) / streams
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		page()
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(perStream/1024, "KiB/stream")
	b.ReportMetric(float64(got.Load()), "messages")
	cancel()
	reading.Wait()
}
