package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// userEventFlags are those of event.
type userEventFlags struct {
	*acting
	coalesce, json bool
}

func (a *app) eventCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "event NAME [PAYLOAD]", Args: cobra.RangeArgs(1, 2),
		Short: "Publish an event of your own to those who listen",
		Long: `Publish an event with a name of your own to the processes that listen for it: those of
"fleetcast listen", and programs with the subscriber "user". It returns at once, with
the event's id, unless --wait says how long to wait for their answers.

PAYLOAD is text, @FILE for what is in a file, or - for stdin; with --json it is read as
JSON. Events of one name that come within a second are merged by those who listen, who
get the last one; --coalesce=false lets each one through at once.`,
		Example: `  fleetcast event deploy 1.7.3
  fleetcast event config @settings.json --json --label role=web --wait 30s`,
	}
	f := &userEventFlags{acting: &acting{targetFlags: a.addTargetFlags(cmd)}}
	cmd.Flags().BoolVar(&f.coalesce, "coalesce", true, "let those who listen merge it with others of the name")
	cmd.Flags().BoolVar(&f.json, "json", false, "PAYLOAD is JSON")
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "wait so long for the answers, and show them (default: not at all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e := subscribers.UserEvent{Name: args[0]}
		if len(args) > 1 {
			var err error
			if e.Payload, err = a.payload(args[1], f.json); err != nil {
				return err
			}
		}
		return a.userEvent(cmd.Context(), f, e)
	}
	return cmd
}

// payload reads what goes with a user event.
func (a *app) payload(text string, isJSON bool) (any, error) {
	data := []byte(text)
	var err error
	if file, ok := strings.CutPrefix(text, "@"); ok {
		data, err = os.ReadFile(file)
	} else if text == "-" && a.Stdin != nil {
		data, err = io.ReadAll(io.LimitReader(a.Stdin, event.DefaultMaxParameters+1))
	}
	if err != nil {
		return nil, usageError("PAYLOAD: %w", err)
	}
	switch {
	case isJSON:
		return jsonValue(data)
	case utf8.Valid(data):
		return string(data), nil
	}
	return data, nil
}

// jsonValue is one value of JSON, plain or extended.
func jsonValue(data []byte) (any, error) {
	if !json.Valid(data) { // or two values could be taken for one
		return nil, usageError("PAYLOAD is not JSON: one value, such as {\"version\": \"1.7.3\"}")
	}
	var doc struct {
		V bson.RawValue `bson:"v"`
	}
	if err := bson.UnmarshalExtJSON(fmt.Appendf(nil, `{"v": %s}`, data), false, &doc); err != nil {
		return nil, usageError("PAYLOAD is not JSON: %w", err)
	}
	return doc.V, nil
}

func (a *app) userEvent(ctx context.Context, f *userEventFlags, payload subscribers.UserEvent) error {
	target, err := f.target()
	if err != nil {
		return err
	}
	switch {
	case payload.Name == "" || utf8.RuneCountInString(payload.Name) > subscribers.MaxEventName:
		return usageError("NAME has %d characters: it may have 1 to %d", utf8.RuneCountInString(payload.Name), subscribers.MaxEventName)
	case f.wait < 0:
		return usageError("--wait %s: a duration such as 10s", f.wait)
	}
	opts := []event.Option{event.To(target)}
	if f.coalesce {
		opts = append(opts, event.Coalesced())
	}
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	e := subscribers.PublishUserEvent.New(payload, opts...)
	if f.wait > 0 || f.dryRun {
		f.wait = max(f.wait, time.Second)
		err := a.actOn(ctx, s, f.acting, e)
		if unknown, ok := errors.AsType[*event.UnknownError](err); ok && unknown.Subscriber == e.Name {
			return &codeError{code: exitNoMatch, err: fmt.Errorf(
				"nothing matched: nobody listens for events of one's own; nothing was published; start `fleetcast listen --on %s=SCRIPT`, "+
					"or leave --wait out to publish it all the same", payload.Name)}
		}
		return err
	}
	bus, err := s.openBus(ctx)
	if err != nil {
		return err
	}
	if f.limit != "" {
		members, err := bus.Match(ctx, e)
		if err == nil {
			_, err = f.narrow(&e, members)
		}
		if err != nil {
			return err
		}
	}
	id, err := bus.Publish(ctx, e)
	if err != nil {
		return err
	}
	if a.output != "text" {
		return a.printJSON(eventIDOutput{id.Hex()})
	}
	a.printf("%s\n", id.Hex())
	return nil
}

type eventIDOutput struct {
	EventID string `json:"event_id"`
}
