package output

import (
	"fmt"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// Server is an entry of the registry.
type Server struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Host      string            `json:"host"`
	PID       int               `json:"pid"`
	Version   string            `json:"version"`
	Labels    map[string]string `json:"labels"`
	Lifecycle server.Lifecycle  `json:"lifecycle"`
	Paused    bool              `json:"paused"`
	Lost      bool              `json:"lost"`
	Deaf      bool              `json:"deaf"`
	State     string            `json:"state"`    // in one word: lost, deaf, paused, or the lifecycle
	Consumer  bool              `json:"consumer"` // runs workers or has hooks; else it only publishes and listens
	Stuck     int               `json:"stuck_workers"`
	StartedAt time.Time         `json:"started_at"`
	Heartbeat Heartbeat         `json:"heartbeat"`
	Workers   []Worker          `json:"workers"`
}

// Heartbeat is what a server said of itself last.
type Heartbeat struct {
	At         time.Time   `json:"at"`
	AgeMS      int64       `json:"age_ms"`
	LagMS      int64       `json:"lag_ms"`
	Position   string      `json:"position"`
	State      event.State `json:"state"`
	Gaps       int64       `json:"gaps"`
	Reconnects int64       `json:"reconnects"`
	LastError  string      `json:"last_error"` // why the listener lost its cursor the last time
	IntervalMS int64       `json:"interval_ms"`
	RTTMS      float64     `json:"rtt_ms"` // how long the previous beat took to be written
	RSSBytes   int64       `json:"rss_bytes"`
	Goroutines int         `json:"goroutines"`
}

// Worker is a worker of a server.
type Worker struct {
	ID          int        `json:"id"`
	State       string     `json:"state"`
	Kind        string     `json:"kind"`
	WorkID      string     `json:"work_id"`
	Description string     `json:"description"`
	BusySince   *time.Time `json:"busy_since"`
	Stuck       bool       `json:"stuck"`
}

// ToServer returns an entry; a worker that is busy for longer than stuckAfter is
// stuck, unless that is 0.
func ToServer(e server.Entry, stuckAfter time.Duration) Server {
	h := e.Heartbeat
	out := Server{
		ID: e.ID.Hex(), Name: e.Name, Host: e.Host, PID: e.PID, Version: e.Version,
		Labels: e.Labels, Lifecycle: e.Lifecycle, Paused: e.Paused, Lost: e.Lost(), Deaf: e.Deaf(),
		State: e.State(), Consumer: e.Consumer, StartedAt: e.StartedAt,
		Heartbeat: Heartbeat{
			At: h.At, AgeMS: e.Age.Milliseconds(), LagMS: h.LagMS, Position: h.Position.String(),
			State: h.State, Gaps: h.Gaps, Reconnects: h.Reconnects,
			LastError: h.LastError, IntervalMS: h.IntervalMS, RTTMS: h.RTTMS, RSSBytes: h.RSS, Goroutines: h.Goroutines,
		},
		Workers: []Worker{},
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	now := h.At.Add(e.Age) // the database's
	for _, w := range h.Workers {
		wo := Worker{
			ID: w.ID, State: w.State, Kind: w.Kind, WorkID: w.WorkID, Description: w.Description, Stuck: w.Stuck,
		}
		if !w.BusySince.IsZero() {
			wo.BusySince = &w.BusySince
			wo.Stuck = w.Stuck || stuckAfter > 0 && now.Sub(w.BusySince) > stuckAfter
		}
		if wo.Stuck {
			out.Stuck++
		}
		out.Workers = append(out.Workers, wo)
	}
	return out
}

// States are the states of server.Entry.State, the worst first.
var States = []string{"lost", "deaf", "stopping", "quiet", "paused", "starting", "running"}

// ToServers returns entries as ToServer does.
func ToServers(entries []server.Entry, stuckAfter time.Duration) []Server {
	out := make([]Server, 0, len(entries))
	for _, e := range entries {
		out = append(out, ToServer(e, stuckAfter))
	}
	return out
}

// Totals counts servers and workers by state, each server once.
func Totals(servers []Server) string {
	states, workers, inState, stuck := map[string]int{}, 0, map[string]int{}, 0
	for _, s := range servers {
		states[s.State]++
		if s.Lost {
			continue // nobody knows of its workers
		}
		for _, w := range s.Workers {
			workers++
			inState[w.State]++
		}
		stuck += s.Stuck
	}
	text := Plural(len(servers), "server") + countsOf(states, States...) + "; " +
		Plural(workers, "worker") + countsOf(inState, "busy", "idle", "starting", "paused", "stopping", "abandoned")
	if stuck > 0 {
		text += fmt.Sprintf("; %d STUCK", stuck)
	}
	return text
}

func countsOf(counts map[string]int, order ...string) string {
	var parts []string
	for _, word := range order {
		if n := counts[word]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// StateOf is a server's state in a few words, the worst first.
func StateOf(s Server) string {
	words := []string{string(s.Lifecycle)}
	if s.Paused {
		words = append(words, "paused")
	}
	if s.Lost {
		words = append([]string{"LOST"}, words...)
	}
	if s.Deaf {
		words = append([]string{"DEAF"}, words...)
	}
	return strings.Join(words, ",")
}

// BusyOf says how many of a server's workers are busy.
func BusyOf(s Server) string {
	busy := 0
	for _, w := range s.Workers {
		if w.BusySince != nil {
			busy++
		}
	}
	switch {
	case !s.Consumer:
		return "publisher"
	case len(s.Workers) == 0: // another job system's
		return "-"
	}
	text := fmt.Sprintf("%d/%d", busy, len(s.Workers))
	if s.Stuck > 0 {
		text += fmt.Sprintf(" (%d STUCK)", s.Stuck)
	}
	return text
}

// WorkOf says what a worker is at, and for how long.
func WorkOf(s Server, w Worker) string {
	if w.BusySince == nil {
		return ""
	}
	now := s.Heartbeat.At.Add(Milliseconds(s.Heartbeat.AgeMS))
	work := strings.Join(strings.Fields(w.Kind+" "+w.WorkID+" "+w.Description), " ")
	return fmt.Sprintf("%s for %s", work, Short(now.Sub(*w.BusySince)))
}
