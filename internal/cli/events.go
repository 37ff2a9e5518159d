package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Args: noArgs,
		Short: "Follow events and the answers to them until interrupted",
		Example: `  fleetcast events
  fleetcast events --since 1h --subscriber server --follow=false`,
	}
	f := &follower{app: a}
	cmd.Flags().DurationVar(&f.since, "since", 0, "begin this long ago, by the database's clock (default: now)")
	cmd.Flags().StringVar(&f.subscriber, "subscriber", "", "only events for this subscriber")
	cmd.Flags().StringVar(&f.action, "action", "", "only events for this action")
	cmd.Flags().BoolVar(&f.replies, "replies", true, "show the answers, too")
	cmd.Flags().BoolVar(&f.follow, "follow", true, "go on with what comes; false ends when all that is there has been shown")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !f.follow && f.since <= 0 {
			return usageError("--follow=false shows what is there already: say since when, as in --since 1h")
		}
		return f.run(cmd.Context())
	}
	return cmd
}

// follower prints events and replies. Two goroutines of run read; mu guards
// what they share.
type follower struct {
	app                *app
	since              time.Duration
	subscriber, action string
	replies, follow    bool

	mu     sync.Mutex
	whole  event.Assembler
	recent recent // when there is a filter
}

// run reads until ctx ends, or what is there when not following.
func (f *follower) run(ctx context.Context) error {
	s, err := f.app.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	events, err := event.OpenLog(ctx, s.db, event.EventsCollection, s.log)
	if err != nil {
		return err
	}
	replies, err := event.OpenLog(ctx, s.db, event.RepliesCollection, s.log)
	if err != nil {
		return err
	}
	from, err := f.position(ctx, events)
	if err != nil {
		return err
	}
	if !f.follow { // the events first: they say which replies are wanted
		f.read(ctx, events, from, f.event)
		if f.replies {
			f.read(ctx, replies, from, f.reply)
		}
		return nil
	}
	var readers sync.WaitGroup
	readers.Go(func() { f.read(ctx, events, from, f.event) })
	if f.replies {
		readers.Go(func() { f.read(ctx, replies, from, f.reply) })
	}
	readers.Wait()
	return nil
}

func (f *follower) read(ctx context.Context, log event.Log, from event.Position, print func(bson.Raw) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = log.Read(ctx, from, &printer{app: f.app, print: print, once: !f.follow, stop: cancel}) // nil: ctx has ended
}

func (f *follower) position(ctx context.Context, events event.Log) (event.Position, error) {
	now, err := events.Time(ctx)
	if err != nil {
		return event.Position{}, err
	}
	if f.since > 0 {
		now = now.Add(-f.since)
	}
	return event.At(now), nil
}

func (f *follower) event(raw bson.Raw) error {
	e, err := event.Decode(raw)
	if err != nil {
		return err
	}
	wanted := (f.subscriber == "" || f.subscriber == e.Name) && (f.action == "" || f.action == e.Action)
	f.mu.Lock()
	defer f.mu.Unlock()
	var early []event.Reply
	if f.filtered() {
		seen := f.recent.of(e.ID)
		early, seen.early = seen.early, nil
		seen.known, seen.wanted = true, wanted
	}
	if !wanted {
		return nil
	}
	if err := f.printEvent(e); err != nil {
		return err
	}
	for _, r := range early {
		if err := f.printReply(r); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) printEvent(e event.Event) error {
	at := output.TimeOf(e.Time)
	parameters := output.JSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: e.Redacted()})
	if f.app.output != "text" {
		out := output.Event{
			Type: "event", ID: e.ID.Hex(), At: at, Subscriber: e.Name, Action: e.Action, Parameters: parameters,
			Target: output.ToTarget(e.Target), Publisher: e.Publisher, Reply: e.Reply,
		}
		if !e.ExpiresAt.IsZero() {
			out.ExpiresAt = &e.ExpiresAt
		}
		return f.printLine(out)
	}
	text := ""
	if len(e.Parameters) > 0 {
		text = " " + string(parameters)
	}
	f.app.printf("%s  %s  %s %s%s → %s  by %s@%s (%s %d)\n", at.Local().Format(time.TimeOnly), e.ID.Hex(),
		e.Name, e.Action, text, output.Describe(e.Target), e.Publisher.User, e.Publisher.Host, e.Publisher.App, e.Publisher.PID)
	return nil
}

func (f *follower) reply(raw bson.Raw) error {
	r, err := event.DecodeReply(slices.Clone(raw))
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, whole := f.whole.Add(r)
	if !whole {
		return nil
	}
	if f.filtered() {
		switch seen := f.recent.of(r.EventID); {
		case !seen.known:
			seen.early = append(seen.early, r)
			return nil
		case !seen.wanted:
			return nil
		}
	}
	return f.printReply(r)
}

func (f *follower) printReply(r event.Reply) error {
	at := output.TimeOf(r.Time)
	if f.app.output != "text" {
		return f.printLine(output.Answer{Type: "reply", At: at, EventID: r.EventID.Hex(), Reply: output.ToReply(r)})
	}
	text, _, more := strings.Cut(output.Says(r), "\n")
	if more || len(text) > 100 {
		text = fmt.Sprintf("%.100s…", text)
	}
	f.app.printf("%s  %s    %-8s %s %s\n", at.Local().Format(time.TimeOnly), r.EventID.Hex(), r.Kind, r.Server, text)
	return nil
}

func (f *follower) filtered() bool { return f.subscriber != "" || f.action != "" }

// printLine writes one JSON value in a line: a stream is never one array.
func (f *follower) printLine(v any) error {
	return json.NewEncoder(f.app.Stdout).Encode(v)
}

// printer is the Reader of one log.
type printer struct {
	app   *app
	print func(bson.Raw) error
	once  bool
	stop  func()
}

// Entry prints one document; one that is malformed is passed over here, each
// server counts and logs it.
func (p *printer) Entry(raw bson.Raw, _ event.Position) {
	var malformed *event.MalformedError
	if err := p.print(raw); err != nil && !errors.As(err, &malformed) {
		p.stop() // nobody reads the output any more
	}
}

// Gap says that something is missing from what is shown.
func (p *printer) Gap(gap event.Gap) {
	p.app.say("gap since %s: %s\n", gap.Since.Local().Format(time.DateTime), gap.Reason)
}

func (p *printer) State(s event.State, _ event.Position, err error) {
	if err != nil {
		p.app.say("the database cannot be read, trying again: %v\n", err)
	}
	if p.once && s == event.StateListening {
		p.stop()
	}
}
