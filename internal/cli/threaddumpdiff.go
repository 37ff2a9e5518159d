package cli

import (
	"context"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/stacks"
)

// diff takes two dumps of the same servers and shows what they have in common.
func (a *app) diff(ctx context.Context, bus *event.Bus, act *acting, e event.Event, apart time.Duration) error {
	first, before, _, err := a.takeDumps(ctx, bus, act, e)
	if err != nil {
		return err
	}
	a.say("%d of %d servers have answered; the second dump comes in %s\n", before.Done, before.Matched, apart)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(apart):
	}
	again := event.New(e.Name, e.Action, e.Parameters, event.To(e.Target))
	second, sum, _, err := a.takeDumps(ctx, bus, act, again)
	if err != nil {
		return err
	}
	out := output.Diff{
		EventIDs: []string{e.ID.Hex(), again.ID.Hex()}, Servers: output.Compare(first, second),
		Calls: []output.Call{output.ToCall(e, before, nil), output.ToCall(again, sum, nil)},
	}
	if a.output != "text" {
		err = a.printJSON(out)
	} else {
		a.printDiff(out.Servers, apart)
		err = a.printSummary(again, sum, nil)
	}
	if err != nil {
		return err
	}
	return a.ended(ctx, act, again, sum)
}

func (a *app) printDiff(list []output.ServerDiff, apart time.Duration) {
	for _, s := range list {
		a.printf("=== %s\n", output.Title([]output.Dumped{s.Dumped}))
		switch {
		case s.New:
			a.printf("was not there in the first dump\n\n")
		case len(s.Dumped.Goroutines) == 0 || s.Dumped.Goroutines[0].ID == 0:
			a.printf("no goroutines that can be told apart: it is another program, or its tracebacks show no labels (GODEBUG=tracebacklabels=1)\n\n")
		default:
			a.printf("%s at the same place after %s, %d moved, %d ended, %d new\n\n", output.Plural(len(s.Still), "goroutine"), apart, s.Moved, s.Ended, s.Started)
			if len(s.Stills) > 0 {
				_ = stacks.Write(a.Stdout, s.Stills)
				a.printf("\n")
			}
		}
	}
}
