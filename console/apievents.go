package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/internal/output"
)

// apiStream are the events of late.
type apiStream struct {
	Gap    string         `json:"gap"` // why some are missing; empty for no reason
	Events []output.Event `json:"events"`
}

func (c *Console) apiEvents(r *request) error {
	q := r.URL.Query()
	limit, err := limitOf(q, eventsShown, feedEvents)
	if err != nil {
		return err
	}
	list, gap, err := c.feed.newest(limit, eventFilterOf(q).wants)
	if err != nil {
		return err
	}
	out := apiStream{Gap: gap, Events: []output.Event{}}
	for _, v := range list {
		e := v.event
		one := output.Event{
			Type: "event", ID: e.ID.Hex(), At: output.TimeOf(e.Time), Subscriber: e.Name, Action: e.Action,
			Parameters: output.JSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: v.shown}),
			Target:     output.ToTarget(e.Target), Publisher: e.Publisher, Reply: e.Reply,
		}
		if !e.ExpiresAt.IsZero() {
			at := e.ExpiresAt.UTC()
			one.ExpiresAt = &at
		}
		out.Events = append(out.Events, one)
	}
	return r.answer(http.StatusOK, out)
}

// apiOutcome is what is known of how an event went.
type apiOutcome struct {
	EventID    string         `json:"event_id"`
	Subscriber string         `json:"subscriber"`
	Action     string         `json:"action"`
	At         time.Time      `json:"at"`
	Publisher  string         `json:"publisher"` // in words
	Target     string         `json:"target"`    // in words
	State      string         `json:"state"`     // running, complete, failed, incomplete, or unknown
	Summary    string         `json:"summary"`   // in words, once it is over
	Error      string         `json:"error"`     // why it could not be published, or answers not be read
	Counts     map[string]int `json:"counts"`
	Servers    []apiAnswer    `json:"servers"`
	Call       *output.Call   `json:"call"` // with all answers; null while it runs, and of events that others have published
}

type apiAnswer struct {
	ServerID   string  `json:"server_id"`
	Server     string  `json:"server"`
	Kind       string  `json:"kind"` // waiting, acknowledged, done, failed, refused, missing, gone, deaf or unknown
	DurationMS float64 `json:"duration_ms"`
	Says       string  `json:"says"` // in a line
}

func (c *Console) apiEvent(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	o, err := c.outcome(r.Context(), id)
	if err != nil {
		return err
	}
	out := apiOutcome{
		EventID: o.ID, Subscriber: o.Subscriber, Action: o.Action, At: o.At.UTC(), Publisher: o.Who, Target: o.Whom,
		State: "unknown", Summary: o.Summary, Error: o.Fault, Counts: map[string]int{}, Servers: []apiAnswer{},
	}
	switch {
	case o.Running:
		out.State = "running"
	case o.Verdict == "done":
		out.State = "complete"
	case o.Verdict != "":
		out.State = o.Verdict
	}
	for _, n := range o.Counts {
		out.Counts[strings.ReplaceAll(n.Word, " ", "_")] = n.N
	}
	for _, a := range o.Answers {
		out.Servers = append(out.Servers, apiAnswer{a.ServerID, a.Server, a.Kind, a.DurationMS, a.Says})
	}
	if a := c.acts.find(id); a != nil && !o.Running {
		out.Call = a.call()
	}
	return r.answer(http.StatusOK, out)
}

func (c *Console) apiReplies(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	_, replies, err := c.answersOf(r.Context(), id)
	if err != nil {
		return err
	}
	out := []output.Reply{}
	for _, one := range replies {
		out = append(out, output.ToReply(one))
	}
	return r.answer(http.StatusOK, out)
}

// apiTrail is the audit.
type apiTrail struct {
	More    bool           `json:"more"` // there are older ones
	Entries []output.Audit `json:"entries"`
}

func (c *Console) apiAudit(r *request) error {
	q := r.URL.Query()
	f, err := auditFilterOf(q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	entries, more, err := c.registry.Trail(ctx, f)
	if err != nil {
		return err
	}
	out := apiTrail{More: more, Entries: []output.Audit{}}
	for _, e := range slices.Backward(entries) {
		out.Entries = append(out.Entries, output.ToAudit(e))
	}
	return r.answer(http.StatusOK, out)
}
