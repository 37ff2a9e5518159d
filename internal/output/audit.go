package output

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// Audit is an entry of the audit in JSON; the rules of output.go hold.
type Audit struct {
	EventID    string            `json:"event_id"`
	At         time.Time         `json:"at"`
	State      server.AuditState `json:"state"` // complete, incomplete, left, publish_failed, not_waited, waiting, unknown or failed
	Deed       bool              `json:"deed"`  // no event carried it: a change to the database alone
	Subscriber string            `json:"subscriber"`
	Action     string            `json:"action"`
	Parameters json.RawMessage   `json:"parameters"` // secret ones are "****"
	Target     Target            `json:"target"`
	Publisher  event.Publisher   `json:"publisher"`
	WaitMS     int64             `json:"wait_ms"` // how long the publisher was to wait for answers, 0 = not at all
	DurationMS float64           `json:"duration_ms"`
	Error      string            `json:"error,omitempty"` // why it could not be published, or its answers not be read
	Matched    int               `json:"matched"`
	Acked      int               `json:"acked"`
	Done       int               `json:"done"`
	Failed     int               `json:"failed"`
	Refused    int               `json:"refused"`
	Missing    int               `json:"missing"`
	Deaf       int               `json:"deaf"`
	Extra      int               `json:"extra"`
	Servers    []Outcome         `json:"servers"`
}

// Outcome is how it went on one server.
type Outcome struct {
	ServerID   string  `json:"server_id"`
	Server     string  `json:"server"`
	Kind       string  `json:"kind"` // done, failed, refused, missing or unknown
	Error      string  `json:"error,omitempty"`
	DurationMS float64 `json:"duration_ms"`
	Acked      bool    `json:"acked"`
	Deaf       bool    `json:"deaf"`
	Gone       bool    `json:"gone"`  // lost, or not in the registry any more
	Extra      bool    `json:"extra"` // it answered without being expected
}

// ToAudit returns an entry of the audit.
func ToAudit(e server.AuditEntry) Audit {
	out := Audit{
		EventID: e.ID.Hex(), At: e.At.UTC(), State: e.State(), Deed: e.Deed,
		Subscriber: e.Subscriber, Action: e.Action, Parameters: auditParameters(e),
		Target: ToTarget(e.Target), Publisher: e.Publisher,
		WaitMS: e.WaitMS, DurationMS: e.DurationMS, Error: e.Error,
		Done: e.Count("done"), Failed: e.Count("failed"), Refused: e.Count("refused"), Missing: e.Count(server.AuditMissing),
		Servers: []Outcome{},
	}
	for _, s := range e.Servers {
		out.Servers = append(out.Servers, Outcome{
			ServerID: s.ServerID.Hex(), Server: s.Server, Kind: cmp.Or(s.Kind, "unknown"), Error: s.Error,
			DurationMS: s.DurationMS, Acked: s.Acked, Deaf: s.Deaf, Gone: s.Gone, Extra: s.Extra,
		})
		if s.Extra {
			out.Extra++
			continue
		}
		out.Matched++
		if s.Acked {
			out.Acked++
		}
		if s.Deaf && s.Kind == server.AuditMissing {
			out.Deaf++
		}
	}
	return out
}

func auditParameters(e server.AuditEntry) json.RawMessage {
	return JSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: e.Parameters})
}

// OutcomeNote says what is to be said of how it went on one server.
func OutcomeNote(s server.AuditOutcome) string {
	switch {
	case s.Error != "":
		first, _, more := strings.Cut(s.Error, "\n") // panics come with their stacks
		if more {
			first += " … (-o json has more)"
		}
		return first
	case s.Extra:
		return "answered without being expected"
	case s.Kind != server.AuditMissing:
		return ""
	case s.Gone:
		return "was lost, or had left"
	case s.Acked:
		return "has heard the event, and was not done"
	case s.Deaf:
		return "was deaf"
	}
	return "has not heard the event"
}

// Who is a publisher in words.
func Who(p event.Publisher) string {
	user := p.User
	if p.SudoUser != "" {
		user = p.SudoUser + " as " + p.User
	}
	user += "@" + p.Host
	if p.App != "" && p.App != "fleetcast" {
		user += " (" + p.App + ")"
	}
	return user
}

// What says what was asked for.
func What(e server.AuditEntry) string {
	if e.Deed {
		return deedWords(e)
	}
	return withParameters(e.Subscriber+" "+e.Action, e)
}

func withParameters(text string, e server.AuditEntry) string {
	if parameters := string(auditParameters(e)); parameters != "null" && parameters != "{}" {
		text += " " + parameters
	}
	return text
}

// How says in words how an act went.
func How(e server.AuditEntry) string {
	switch e.State() {
	case server.AuditPublishFailed:
		return "publishing failed: " + strings.Join(strings.Fields(e.Error), " ")
	case server.AuditNotWaited:
		return Plural(len(e.Servers), "server") + ", not waited for"
	case server.AuditWaiting:
		return "no outcome yet: the caller waits until " +
			e.At.Add(time.Duration(e.WaitMS)*time.Millisecond).Local().Format(time.DateTime) + ", or went away"
	case server.AuditUnknown:
		return "unknown: the caller went away"
	case server.AuditFailed:
		return "failed: " + strings.Join(strings.Fields(e.Error), " ")
	case server.AuditLeft:
		return counts(e) + "; the caller left"
	}
	text := counts(e)
	if e.State() == server.AuditIncomplete && e.Count(server.AuditMissing) == 0 {
		text += "; the caller wanted more servers"
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	return text
}

// ToWhom says who was meant; servers that were chosen by their ids have names, too.
func ToWhom(e server.AuditEntry) string {
	t := e.Target
	if len(t.ServerIDs) == 0 || len(e.Servers) == 0 {
		return ToWhomInFull(e)
	}
	t.ServerIDs, t.Names = nil, nil
	for _, s := range e.Servers {
		if !s.Extra {
			t.Names = append(t.Names, s.Server)
		}
	}
	return Describe(t)
}

func counts(e server.AuditEntry) string {
	var parts []string
	if e.Deed {
		parts = []string{"done"}
	}
	for _, kind := range []string{"done", "failed", "refused", server.AuditMissing} {
		if n := e.Count(kind); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ") + " in " + Short(time.Duration(e.DurationMS*float64(time.Millisecond)))
}
