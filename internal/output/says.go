package output

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// Says is what an answer says, in words.
func Says(r event.Reply) string {
	if r.Error != "" {
		return r.Error
	}
	var state subscribers.ServerState
	if r.Result(&state) == nil && state.Lifecycle != "" {
		text := state.Lifecycle
		if state.Paused {
			text += ", paused"
		}
		if state.Busy > 0 {
			text += ", " + Plural(state.Busy, "worker") + " busy"
		}
		if state.Note != "" {
			text += " (" + state.Note + ")"
		}
		return text
	}
	var outcomes subscribers.WorkerOutcomes
	if r.Result(&outcomes) == nil && len(outcomes.Workers) > 0 {
		var parts []string
		for _, w := range outcomes.Workers {
			parts = append(parts, strings.TrimSuffix(fmt.Sprintf("worker %d %s: %s", w.ID, w.State, w.Error), ": "))
		}
		return strings.Join(parts, ", ")
	}
	var chunk subscribers.ExecOutput
	if r.Kind == event.Output && r.Result(&chunk) == nil && chunk.Stream != "" {
		return strings.TrimRight(string(chunk.Data), "\n")
	}
	var change subscribers.LevelChange
	if r.Result(&change) == nil && (change.Previous != "" && change.Level != "" || change.Absent) {
		return LevelChange(change)
	}
	if text := userEventSays(r); text != "" {
		return text
	}
	if text, ok := RefreshWords(r); ok {
		return text
	}
	if text, ok := r.Payload.StringValueOK(); ok {
		return text
	}
	if payload := JSON(r.Payload); string(payload) != "null" {
		return string(payload)
	}
	return ""
}

// WhyMissing says what is known of a server that has not answered.
func WhyMissing(o event.Outcome) string {
	switch {
	case o.Gone && o.Acked:
		return "had heard the event, and is gone: it was lost, or has left, before it was done"
	case o.Gone:
		return "is gone: it was lost, or has left; nothing is known of it having heard the event"
	case o.Deaf:
		return "is deaf: it beats, but its listener makes no progress"
	case o.Acked:
		return "has heard the event and is not done yet"
	}
	return "has not heard the event"
}

// SummaryLine says in a line how a call went.
func SummaryLine(e event.Event, sum event.Summary) string {
	parts := []string{Plural(sum.Matched, "server") + " matched"}
	for _, count := range []struct {
		n    int
		what string
	}{
		{sum.Done, "done"}, {sum.Failed, "failed"}, {sum.Refused, "refused"}, {sum.Missing, "missing"},
		{sum.Deaf, "of them deaf"}, {sum.Gone, "of them gone"}, {sum.Extra, "extra"},
	} {
		if count.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count.n, count.what))
		}
	}
	if sum.Short() > 0 {
		parts = append(parts, fmt.Sprintf("%d fewer than the %d that --min-servers wants", sum.Short(), sum.Minimum))
	}
	return fmt.Sprintf("%s %s: %s in %s", e.Name, e.Action, strings.Join(slices.Compact(parts), ", "), Short(sum.Duration))
}

// ComponentWord names a component of a logger.
func ComponentWord(name string) string {
	if name == "" {
		return "(all)"
	}
	return name
}

// LevelChange says what logger set has done.
func LevelChange(c subscribers.LevelChange) string {
	if c.Absent {
		return fmt.Sprintf("no component %s here, nothing to do (there are %s)", c.Component, cmp.Or(strings.Join(c.Components, ", "), "none"))
	}
	text := fmt.Sprintf("%s: %s → %s", ComponentWord(c.Component), c.Previous, c.Level)
	if c.For != nil {
		text += " for " + c.For.String() + ", until " + c.Until.Local().Format(time.DateTime)
	}
	return text
}

// userEventSays is what the answer to a user event says, in words; empty if it is of
// no kind that is known here.
func userEventSays(r event.Reply) string {
	var merged event.Superseded
	if r.Result(&merged) == nil && !merged.By.IsZero() {
		return "merged with a later one: " + merged.By.Hex()
	}
	var ran ScriptOutcomes
	if r.Result(&ran) == nil {
		return ran.String()
	}
	var both []ScriptOutcomes // of those that may run in parallel, and the others
	_ = r.Result(&both)       // it may be neither
	for _, some := range both {
		ran.Scripts = append(ran.Scripts, some.Scripts...)
	}
	return ran.String()
}
