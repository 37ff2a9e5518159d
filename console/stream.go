package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fleetcast/fleetcast/event"
)

// slowest is how long a browser may take to take a message; then it is dropped. A
// variable for tests.
var slowest = 10 * time.Second

const (
	together = 200 * time.Millisecond // changes that come within are sent at once
	silence  = 15 * time.Second       // then a comment is sent, so that proxies keep the stream
)

// stream sends server-sent events to one browser. What next returns is sent whenever
// something has changed, unless it is what was sent before; nil is not sent. It ends
// when the browser is gone or slow, the console stops, or next says done.
//
// It runs in the request's goroutine, which alone writes.
func (c *Console) stream(r *request, name string, next func() (message any, done bool, err error)) error {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		return &pageError{http.StatusServiceUnavailable, fmt.Sprintf("%d pages are open live: too many; reload to see this one as it is", maxStreams)}
	}
	changes, unsubscribe := c.changes.Subscribe()
	defer unsubscribe()
	out := &sseWriter{w: r.w, control: http.NewResponseController(r.w)}
	out.begin()
	var last []byte
	for quiet := time.NewTicker(silence); ; {
		message, done, err := next()
		if err != nil {
			message, name = map[string]string{"error": err.Error()}, "failed"
		}
		if message != nil {
			text, err := json.Marshal(message)
			if err != nil {
				return nil
			}
			if !bytes.Equal(text, last) && out.event(name, c.fleet.clock(), text) != nil {
				return nil
			}
			last = text
		}
		if done || err != nil {
			_ = out.event("over", c.fleet.clock(), []byte("{}"))
			return nil
		}
		if !c.await(r, out, changes, quiet) {
			return nil
		}
	}
}

// await returns true when something has changed, and false when the stream is over.
func (c *Console) await(r *request, out *sseWriter, changes <-chan event.Message[change], quiet *time.Ticker) bool {
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-c.running.Done():
			return false
		case <-quiet.C:
			if out.comment() != nil {
				return false
			}
		case _, ok := <-changes:
			for settle := time.After(together); ok; {
				select {
				case _, ok = <-changes: // seen with the first
				case <-settle:
					return true
				case <-r.Context().Done():
					return false
				}
			}
			return false
		}
	}
}

// sseWriter writes a stream of server-sent events.
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *sseWriter) begin() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // of nginx
	s.w.WriteHeader(http.StatusOK)
	_ = s.control.Flush()
}

// event writes a message. Its id is the database's time, by which pages count ages.
func (s *sseWriter) event(name string, now time.Time, data []byte) error {
	return s.write(fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", now.UTC().Format(timeFormat), name, data))
}

func (s *sseWriter) comment() error { return s.write([]byte(":\n\n")) }

func (s *sseWriter) write(text []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(slowest)) // a handler around this one may not support it
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

// fragment is a message that takes the place of the page's live part.
type fragment struct {
	HTML string `json:"html"`
}

// timeFormat is of the database's time in streams.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"
