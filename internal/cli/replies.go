package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) repliesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replies EVENT_ID", Args: exactArgs("EVENT_ID"),
		Short: "Show the answers to an event, as far as they are still kept",
		Long: `Show what the servers have answered to an event so far, for as long as the capped
collection keeps it. Only servers that have answered are shown.`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := bson.ObjectIDFromHex(args[0])
		if err != nil {
			return usageError("%q is no event's id, which has 24 hexadecimal digits: the acting commands print it with --no-wait or -o json", args[0])
		}
		return a.replies(cmd.Context(), id)
	}
	return cmd
}

type repliesOutput struct {
	EventID    string         `json:"event_id"`
	Subscriber string         `json:"subscriber,omitempty"` // unless the event is no longer kept
	Action     string         `json:"action,omitempty"`
	Replies    []output.Reply `json:"replies"` // the last one of each server
}

func (a *app) replies(ctx context.Context, id bson.ObjectID) error {
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	e, replies, err := a.readReplies(ctx, s, id)
	if err != nil {
		return err
	}
	if a.output != "text" {
		out := repliesOutput{EventID: id.Hex(), Subscriber: e.Name, Action: e.Action, Replies: []output.Reply{}}
		for _, r := range replies {
			out.Replies = append(out.Replies, output.ToReply(r))
		}
		if err := a.printJSON(out); err != nil {
			return err
		}
	}
	if len(replies) == 0 {
		return &codeError{code: exitNoMatch, err: errors.New("no server has answered that event, or the answers are no longer kept")}
	}
	code := exitOK
	for _, r := range replies {
		if a.output == "text" && r.Kind == event.Ack {
			a.printf("%-24s %-8s has heard it and is not done\n", r.Server, r.Kind)
		} else {
			a.printReply(e, r)
		}
		switch {
		case r.Kind == event.Failed || r.Kind == event.Refused:
			code = exitFailure
		case !r.Kind.Final() && code == exitOK:
			code = exitIncomplete
		}
	}
	if code != exitOK {
		return &codeError{code: code}
	}
	return nil
}

// readReplies returns the event, if it is still there, and each server's last
// answer.
func (a *app) readReplies(ctx context.Context, s *store, id bson.ObjectID) (e event.Event, last []event.Reply, err error) {
	e.ID = id
	err = a.readLog(ctx, s, event.EventsCollection, func(raw bson.Raw) error {
		if found, err := event.Decode(raw); err == nil && found.ID == id {
			e = found
		}
		return nil
	})
	if err != nil {
		return e, nil, err
	}
	var whole event.Assembler
	err = a.readLog(ctx, s, event.RepliesCollection, func(raw bson.Raw) error {
		if of, _ := raw.Lookup("event_id").ObjectIDOK(); of != id {
			return nil
		}
		r, err := event.DecodeReply(slices.Clone(raw))
		if err != nil {
			return err
		}
		r, ok := whole.Add(r)
		if !ok {
			return nil
		}
		i := slices.IndexFunc(last, func(o event.Reply) bool { return o.ServerID == r.ServerID })
		if i < 0 {
			last = append(last, r)
		} else {
			last[i] = r
		}
		return nil
	})
	return e, last, err
}

// readLog reads all that is in a log at present.
func (a *app) readLog(ctx context.Context, s *store, name string, each func(bson.Raw) error) error {
	log, err := event.OpenLog(ctx, s.db, name, s.log)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	done := false
	err = log.Read(bounded, event.Earliest(), &printer{app: a, print: each, once: true, stop: func() { done = true; cancel() }})
	if err == nil && !done {
		err = context.Cause(bounded)
	}
	return err
}
