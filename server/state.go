package server

import (
	"context"

	"github.com/fleetcast/fleetcast/event"
)

// setPaused pauses or resumes the server, its pool and the other system behind
// its hooks, and reports whether that changed anything. A hook that fails leaves
// the server as it was.
func (s *Server) setPaused(ctx context.Context, paused bool) (changed bool, err error) {
	if err := s.refusal(); err != nil { // without waiting for the stop hook's turn
		return false, err
	}
	done, err := s.hooks.begin(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	return s.setPausedNow(ctx, paused)
}

// setPausedNow is setPaused for who has the turn.
func (s *Server) setPausedNow(ctx context.Context, paused bool) (changed bool, err error) {
	if err := s.refusal(); err != nil {
		return false, err
	}
	if err := s.hooks.hold(ctx, paused || s.stage() == Quiet); err != nil {
		return false, err
	}
	s.mu.Lock()
	changed = s.paused != paused
	s.paused, s.told.Paused, s.toldAt = paused, &paused, s.bus.StoreTime()
	s.mu.Unlock()
	if s.pool != nil && paused {
		s.pool.Pause()
	} else if s.pool != nil {
		s.pool.Resume()
	}
	s.beats.now()
	return changed, nil
}

// refusal says why it is too late to change what work is taken.
func (s *Server) refusal() error {
	if stage := s.stage(); stage == Stopping || stage == Stopped {
		return event.Refuse("the server is %s: it takes no new work any more", stage)
	}
	return nil
}

// quiet takes no new work for good, and reports whether that changed anything.
func (s *Server) quiet(ctx context.Context) (changed bool, err error) {
	if !s.stage().mayBecome(Quiet) {
		return false, nil
	}
	done, err := s.hooks.begin(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if !s.stage().mayBecome(Quiet) {
		return false, nil
	}
	if err := s.hooks.hold(ctx, true); err != nil {
		return false, err
	}
	if s.pool != nil {
		s.pool.Quiet()
	}
	return s.advance(Quiet), nil
}
