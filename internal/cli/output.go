package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// The structs of this file are the JSON output: fields may be added, none is
// renamed. Times are RFC 3339, durations are milliseconds.

type callOutput struct {
	EventID    string        `json:"event_id"`
	Subscriber string        `json:"subscriber"`
	Action     string        `json:"action"`
	Matched    int           `json:"matched"`
	Acked      int           `json:"acked"`
	Done       int           `json:"done"`
	Failed     int           `json:"failed"`
	Refused    int           `json:"refused"`
	Missing    int           `json:"missing"`
	Deaf       int           `json:"deaf"`
	Gone       int           `json:"gone"`                  // missing, and lost or not in the registry any more
	Extra      int           `json:"extra"`                 // answered without being expected
	Minimum    int           `json:"min_servers,omitempty"` // of --min-servers
	Short      int           `json:"short,omitempty"`       // how many answers there are fewer
	DurationMS float64       `json:"duration_ms"`
	Replies    []replyOutput `json:"replies"`
	// MissingServers are the names of those that should have answered.
	MissingServers []string `json:"missing_servers"`
	// LostReplies is how many replies of a server, such as parts of its output, should
	// have come before its final one, and have not.
	LostReplies map[string]int `json:"lost_replies,omitempty"`
	// Batches and UntouchedServers are of --batch: how many were tried, and the names
	// of those that were not reached because too many before them had failed.
	Batches          int      `json:"batches,omitempty"`
	UntouchedServers []string `json:"untouched_servers,omitempty"`
}

type replyOutput struct {
	ServerID   string          `json:"server_id"`
	Server     string          `json:"server"`
	WorkerID   int             `json:"worker_id,omitempty"`
	Kind       event.ReplyKind `json:"kind"`
	Payload    json.RawMessage `json:"payload"`
	Error      string          `json:"error,omitempty"`
	DurationMS float64         `json:"duration_ms"`
	Truncated  bool            `json:"truncated,omitempty"`
}

type matchOutput struct {
	Subscriber string         `json:"subscriber"`
	Action     string         `json:"action"`
	DryRun     bool           `json:"dry_run"`
	Matched    int            `json:"matched"`
	Servers    []memberOutput `json:"servers"`
}

type memberOutput struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Host string `json:"host"`
	PID  int    `json:"pid"`
	Deaf bool   `json:"deaf"`
}

type publishedOutput struct {
	EventID    string `json:"event_id"`
	Subscriber string `json:"subscriber"`
	Action     string `json:"action"`
	Matched    int    `json:"matched"`
}

type serverOutput struct {
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
	Heartbeat heartbeatOutput   `json:"heartbeat"`
	Workers   []workerOutput    `json:"workers"`
}

type heartbeatOutput struct {
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

type workerOutput struct {
	ID          int        `json:"id"`
	State       string     `json:"state"`
	Kind        string     `json:"kind"`
	WorkID      string     `json:"work_id"`
	Description string     `json:"description"`
	BusySince   *time.Time `json:"busy_since"`
	Stuck       bool       `json:"stuck"`
}

type eventOutput struct {
	Type       string          `json:"type"` // "event"
	ID         string          `json:"id"`
	At         time.Time       `json:"at"`
	Subscriber string          `json:"subscriber"`
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"`
	Target     targetOutput    `json:"target"`
	Publisher  event.Publisher `json:"publisher"`
	ExpiresAt  *time.Time      `json:"expires_at"`
	Reply      bool            `json:"reply"`
}

type targetOutput struct {
	ServerIDs []string          `json:"server_ids,omitempty"`
	Servers   []string          `json:"servers,omitempty"`
	Hosts     []string          `json:"hosts,omitempty"`
	PIDs      []int             `json:"pids,omitempty"`
	WorkerIDs []int             `json:"worker_ids,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

type answerOutput struct {
	Type    string    `json:"type"` // "reply"
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"`
	replyOutput
}

func toReplyOutput(r event.Reply) replyOutput {
	return replyOutput{
		ServerID: r.ServerID.Hex(), Server: r.Server, WorkerID: r.WorkerID, Kind: r.Kind,
		Payload: toJSON(r.Payload), Error: r.Error, DurationMS: r.DurationMS, Truncated: r.Truncated,
	}
}

// extendedDate is a time of today's kind in relaxed extended JSON. In a string its
// quotes would be escaped.
var extendedDate = regexp.MustCompile(`\{"\$date":("[^"]*")\}`)

// toJSON turns a BSON value into plain JSON, with times as RFC 3339; what JSON lacks
// becomes relaxed extended JSON.
func toJSON(v bson.RawValue) json.RawMessage {
	null := json.RawMessage("null")
	if len(v.Value) == 0 {
		return null
	}
	text, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, false, false)
	if err != nil {
		return null
	}
	var doc struct {
		V json.RawMessage `json:"v"`
	}
	if json.Unmarshal(extendedDate.ReplaceAll(text, []byte("$1")), &doc) != nil {
		return null
	}
	return doc.V
}

func toServerOutput(e server.Entry, stuckAfter time.Duration) serverOutput {
	h := e.Heartbeat
	out := serverOutput{
		ID: e.ID.Hex(), Name: e.Name, Host: e.Host, PID: e.PID, Version: e.Version,
		Labels: e.Labels, Lifecycle: e.Lifecycle, Paused: e.Paused, Lost: e.Lost(), Deaf: e.Deaf(),
		State: e.State(), Consumer: e.Consumer, StartedAt: e.StartedAt,
		Heartbeat: heartbeatOutput{
			At: h.At, AgeMS: e.Age.Milliseconds(), LagMS: h.LagMS, Position: h.Position.String(),
			State: h.State, Gaps: h.Gaps, Reconnects: h.Reconnects,
			LastError: h.LastError, IntervalMS: h.IntervalMS, RTTMS: h.RTTMS, RSSBytes: h.RSS, Goroutines: h.Goroutines,
		},
		Workers: []workerOutput{},
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	now := h.At.Add(e.Age) // the database's
	for _, w := range h.Workers {
		wo := workerOutput{
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

func toTargetOutput(t event.Target) targetOutput {
	out := targetOutput{Servers: t.Names, Hosts: t.Hosts, PIDs: t.PIDs, WorkerIDs: t.WorkerIDs, Labels: t.Labels}
	for _, id := range t.ServerIDs {
		out.ServerIDs = append(out.ServerIDs, id.Hex())
	}
	return out
}

// printJSON writes one value: indented for -o json, in one line for jsonl.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	if a.output == "json" {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// printAll writes a list: an array for -o json, one line for each with jsonl.
func printAll[T any](a *app, values []T) error {
	if a.output == "json" {
		return a.printJSON(values)
	}
	for _, v := range values {
		if err := a.printJSON(v); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printf(format string, args ...any) { fprintf(a.Stdout, format, args...) }

// say writes a message for people that is no data.
func (a *app) say(format string, args ...any) { fprintf(a.Stderr, format, args...) }

// fprintf writes to a terminal or a pipe; when that is gone there is nobody
// left to tell.
func fprintf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func labelList(labels map[string]string) []string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return list
}

// short prints a duration as people say it.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func plural(n int, word string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, word)
	}
	return fmt.Sprintf("%d %ss", n, word)
}
