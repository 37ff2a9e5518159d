package server

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// counts are the metrics that add up what is told on the topics. They are counted
// where it is told, not by a subscriber, so that none is missed.
type counts struct {
	dispatched, handled, answered *prometheus.CounterVec
	actionTime                    *prometheus.HistogramVec
	states                        *prometheus.CounterVec
	workers                       map[worker.Moment]prometheus.Counter
	workStarted, workFinished     *prometheus.CounterVec
	workTime                      *prometheus.HistogramVec

	kinds map[string]bool // that have been counted; the pool tells of one moment at a time
}

// maxKinds bounds the series of sources that put more into Work.Kind than a kind: the
// further ones count as otherKind.
const (
	maxKinds  = 100
	otherKind = "other"
)

func newCounts() *counts {
	return &counts{
		dispatched: counters("events_dispatched_total", "Events put into a subscriber's queue, by its action.", "subscriber", "action"),
		handled:    counters("events_handled_total", "Events that are over for a subscriber, by how its action ended.", "subscriber", "action", "outcome"),
		answered:   counters("events_answered_total", "Final answers of this server, by their kind.", "kind"),
		actionTime: times("action_duration_seconds", "How long actions ran.",
			[]float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 60}, "subscriber", "action"),
		states: counters("state_changes_total", "Changes of the server's state, by how far they came.", "change", "moment"),
		workers: map[worker.Moment]prometheus.Counter{
			worker.WorkerStarted:   counter("workers_started_total", "Workers that have started."),
			worker.WorkerStopped:   counter("workers_stopped_total", "Workers that have left."),
			worker.WorkerAbandoned: counter("workers_abandoned_total", "Workers that were killed and did not end."),
		},
		workStarted:  counters("work_started_total", "Units of work begun.", "kind"),
		workFinished: counters("work_finished_total", "Units of work that have ended, by how.", "kind", "outcome"),
		workTime: times("work_duration_seconds", "How long units of work ran.",
			[]float64{.01, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600}, "kind"),
		kinds: map[string]bool{},
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func times(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// collectors lists all, for a registry.
func (c *counts) collectors() []prometheus.Collector {
	all := []prometheus.Collector{
		c.dispatched, c.handled, c.answered, c.actionTime, c.states, c.workStarted, c.workFinished, c.workTime,
	}
	for _, one := range c.workers {
		all = append(all, one)
	}
	return all
}

// event counts by the names in the tables of this process, which are few; not by what
// an event says, which may be anything.
func (c *counts) event(n event.Notice) {
	subscriber, action := label(n.Subscriber), label(n.Action)
	switch n.Stage {
	case event.Dispatched:
		c.dispatched.WithLabelValues(subscriber, action).Inc()
	case event.Handled:
		c.handled.WithLabelValues(subscriber, action, string(n.Kind)).Inc()
		if n.Called {
			c.actionTime.WithLabelValues(subscriber, action).Observe(n.Took.Seconds())
		}
	case event.Answered:
		c.answered.WithLabelValues(string(n.Kind)).Inc()
	}
}

func (c *counts) state(n StateNotice) {
	c.states.WithLabelValues(string(n.Change), string(n.Moment)).Inc()
}

func (c *counts) work(n worker.Notice) {
	switch n.Moment {
	case worker.WorkStarted:
		c.workStarted.WithLabelValues(c.kind(n.Worker.Kind)).Inc()
	case worker.WorkUpdated:
	case worker.WorkFinished:
		kind := c.kind(n.Worker.Kind)
		c.workFinished.WithLabelValues(kind, outcome(n)).Inc()
		c.workTime.WithLabelValues(kind).Observe(n.Took.Seconds())
	default:
		c.workers[n.Moment].Inc()
	}
}

func (c *counts) kind(kind string) string {
	switch {
	case c.kinds[kind]:
	case len(c.kinds) >= maxKinds:
		return otherKind
	default:
		c.kinds[kind] = true
	}
	return label(kind)
}

func outcome(n worker.Notice) string {
	switch {
	case n.Err == nil:
		return "done"
	case n.Cancelled:
		return "cancelled"
	}
	return "failed"
}

// label makes a text that can be a label's value.
func label(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
