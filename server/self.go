package server

import (
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/worker"
)

// entry is the server as it is now.
func (s *Server) entry() Entry {
	id, health := s.bus.Identity(), s.bus.Health()
	workers := workerEntries(s.workers(), time.Until(s.bus.StoreTime()))
	rtt := s.beats.lastRTT()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Entry{
		ID: id.ServerID, Name: id.Name, Host: id.Host, PID: id.PID, Version: s.cfg.Version,
		Labels: id.Labels, StartedAt: s.started, Lifecycle: s.lifecycle, Paused: s.paused,
		Consumer: s.pool != nil || s.hooks.any(), Actions: s.bus.Actions(), Traits: s.bus.Traits(), TableID: s.table.ID, Table: s.table.Table, Settings: s.table.Settings, Desired: s.told,
		Heartbeat: Heartbeat{
			Position: health.Position, State: health.State, LastError: health.LastError,
			LagMS: health.Lag.Milliseconds(), Gaps: health.Gaps, Reconnects: health.Reconnects,
			IntervalMS: s.now.Heartbeat.Milliseconds(), RTTMS: float64(rtt.Microseconds()) / 1000,
			RSS: residentMemory(), Goroutines: runtime.NumGoroutine(), Workers: workers,
		},
	}
}

// noted forgets to note a state as desired that has been noted, if it is still
// the same.
func (s *Server) noted(d Desired) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Paused == s.told.Paused {
		s.told.Paused = nil
	}
	s.told.LogLevels = maps.Clone(s.told.LogLevels)
	maps.DeleteFunc(s.told.LogLevels, func(component string, level DesiredLevel) bool { return d.LogLevels[component] == level })
}

func workerEntries(workers []worker.Status, offset time.Duration) []WorkerEntry {
	entries := make([]WorkerEntry, 0, len(workers))
	for _, w := range workers {
		e := WorkerEntry{
			ID: w.ID, State: string(w.State), Kind: w.Kind, WorkID: w.WorkID,
			Description: w.Description, Stuck: w.Stuck,
		}
		if !w.BusySince.IsZero() {
			e.BusySince = w.BusySince.Add(offset)
		}
		entries = append(entries, e)
	}
	return entries
}

// residentMemory reads the process's RSS where the system tells it (Linux), and
// is 0 elsewhere.
func residentMemory() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
