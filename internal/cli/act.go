package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

func (a *app) printMatch(e event.Event, members []event.Member) error {
	out := output.Match{Subscriber: e.Name, Action: e.Action, DryRun: true, Matched: len(members), Servers: []output.Member{}}
	for _, m := range members {
		out.Servers = append(out.Servers, output.Member{ID: m.ServerID.Hex(), Name: m.Name, Host: m.Host, PID: m.PID, Deaf: m.Deaf})
	}
	if a.output != "text" {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		a.printf("%s %s would reach %s (%s); nothing was published\n",
			e.Name, e.Action, output.Plural(len(members), "server"), output.Describe(e.Target))
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
		if err := a.printJSON(output.ToCall(e, event.Summary{EventID: e.ID}, nil)); err != nil {
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
	message := fmt.Sprintf("nothing matched: no living server is meant by %s; nothing was published", output.Describe(e.Target))
	switch {
	case len(living) == 0 && lost == 0:
		message += " (the registry is empty: is this the right database?)"
	case len(living) == 0:
		message += fmt.Sprintf(" (the registry has %s, all lost)", output.Plural(lost, "server"))
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
		return a.printJSON(output.Published{EventID: id.Hex(), Subscriber: e.Name, Action: e.Action, Matched: matched})
	}
	a.printf("%s\n", id.Hex())
	a.say("published %s %s to %s; not waiting for answers\n", e.Name, e.Action, output.Plural(matched, "server"))
	return nil
}

// call publishes, prints the answers as they come, and then the summary.
func (a *app) call(ctx context.Context, bus *event.Bus, act *acting, e event.Event) error {
	sum, finals, err := a.await(ctx, bus, act, e, a.shower(act, e))
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err := a.report(act, e, sum, finals, output.ToCall(e, sum, finals)); err != nil {
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
func (a *app) report(act *acting, e event.Event, sum event.Summary, finals []event.Reply, out output.Call) error {
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
		_ = a.printJSON(output.Answer{Type: "reply", At: output.TimeOf(r.Time), EventID: e.ID.Hex(), Reply: output.ToReply(r)})
	}
	if a.output != "text" || r.Kind == event.Ack {
		return
	}
	dumps := output.DumpsOf(e, r)
	a.printDumps(dumps)
	if len(dumps) == 0 || r.Kind == event.Failed {
		a.printAnswer(r)
	}
}

// printAnswer prints an answer in a line.
func (a *app) printAnswer(r event.Reply) {
	took := ""
	if r.Kind.Final() {
		took = output.Short(time.Duration(r.DurationMS * float64(time.Millisecond)))
	}
	a.printf("%-24s %-8s %s  %s\n", r.Server, r.Kind, took, output.Says(r))
	var outcomes subscribers.WorkerOutcomes
	if r.Result(&outcomes) == nil {
		for _, w := range outcomes.Workers {
			if w.Stack != "" {
				a.printStack(w.Stack)
			}
		}
	}
}

func (a *app) printSummary(e event.Event, sum event.Summary, finals []event.Reply) error {
	return a.printOutcome(e, sum, output.ToCall(e, sum, finals))
}

func (a *app) printOutcome(e event.Event, sum event.Summary, out output.Call) error {
	switch a.output {
	case "json":
		return a.printJSON(out)
	case "jsonl": // which has had the replies
		out.Replies = []output.Reply{}
		return a.printJSON(struct {
			Type string `json:"type"`
			output.Call
		}{"summary", out})
	}
	for _, o := range sum.Servers {
		if o.Expected && o.Reply == nil {
			a.printf("%-24s %-8s %s\n", o.Server, "missing", output.WhyMissing(o))
		}
		if o.Lost > 0 {
			a.say("%s: %d of its replies before the last one could not be stored or read; what it printed has holes\n", o.Server, o.Lost)
		}
	}
	a.say("%s\n", output.SummaryLine(e, sum))
	return nil
}
