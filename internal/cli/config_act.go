package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// refreshFlags let servers refresh once the collection is changed.
type refreshFlags struct {
	refresh bool
	wait    time.Duration
}

func addRefreshFlags(cmd *cobra.Command) *refreshFlags {
	r := &refreshFlags{}
	cmd.Flags().BoolVar(&r.refresh, "refresh", false, "then let the servers that it is for refresh, and wait for their answers")
	cmd.Flags().DurationVar(&r.wait, "wait", event.DefaultWait, "with --refresh: how long to wait for the answers")
	return r
}

func (r *refreshFlags) check() error {
	if r.wait <= 0 {
		return usageError("--wait %s: a positive duration such as 10s", r.wait)
	}
	return nil
}

// errNobodyRefreshed is of a change that no living server is there for.
var errNobodyRefreshed = errors.New("no living server is concerned, so none was refreshed")

// refreshed lets the servers refresh whom the target means, and shows their answers as
// they come. The summary is left to the caller.
func (a *app) refreshed(ctx context.Context, s *store, wait time.Duration, target event.Target) (e event.Event, sum event.Summary, finals []event.Reply, err error) {
	e = event.New("config", "refresh", nil, event.To(target))
	bus, err := s.openBus(ctx)
	if err != nil {
		return e, sum, nil, err
	}
	members, err := bus.Match(ctx, e)
	var unknown *event.UnknownError
	switch {
	case errors.As(err, &unknown), err == nil && len(members) == 0:
		return e, sum, nil, &codeError{code: exitNoMatch, err: errNobodyRefreshed}
	case err != nil:
		return e, sum, nil, err
	}
	sum, finals, err = a.await(ctx, bus, &acting{wait: wait}, e, func(r event.Reply) { a.printReply(e, r) })
	if ctx.Err() != nil { // which ended says
		err = nil
	}
	return e, sum, finals, err
}

// afterChange refreshes if that is asked for, and prints what has become of a change:
// out as JSON, with the summary as its refresh. It returns the servers' answers.
func (a *app) afterChange(ctx context.Context, s *store, r *refreshFlags, target event.Target, out changeOutput) ([]event.Reply, error) {
	if a.output == "jsonl" || !r.refresh {
		if err := a.printChange(out); err != nil {
			return nil, err
		}
	}
	if !r.refresh {
		return nil, nil
	}
	e, sum, finals, err := a.refreshed(ctx, s, r.wait, target)
	if err == nil {
		call := output.ToCall(e, sum, finals)
		out.refreshed(&call)
	}
	if a.output == "json" {
		err = errors.Join(err, a.printChange(out))
	} else if err == nil {
		err = a.printSummary(e, sum, finals)
	}
	if err != nil {
		return nil, err
	}
	return finals, a.ended(ctx, &acting{}, e, sum)
}

// changeOutput is what a command that changes settings prints in JSON.
type changeOutput interface {
	refreshed(*output.Call)
	typed(word string)
}

func (a *app) printChange(out changeOutput) error {
	switch a.output {
	case "text":
		return nil
	case "jsonl": // whose lines are of several kinds
		out.typed("change")
	}
	return a.printJSON(out)
}
