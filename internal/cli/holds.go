package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// isSticky reports whether the event makes a hold.
func isSticky(e event.Event) bool {
	sticky, _ := e.Parameters.Lookup("sticky").BooleanOK()
	return e.Name == "server" && e.Action == "pause" && sticky
}

// holdsChanged says in words what the event does to holds, and is empty when it
// does nothing to them: such an event is published also when nobody is there.
func (a *app) holdsChanged(ctx context.Context, s *store, e event.Event) (string, error) {
	if isSticky(e) {
		return fmt.Sprintf("hold: servers that start later are paused, too (%s), until `fleetcast resume`", output.Describe(e.Target)), nil
	}
	if e.Name != "server" || e.Action != "resume" {
		return "", nil
	}
	holds, err := server.NewRegistry(s.db).Holds(ctx)
	if err != nil {
		return "", err
	}
	ended := 0
	for _, h := range holds {
		if h.EndedBy(e.Target) {
			ended++
		}
	}
	switch {
	case ended == 0 && len(holds) > 0:
		a.say("%s for other targets in force: `fleetcast servers` shows which; a resume for everybody ends all\n", output.Plural(len(holds), "hold"))
		return "", nil
	case ended == 0:
		return "", nil
	}
	return output.Plural(ended, "hold") + " ended", nil
}

// actOnHolds publishes an event for holds alone.
func (a *app) actOnHolds(ctx context.Context, bus *event.Bus, e event.Event, held string) error {
	if _, err := bus.Publish(ctx, e); err != nil {
		return err
	}
	if a.output != "text" {
		if err := a.printJSON(output.ToCall(e, event.Summary{EventID: e.ID}, nil)); err != nil {
			return err
		}
	}
	a.say("no living server is meant by %s\n%s\n", output.Describe(e.Target), held)
	return nil
}

// printHolds lists the holds that are in force.
func printHolds(w io.Writer, holds []server.Hold) {
	for _, h := range holds {
		fprintf(w, "HOLD  %s starts paused: %s@%s, since %s\n", strings.Replace(output.Describe(h.Target), "everybody", "every server", 1),
			h.Publisher.User, h.Publisher.Host, h.At.UTC().Format(time.RFC3339))
	}
}
