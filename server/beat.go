package server

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/worker"
)

// soonDelay gathers changes of workers into one beat: a busy pool changes
// many times a second.
const soonDelay = time.Second

// beater writes the server's entry. Server.serve starts and joins its
// goroutine; the channels are the only way in.
type beater struct {
	server  *Server
	nowCh   chan struct{} // a change that operators wait for
	soonCh  chan struct{} // a change that can wait for soonDelay
	fault   error         // why register gave up
	failing bool          // the last beat failed; touched by one goroutine at a time
}

func newBeater(s *Server) *beater {
	return &beater{server: s, nowCh: make(chan struct{}, 1), soonCh: make(chan struct{}, 1)}
}

func (b *beater) now()  { notify(b.nowCh) }
func (b *beater) soon() { notify(b.soonCh) }

// notify leaves a note that needs to be there once.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// register enters the registry, trying until it succeeds, ctx ends, or the server
// that has the name beats: one that does not is waited for until it is lost.
func (b *beater) register(ctx context.Context) bool {
	var held time.Time // the last beat of a server that has the name
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := b.attempt(ctx, b.server.registry.register)
		var taken *NameTakenError
		switch {
		case err == nil:
			return true
		case errors.As(err, &taken) && !held.IsZero() && taken.At.After(held):
			b.fault = err
			return false
		case errors.As(err, &taken):
			held = taken.At // a dead one, perhaps our predecessor: it will be lost
			if !sleep(ctx, delay) {
				return false
			}
		case !sleep(ctx, delay):
			return false
		}
	}
}

// run beats until ctx ends.
func (b *beater) run(ctx context.Context) {
	regular := time.NewTicker(b.server.cfg.Heartbeat)
	defer regular.Stop()
	var gathered <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.soonCh:
			if gathered == nil {
				gathered = time.After(soonDelay)
			}
			continue
		case <-gathered:
		case <-b.nowCh:
		case <-regular.C:
		}
		gathered = nil
		if ctx.Err() != nil {
			return
		}
		if b.attempt(ctx, b.server.registry.beat) != nil && sleep(ctx, soonDelay) {
			b.now()
		}
	}
}

// attempt writes the entry once, and logs when that begins and ceases to fail.
// The end of ctx does not interrupt it: a write that was given up here could
// still be carried out by the database, after the server has left the registry.
func (b *beater) attempt(ctx context.Context, write func(context.Context, Entry) error) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	e := b.server.entry()
	err := write(bounded, e)
	if err == nil {
		b.server.noted(e.Desired)
	}
	if failing := err != nil; failing != b.failing {
		b.failing = failing
		if failing {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("cannot write the heartbeat; trying again until it succeeds")
		} else {
			zerolog.Ctx(ctx).Info().Msg("the heartbeat is written again")
		}
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// entry is the server as it is now.
func (s *Server) entry() Entry {
	id, health := s.bus.Identity(), s.bus.Health()
	offset := time.Until(s.bus.StoreTime())
	s.mu.Lock()
	defer s.mu.Unlock()
	desired := Desired{}
	if s.applied {
		desired.Paused = new(s.paused)
	}
	return Entry{
		Desired: desired,
		ID:      id.ServerID, Name: id.Name, Host: id.Host, PID: id.PID, Version: s.cfg.Version,
		Labels: id.Labels, StartedAt: s.started, Lifecycle: s.lifecycle, Paused: s.paused,
		Actions: s.bus.Actions(),
		Heartbeat: Heartbeat{
			Position: health.Position, State: health.State, LagMS: health.Lag.Milliseconds(),
			Gaps: health.Gaps, Reconnects: health.Reconnects,
			RSS: residentMemory(), Goroutines: runtime.NumGoroutine(),
			Workers: workerEntries(s.workers(), offset),
		},
	}
}

// noted forgets to note a state as desired that has been noted.
func (s *Server) noted(d Desired) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Paused != nil && *d.Paused == s.paused {
		s.applied = false
	}
}

func workerEntries(workers []worker.Status, offset time.Duration) []WorkerEntry {
	entries := make([]WorkerEntry, 0, len(workers))
	for _, w := range workers {
		e := WorkerEntry{ID: w.ID, State: string(w.State), Kind: w.Kind, WorkID: w.WorkID}
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
