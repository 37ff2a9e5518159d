package output

import (
	"encoding/json"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// TimeOf is the second of a timestamp.
func TimeOf(ts bson.Timestamp) time.Time { return time.Unix(int64(ts.T), 0).UTC() }

// Event is an event in a stream.
type Event struct {
	Type       string          `json:"type"` // "event"
	ID         string          `json:"id"`
	At         time.Time       `json:"at"`
	Subscriber string          `json:"subscriber"`
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"`
	Target     Target          `json:"target"`
	Publisher  event.Publisher `json:"publisher"`
	ExpiresAt  *time.Time      `json:"expires_at"`
	Reply      bool            `json:"reply"`
}

// Target is who is meant.
type Target struct {
	ServerIDs []string          `json:"server_ids,omitempty"`
	Servers   []string          `json:"servers,omitempty"`
	Hosts     []string          `json:"hosts,omitempty"`
	PIDs      []int             `json:"pids,omitempty"`
	WorkerIDs []int             `json:"worker_ids,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// Answer is an answer in a stream.
type Answer struct {
	Type    string    `json:"type"` // "reply"
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"`
	Reply
}

// ToTarget returns a target with its ids as texts.
func ToTarget(t event.Target) Target {
	out := Target{Servers: t.Names, Hosts: t.Hosts, PIDs: t.PIDs, WorkerIDs: t.WorkerIDs, Labels: t.Labels}
	for _, id := range t.ServerIDs {
		out.ServerIDs = append(out.ServerIDs, id.Hex())
	}
	return out
}

// Describe says in words who is meant.
func Describe(t event.Target) string {
	var parts []string
	add := func(what string, values ...string) {
		if len(values) > 0 {
			parts = append(parts, what+" "+strings.Join(values, ","))
		}
	}
	for _, id := range t.ServerIDs {
		add("server-id", id.Hex())
	}
	add("server", t.Names...)
	add("host", t.Hosts...)
	add("pid", Numbers(t.PIDs)...)
	add("worker", Numbers(t.WorkerIDs)...)
	for _, label := range LabelList(t.Labels) {
		add("label", label)
	}
	if len(parts) == 0 {
		return "everybody"
	}
	return strings.Join(parts, " ")
}
