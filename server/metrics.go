package server

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// Handler serves /healthz, /readyz and /metrics (Prometheus). It is safe for
// concurrent use and works before, during and after Run.
//
// /healthz is 200 until the server has stopped. /readyz is 200 while the server
// is running, in the registry and hears, and 503 with the reason when it is not:
// starting, quiet, stopping, deaf, lost, or another server has its name. A paused
// server is ready.
func (s *Server) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&metrics{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(s.counts.collectors()...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.unhealthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.unready()) })
	return mux
}

func answer(w http.ResponseWriter, fault string) {
	if fault != "" {
		http.Error(w, fault, http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok") // the client may have gone
}

func (s *Server) unhealthy() string {
	if e := s.entry(); e.Lifecycle == Stopped {
		return "the server has stopped"
	}
	return ""
}

func (s *Server) unready() string {
	since, fault := s.beats.failing()
	switch e := s.entry(); {
	case e.Lifecycle != Running:
		return "the server is " + string(e.Lifecycle)
	case !s.inRegistry():
		return "the server is not in the registry yet"
	case isTaken(fault):
		return "the server is not in the registry: " + fault.Error()
	case fault != nil && time.Since(since) > e.lostAfter():
		return fmt.Sprintf("the server is lost: its heartbeat could not be written for %s: %v",
			time.Since(since).Round(time.Second), fault)
	case e.Deaf():
		return fmt.Sprintf("the server is deaf: its listener is %s and last knew that it had read all %d ms ago",
			e.Heartbeat.State, e.Heartbeat.LagMS)
	}
	return ""
}

// metrics collects what the server knows of itself.
type metrics struct{ server *Server }

const namespace = "fleetcast"

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	receivedDesc   = describe("events_received_total", "Events read from the collection, for whomever.")
	deliveredDesc  = describe("events_delivered_total", "Events handed to a subscriber's queue.")
	malformedDesc  = describe("events_malformed_total", "Documents in the events collection that were skipped.")
	overrunsDesc   = describe("events_overrun_total", "Events lost to a subscriber whose queue was full.")
	gapsDesc       = describe("gaps_total", "Times that events could no longer be read.")
	reconnectsDesc = describe("reconnects_total", "Times that the listener lost its cursor.")
	droppedDesc    = describe("replies_dropped_total", "Replies that could not be stored.")
	lagDesc        = describe("lag_seconds", "Time since the listener last knew that it had read all.")
	listenerDesc   = describe("listener_state", "1 for the state that the listener is in.", "state")
	lifecycleDesc  = describe("server_lifecycle", "1 for the stage that the server is in.", "stage")
	pausedDesc     = describe("server_paused", "1 while the server is paused.")
	deafDesc       = describe("server_deaf", "1 while the server does not hear.")
	beatFaultDesc  = describe("heartbeat_failing", "1 while the heartbeat cannot be written.")
	beatRTTDesc    = describe("heartbeat_rtt_seconds", "How long the last heartbeat took to be written.")
	stuckDesc      = describe("workers_stuck", "Workers that are busy for longer than their limit.")
	workersDesc    = describe("workers", "Workers by state.", "state")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	health, entry := m.server.bus.Health(), m.server.entry()
	for desc, value := range map[*prometheus.Desc]int64{
		receivedDesc: health.Received, deliveredDesc: health.Delivered, malformedDesc: health.Malformed,
		overrunsDesc: health.Overruns, gapsDesc: health.Gaps, reconnectsDesc: health.Reconnects, droppedDesc: health.Dropped,
	} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value))
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(lagDesc, health.Lag.Seconds())
	gauge(pausedDesc, oneIf(entry.Paused))
	gauge(deafDesc, oneIf(entry.Deaf()))
	_, fault := m.server.beats.failing()
	gauge(beatFaultDesc, oneIf(fault != nil))
	gauge(beatRTTDesc, entry.Heartbeat.RTTMS/1000)
	for _, state := range []event.State{event.StateConnecting, event.StateBehind, event.StateListening} {
		gauge(listenerDesc, oneIf(health.State == state), string(state))
	}
	for _, stage := range []Lifecycle{Starting, Running, Quiet, Stopping, Stopped} {
		gauge(lifecycleDesc, oneIf(entry.Lifecycle == stage), string(stage))
	}
	m.collectWorkers(gauge)
}

func (m *metrics) collectWorkers(gauge func(*prometheus.Desc, float64, ...string)) {
	counts, stuck := map[worker.State]int{}, 0
	for _, w := range m.server.workers() {
		counts[w.State]++
		if w.Stuck {
			stuck++
		}
	}
	gauge(stuckDesc, float64(stuck))
	for _, state := range []worker.State{worker.Starting, worker.Idle, worker.Busy, worker.Paused, worker.Stopping, worker.Abandoned} {
		gauge(workersDesc, float64(counts[state]), string(state))
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
