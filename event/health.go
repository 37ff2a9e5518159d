package event

import (
	"sync"
	"time"
)

// Health says how well a Bus hears. Counters count from its start.
type Health struct {
	State    State
	Position Position
	// Lag is how long ago the store last confirmed that there was nothing more
	// to read: about a second at most while all is well, rising while the
	// listener is behind or cut off.
	Lag        time.Duration
	Gaps       int64  // times that events could no longer be read
	Reconnects int64  // times that the cursor was lost
	Received   int64  // events read, for whomever
	Delivered  int64  // events handed to a subscriber's queue
	Malformed  int64  // documents skipped
	Overruns   int64  // events lost to a subscriber whose queue was full
	Dropped    int64  // replies that could not be stored
	LastError  string // why the cursor was lost the last time
}

// health is the Health under a lock, and the store's clock.
type health struct {
	mu    sync.Mutex
	now   Health
	heard time.Time // the last confirmation

	clock   time.Time // what the store's clock showed
	clockAt time.Time // at this moment of this process's, which counts on when that is set anew
}

func (h *health) update(change func(*Health)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.now)
}

// received counts one document.
func (h *health) received(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.Received++
	if err != nil {
		h.now.Malformed++
	}
}

// state takes what the log reports and says whether the state is another one.
func (h *health) state(s State, pos Position, err error) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.now.State
	changed = before != s
	h.now.State, h.now.Position = s, pos
	if s == StateListening {
		h.heard = time.Now()
	}
	if err != nil {
		h.now.LastError = err.Error()
		if before == StateBehind || before == StateListening {
			h.now.Reconnects++
		}
	}
	return changed
}

// started notes that there is a position: from here on, silence is lag.
func (h *health) started(pos Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.Position, h.heard = pos, time.Now()
}

func (h *health) storeTime() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clockAt.IsZero() {
		return time.Now()
	}
	return h.clock.Add(time.Since(h.clockAt))
}

func (h *health) setClock(store, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock, h.clockAt = store, at
}

// Health returns the present state.
func (b *Bus) Health() Health {
	b.health.mu.Lock()
	defer b.health.mu.Unlock()
	h := b.health.now
	if !b.health.heard.IsZero() {
		h.Lag = time.Since(b.health.heard)
	}
	h.Dropped = b.answers.dropped.Load()
	return h
}
