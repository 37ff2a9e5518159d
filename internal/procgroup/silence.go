//go:build unix

package procgroup

import (
	"sync"
	"time"
)

// silence calls a function, once, when a command has printed nothing for too long.
// The time in which something that it has printed is still being handed over is none
// of the command's: it may be held up by that itself. A nil one does nothing. Its
// methods are safe for concurrent use.
type silence struct {
	limit time.Duration
	kill  func()

	mu      sync.Mutex
	timer   *time.Timer
	since   time.Time // when it began, if handing is 0
	handing int       // of the streams, how many hand something over
	over    bool
}

func newSilence(limit time.Duration, kill func()) *silence {
	s := &silence{limit: limit, kill: kill, since: time.Now()}
	s.timer = time.AfterFunc(limit, s.elapsed)
	return s
}

func (s *silence) elapsed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.handing > 0 || time.Since(s.since) < s.limit {
		return // something came when the time had just run out
	}
	s.over = true
	s.kill()
}

// interrupt says that something is handed over, until the returned function is
// called.
func (s *silence) interrupt() (resume func()) {
	if s == nil {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handing++
	s.timer.Stop()
	return s.resume
}

func (s *silence) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handing--; s.handing == 0 && !s.over {
		s.since = time.Now()
		s.timer.Reset(s.limit)
	}
}

// end ends the watch: the command has ended.
func (s *silence) end() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.timer.Stop()
}
