package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// scrape returns what /metrics shows of fleetcast.
func (o *one) scrape() string {
	response := httptest.NewRecorder()
	o.Handler().ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return response.Body.String()
}

func (o *one) requireMetrics(lines ...string) {
	o.t.Helper()
	body := o.scrape()
	for _, line := range lines {
		require.Contains(o.t, body, "\nfleetcast_"+line+"\n")
	}
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan worker.Work)
		var cfg Config
		cfg.Pool.Workers = 1
		var theirs atomic.Int32
		cfg.Pool.Observe = func(worker.Notice) { theirs.Add(1) }
		o := open(t, units(source), &fakeLedger{}, cfg)
		o.start()
		for _, err := range []error{nil, nil, errors.New("disk full")} {
			source <- worker.Work{Kind: "import", Run: func(context.Context) error { time.Sleep(2 * time.Second); return err }}
		}
		time.Sleep(2 * time.Second)
		source <- worker.Work{Kind: "export", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		synctest.Wait()
		_, err := o.pool.KillWorker(t.Context(), 1, time.Second)
		require.NoError(t, err)
		source <- worker.Work{Kind: "bad \xff", Run: func(context.Context) error { time.Sleep(time.Minute); return nil }}
		synctest.Wait()
		_, err = o.pool.KillWorker(t.Context(), 2, time.Second)
		require.NoError(t, err)
		o.act("pause")
		o.act("resume")
		o.call("resize", bson.M{"max_workers": 0}) // bad parameters
		foreign := event.New("server", "nonsense", nil)
		foreign.Reply = true
		_, err = event.NewBus(o.events, nil, event.Config{}).Publish(t.Context(), foreign)
		require.NoError(t, err)
		_, err = o.Bus().Publish(t.Context(), event.New("server", "refresh", nil)) // nobody asks for an answer
		require.NoError(t, err)
		synctest.Wait()

		o.requireMetrics(
			`events_dispatched_total{action="pause",subscriber="server"} 1`,
			`events_dispatched_total{action="refresh",subscriber="server"} 1`,
			`events_handled_total{action="pause",outcome="done",subscriber="server"} 1`,
			`events_handled_total{action="resize",outcome="failed",subscriber="server"} 1`,
			`events_answered_total{kind="done"} 2`, `events_answered_total{kind="refused"} 1`,
			`events_answered_total{kind="failed"} 1`,
			`action_duration_seconds_count{action="resume",subscriber="server"} 1`,
			`state_changes_total{change="start",moment="applied"} 1`,
			`state_changes_total{change="pause",moment="requested"} 1`,
			`state_changes_total{change="pause",moment="applied"} 1`,
			`workers_started_total 3`, `workers_stopped_total 1`, `workers_abandoned_total 1`,
			`work_started_total{kind="import"} 3`,
			`work_finished_total{kind="import",outcome="done"} 2`,
			`work_finished_total{kind="import",outcome="failed"} 1`,
			`work_finished_total{kind="export",outcome="cancelled"} 1`,
			"work_started_total{kind=\"bad \uFFFD\"} 1",
			`work_duration_seconds_sum{kind="import"} 6`,
			`work_duration_seconds_bucket{kind="import",le="1"} 0`,
			`work_duration_seconds_bucket{kind="import",le="5"} 3`,
		)
		require.NotContains(t, o.scrape(), "nonsense", "names that anybody can write make no series")
		require.NotZero(t, theirs.Load(), "the program's own observer is called as well")
		time.Sleep(time.Minute)
		o.stop()
		require.NoError(t, o.ends())
		o.requireMetrics(`workers_stopped_total 3`, `state_changes_total{change="stop",moment="applied"} 1`)
	})
}

// What a topic loses is counted all the same.
func TestCountsMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan worker.Work)
		o := open(t, units(source), &fakeLedger{}, Config{})
		_, end := o.Topics().Work.Subscribe()
		defer end()
		o.start()
		const many = 2 * event.TopicBacklog
		for range many {
			source <- worker.Work{Kind: "import", Run: func(context.Context) error { return nil }}
		}
		synctest.Wait()
		o.requireMetrics(fmt.Sprintf(`work_finished_total{kind="import",outcome="done"} %d`, many))
		o.stop()
		require.NoError(t, o.ends())
	})
}

func TestKindsOfWorkAreBounded(t *testing.T) {
	c := newCounts()
	for i := range 3 * maxKinds {
		c.work(worker.Notice{Moment: worker.WorkStarted, Worker: worker.Status{Kind: fmt.Sprint("import ", i)}})
	}
	require.Equal(t, "import 7", c.kind("import 7"))
	require.Equal(t, otherKind, c.kind("import 200"))
	series := make(chan prometheus.Metric, 4*maxKinds)
	c.workStarted.Collect(series)
	require.Len(t, series, maxKinds+1)
}

// TestOperationsDocNamesAllMetrics holds docs/operations.md against the metrics, in
// both directions.
func TestOperationsDocNamesAllMetrics(t *testing.T) {
	doc, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	table := string(doc)
	for name := range metricNames(t) {
		require.Regexp(t, "(?m)^\\|.*`"+name+"[`{]", table)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `fleetcast_.*").FindAllString(table, -1) {
		for _, name := range regexp.MustCompile("`(fleetcast_[a-z_]+)").FindAllStringSubmatch(row, -1) {
			require.True(t, metricNames(t)[name[1]], name[1])
		}
	}
}

// metricNames are the names of all metrics of a server, whether or not they have a
// value yet.
func metricNames(t *testing.T) map[string]bool {
	s, err := newServer(nil, &fakeLedger{}, Config{})
	require.NoError(t, err)
	require.NoError(t, s.join(event.NewBus(nil, nil, event.Config{})))
	descriptions := make(chan *prometheus.Desc, 1000)
	for _, c := range append(s.counts.collectors(), &metrics{s}) {
		c.Describe(descriptions)
	}
	close(descriptions)
	names := map[string]bool{}
	for d := range descriptions {
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		names[name] = true
	}
	return names
}

// BenchmarkCountEvent is what the metrics add to the way of one event: dispatched,
// handled and answered.
func BenchmarkCountEvent(b *testing.B) {
	c := newCounts()
	n := event.Notice{Event: event.New("server", "pause", nil), Subscriber: "server", Action: "pause", Kind: event.Done, Called: true, Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		for _, n.Stage = range []event.Stage{event.Received, event.Dispatched, event.Handled, event.Answered} {
			c.event(n)
		}
	}
}
