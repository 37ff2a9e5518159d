package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// auditOutput is an entry of the audit in JSON; the rules of output.go hold.
type auditOutput struct {
	EventID    string            `json:"event_id"`
	At         time.Time         `json:"at"`
	State      server.AuditState `json:"state"` // complete, incomplete, left, publish_failed, not_waited, waiting, unknown or failed
	Deed       bool              `json:"deed"`  // no event carried it: a change to the database alone
	Subscriber string            `json:"subscriber"`
	Action     string            `json:"action"`
	Parameters json.RawMessage   `json:"parameters"` // secret ones are "****"
	Target     targetOutput      `json:"target"`
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
	Servers    []outcomeOutput   `json:"servers"`
}

// outcomeOutput is how it went on one server.
type outcomeOutput struct {
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

func toAuditOutput(e server.AuditEntry) auditOutput {
	out := auditOutput{
		EventID: e.ID.Hex(), At: e.At.UTC(), State: e.State(), Deed: e.Deed,
		Subscriber: e.Subscriber, Action: e.Action, Parameters: auditParameters(e),
		Target: toTargetOutput(e.Target), Publisher: e.Publisher,
		WaitMS: e.WaitMS, DurationMS: e.DurationMS, Error: e.Error,
		Done: e.Count("done"), Failed: e.Count("failed"), Refused: e.Count("refused"), Missing: e.Count(server.AuditMissing),
		Servers: []outcomeOutput{},
	}
	for _, s := range e.Servers {
		out.Servers = append(out.Servers, outcomeOutput{
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
	return toJSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: e.Parameters})
}

func printAuditTable(w io.Writer, entries []server.AuditEntry) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fprintf(tab, "TIME\tEVENT\tWHO\tWHAT\tTO WHOM\tOUTCOME\n")
	for _, e := range entries {
		fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateTime), e.ID.Hex(),
			who(e.Publisher), clip(what(e), 60), clip(toWhom(e), 40), clip(how(e), 80))
	}
	return tab.Flush()
}

// printAuditEntry shows one entry with each server's outcome.
func printAuditEntry(w io.Writer, e server.AuditEntry) {
	fprintf(w, "event    %s\ntime     %s\n", e.ID.Hex(), e.At.Local().Format(time.RFC3339))
	fprintf(w, "who      %s, process %d\n", who(e.Publisher), e.Publisher.PID)
	fprintf(w, "what     %s\nto whom  %s\noutcome  %s\n", what(e), toWhomInFull(e), how(e))
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range e.Servers {
		took := ""
		if s.DurationMS > 0 {
			took = short(time.Duration(s.DurationMS * float64(time.Millisecond)))
		}
		line := strings.Join([]string{s.Server, cmp.Or(s.Kind, "unknown"), took, outcomeNote(s)}, "\t")
		fprintf(tab, "  %s\n", strings.TrimRight(line, "\t"))
	}
	_ = tab.Flush() // see fprintf
	if e.Deed {
		return
	}
	switch e.State() {
	case server.AuditUnknown, server.AuditWaiting, server.AuditLeft:
		fprintf(w, "what has been answered since: fleetcast replies %s\n", e.ID.Hex())
	}
}

func outcomeNote(s server.AuditOutcome) string {
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

// who is a publisher in words.
func who(p event.Publisher) string {
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

func what(e server.AuditEntry) string {
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

// how says in words how an act went.
func how(e server.AuditEntry) string {
	switch e.State() {
	case server.AuditPublishFailed:
		return "publishing failed: " + strings.Join(strings.Fields(e.Error), " ")
	case server.AuditNotWaited:
		return plural(len(e.Servers), "server") + ", not waited for"
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

// toWhom says who was meant; servers that were chosen by their ids have names, too.
func toWhom(e server.AuditEntry) string {
	t := e.Target
	if len(t.ServerIDs) == 0 || len(e.Servers) == 0 {
		return toWhomInFull(e)
	}
	t.ServerIDs, t.Names = nil, nil
	for _, s := range e.Servers {
		if !s.Extra {
			t.Names = append(t.Names, s.Server)
		}
	}
	return describe(t)
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
	return strings.Join(parts, ", ") + " in " + short(time.Duration(e.DurationMS*float64(time.Millisecond)))
}

// clip keeps a text in one line of a table.
func clip(text string, longest int) string {
	return shorten(strings.Join(strings.Fields(text), " "), longest)
}

func shorten(text string, longest int) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}
