package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

func (a *app) printMatch(e event.Event, members []event.Member) error {
	out := matchOutput{Subscriber: e.Name, Action: e.Action, DryRun: true, Matched: len(members), Servers: []memberOutput{}}
	for _, m := range members {
		out.Servers = append(out.Servers, memberOutput{ID: m.ServerID.Hex(), Name: m.Name, Host: m.Host, PID: m.PID, Deaf: m.Deaf})
	}
	if a.output != "text" {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		a.printf("%s %s would reach %s (%s); nothing was published\n",
			e.Name, e.Action, plural(len(members), "server"), describe(e.Target))
		for _, m := range out.Servers {
			a.printf("  %s  %s\n", m.Name, m.ID)
		}
	}
	if len(members) == 0 {
		return &codeError{code: exitNoMatch}
	}
	return nil
}

// nothingMatched says what there is instead.
func (a *app) nothingMatched(ctx context.Context, s *store, e event.Event) error {
	if a.output != "text" {
		if err := a.printJSON(toCallOutput(e, event.Summary{EventID: e.ID}, nil)); err != nil {
			return err
		}
	}
	entries, err := server.NewRegistry(s.db).List(ctx)
	if err != nil {
		return err
	}
	var living []string
	lost := 0
	for _, entry := range entries {
		if entry.Lost() {
			lost++
		} else {
			living = append(living, entry.Name)
		}
	}
	message := fmt.Sprintf("nothing matched: no living server is meant by %s; nothing was published", describe(e.Target))
	switch {
	case len(living) == 0 && lost == 0:
		message += " (the registry is empty: is this the right database?)"
	case len(living) == 0:
		message += fmt.Sprintf(" (the registry has %s, all lost)", plural(lost, "server"))
	case len(living) <= 12:
		message += fmt.Sprintf(" (living: %s)", strings.Join(living, ", "))
	default:
		message += fmt.Sprintf(" (%d are living; `fleetcast servers` lists them)", len(living))
	}
	return &codeError{code: exitNoMatch, err: errors.New(message)}
}

func (a *app) publish(ctx context.Context, bus *event.Bus, e event.Event, matched int) error {
	id, err := bus.Publish(ctx, e)
	if err != nil {
		return err
	}
	if a.output != "text" {
		return a.printJSON(publishedOutput{EventID: id.Hex(), Subscriber: e.Name, Action: e.Action, Matched: matched})
	}
	a.printf("%s\n", id.Hex())
	a.say("published %s %s to %s; not waiting for answers\n", e.Name, e.Action, plural(matched, "server"))
	return nil
}

// call publishes, prints the answers as they come, and then the summary.
func (a *app) call(ctx context.Context, bus *event.Bus, act *acting, e event.Event) error {
	sum, finals, err := a.await(ctx, bus, act, e, a.shower(act, e))
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err := a.report(act, e, sum, finals, toCallOutput(e, sum, finals)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return a.interrupted(ctx, act, e)
	}
	return act.outcome(sum, finals)
}

// shower returns what shows the answers to an event.
func (a *app) shower(act *acting, e event.Event) func(event.Reply) {
	show := act.own.show
	if show == nil {
		show = a.printReply
	}
	return func(r event.Reply) { show(e, r) }
}

// report prints the summary.
func (a *app) report(act *acting, e event.Event, sum event.Summary, finals []event.Reply, out callOutput) error {
	if act.own.report != nil {
		return act.own.report(e, sum, finals, out)
	}
	return a.printOutcome(e, sum, out)
}

// ended is how a command ends that has shown the answers.
func (a *app) ended(ctx context.Context, act *acting, e event.Event, sum event.Summary) error {
	if ctx.Err() != nil {
		return a.interrupted(ctx, act, e)
	}
	return outcome(sum)
}

// interrupted says what goes on.
func (a *app) interrupted(ctx context.Context, act *acting, e event.Event) error {
	if act.own.left != "" {
		a.say("interrupted: %s\n", act.own.left)
	} else {
		a.say("interrupted: the servers go on with it; `fleetcast replies %s` shows their answers\n", e.ID.Hex())
	}
	return ctx.Err()
}

// await publishes, and shows the answers as they come.
func (a *app) await(ctx context.Context, bus *event.Bus, act *acting, e event.Event, print func(event.Reply)) (event.Summary, []event.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout+act.wait,
		fmt.Errorf("the database did not take the event within --timeout %s", a.timeout))
	defer cancel()
	var finals []event.Reply
	progress := a.newProgress()
	defer progress.end()
	show := func(r event.Reply) {
		progress.reply(r)
		progress.print(func() { print(r) })
	}
	sum, err := bus.CallFunc(ctx, e, event.Callbacks{
		OnSubmit: progress.begin,
		OnAck: func(r event.Reply) {
			if r.Kind == event.Ack {
				show(r)
			}
		},
		OnOutput: show,
		OnGone: func(o event.Outcome) {
			progress.gone(o)
			progress.print(func() { a.say("%s is gone (lost, or it has left): not waiting for it\n", o.Server) })
		},
		OnExit: func(r event.Reply) { finals = append(finals, r); show(r) },
	}, append(act.own.options, event.Wait(act.wait), event.AtLeast(act.minServers))...)
	return sum, finals, err
}

// outcome is the exit code that a summary means.
func outcome(sum event.Summary) error {
	switch {
	case sum.Matched == 0:
		return &codeError{code: exitNoMatch}
	case sum.Failed > 0 || sum.Refused > 0:
		return &codeError{code: exitFailure}
	case !sum.Complete():
		return &codeError{code: exitIncomplete}
	}
	return nil
}

func (a *app) printReply(e event.Event, r event.Reply) {
	if a.output == "jsonl" {
		_ = a.printJSON(answerOutput{Type: "reply", At: timeOf(r.Time), EventID: e.ID.Hex(), replyOutput: toReplyOutput(r)})
	}
	if a.output != "text" || r.Kind == event.Ack {
		return
	}
	dumps := dumpsOf(e, r)
	a.printDumps(dumps)
	if len(dumps) == 0 || r.Kind == event.Failed {
		a.printAnswer(r)
	}
}

// printAnswer prints an answer in a line.
func (a *app) printAnswer(r event.Reply) {
	took := ""
	if r.Kind.Final() {
		took = short(time.Duration(r.DurationMS * float64(time.Millisecond)))
	}
	a.printf("%-24s %-8s %s  %s\n", r.Server, r.Kind, took, says(r))
	var outcomes subscribers.WorkerOutcomes
	if r.Result(&outcomes) == nil {
		for _, w := range outcomes.Workers {
			if w.Stack != "" {
				a.printStack(w.Stack)
			}
		}
	}
}

func timeOf(ts bson.Timestamp) time.Time { return time.Unix(int64(ts.T), 0).UTC() }

// says is what an answer says, in words.
func says(r event.Reply) string {
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
			text += ", " + plural(state.Busy, "worker") + " busy"
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
		return levelChange(change)
	}
	if text := userEventSays(r); text != "" {
		return text
	}
	if text, ok := refreshWords(r); ok {
		return text
	}
	if text, ok := r.Payload.StringValueOK(); ok {
		return text
	}
	if payload := toJSON(r.Payload); string(payload) != "null" {
		return string(payload)
	}
	return ""
}

func toCallOutput(e event.Event, sum event.Summary, finals []event.Reply) callOutput {
	out := callOutput{
		EventID: sum.EventID.Hex(), Subscriber: e.Name, Action: e.Action,
		Matched: sum.Matched, Acked: sum.Acked, Done: sum.Done, Failed: sum.Failed, Refused: sum.Refused,
		Missing: sum.Missing, Deaf: sum.Deaf, Gone: sum.Gone, Extra: sum.Extra,
		DurationMS: float64(sum.Duration.Microseconds()) / 1000,
		Minimum:    sum.Minimum, Short: sum.Short(),
		Replies: []replyOutput{}, MissingServers: []string{},
	}
	for _, r := range finals {
		out.Replies = append(out.Replies, toReplyOutput(r))
	}
	for _, o := range sum.Servers {
		if o.Expected && o.Reply == nil {
			out.MissingServers = append(out.MissingServers, o.Server)
		}
		if o.Lost > 0 {
			if out.LostReplies == nil {
				out.LostReplies = map[string]int{}
			}
			out.LostReplies[o.Server] = o.Lost
		}
	}
	return out
}

func (a *app) printSummary(e event.Event, sum event.Summary, finals []event.Reply) error {
	return a.printOutcome(e, sum, toCallOutput(e, sum, finals))
}

func (a *app) printOutcome(e event.Event, sum event.Summary, out callOutput) error {
	switch a.output {
	case "json":
		return a.printJSON(out)
	case "jsonl": // which has had the replies
		out.Replies = []replyOutput{}
		return a.printJSON(struct {
			Type string `json:"type"`
			callOutput
		}{"summary", out})
	}
	for _, o := range sum.Servers {
		if o.Expected && o.Reply == nil {
			a.printf("%-24s %-8s %s\n", o.Server, "missing", whyMissing(o))
		}
		if o.Lost > 0 {
			a.say("%s: %d of its replies before the last one could not be stored or read; what it printed has holes\n", o.Server, o.Lost)
		}
	}
	a.say("%s\n", summaryLine(e, sum))
	return nil
}

func whyMissing(o event.Outcome) string {
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

func summaryLine(e event.Event, sum event.Summary) string {
	parts := []string{plural(sum.Matched, "server") + " matched"}
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
	return fmt.Sprintf("%s %s: %s in %s", e.Name, e.Action, strings.Join(slices.Compact(parts), ", "), short(sum.Duration))
}
