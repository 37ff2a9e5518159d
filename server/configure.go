package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/fleetcast/fleetcast/worker"
)

// Configure changes the configuration of a server that may be running: change gets
// it as it is now, and what it leaves in Heartbeat, ShutdownTimeout and Pool holds
// from then on; fields at zero get their defaults, and other fields stay as they
// are. What of Pool may change is said at [worker.Pool.Configure]. It returns at
// once, and reports whether anything is different. If something is wrong nothing
// changes.
//
// change must not call the server.
func (s *Server) Configure(change func(*Config)) (changed bool, err error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	next := s.configuration()
	change(&next)
	next = next.withDefaults()
	if changed, err = s.configurePool(next); err != nil {
		return false, err
	}
	s.mu.Lock()
	ours := next.Heartbeat != s.now.Heartbeat || next.ShutdownTimeout != s.now.ShutdownTimeout
	s.now.Heartbeat, s.now.ShutdownTimeout = next.Heartbeat, next.ShutdownTimeout
	s.mu.Unlock()
	if ours {
		s.beats.now() // which begins the new interval
	}
	return changed || ours, nil
}

// configuration returns the Config as it is now.
func (s *Server) configuration() Config {
	s.mu.Lock()
	c := s.now
	s.mu.Unlock()
	if s.pool != nil {
		c.Pool = s.pool.Config()
	}
	return c
}

// configurePool does so for the pool, if the rest is in order.
func (s *Server) configurePool(c Config) (changed bool, err error) {
	ours := checkHeartbeat(c.Heartbeat)
	if s.pool == nil {
		return false, ours
	}
	changed, err = s.pool.Configure(func(p *worker.Config) {
		if ours == nil {
			*p = c.Pool
		}
	})
	return changed, errors.Join(ours, err)
}

func checkHeartbeat(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("Heartbeat is %v: it may not be negative", d)
	}
	return nil
}

func (s *Server) heartbeat() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Heartbeat
}

func (s *Server) shutdownTimeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.ShutdownTimeout
}
