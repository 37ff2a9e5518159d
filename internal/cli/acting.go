package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// acting is a command that publishes one event and waits for the answers.
type acting struct {
	*targetFlags
	wait       time.Duration
	noWait     bool
	allServers bool
	minServers int
	batch      batchFlags

	// call, if set, takes the place of app.call.
	call func(context.Context, *event.Bus, event.Event) error
	own  ownWays
}

// ownWays are those of a command that differs from others. Each may be left out.
type ownWays struct {
	before  func(context.Context, *event.Bus, event.Event) error // it publishes
	options []event.CallOption
	show    func(event.Event, event.Reply) // an answer, in place of printReply
	// report prints the summary, in place of printOutcome.
	report func(e event.Event, sum event.Summary, finals []event.Reply, out output.Call) error
	// failures counts the answers that are done, and a failure to this command, for
	// --max-failures.
	failures func(finals []event.Reply) int
	verdict  func(finals []event.Reply) error // on answers that are all in order
	left     string                           // what goes on when the caller leaves
}

// outcome is the exit code that the answers mean.
func (act *acting) outcome(sum event.Summary, finals []event.Reply) error {
	if err := outcome(sum); err != nil || act.own.verdict == nil {
		return err
	}
	return act.own.verdict(finals)
}

func (a *app) addActingFlags(cmd *cobra.Command, wait time.Duration) *acting {
	act := &acting{targetFlags: a.addTargetFlags(cmd)}
	cmd.Flags().DurationVar(&act.wait, "wait", wait, "how long to wait for the answers")
	cmd.Flags().BoolVar(&act.noWait, "no-wait", false, "publish, print the event's id and do not wait")
	cmd.Flags().IntVar(&act.minServers, "min-servers", 0, "want the answers of at least so many servers, those included that were just joining (within 10s)")
	act.batch.add(cmd)
	byHandAlone(cmd, "min-servers")
	cmd.MarkFlagsMutuallyExclusive("wait", "no-wait")
	cmd.MarkFlagsMutuallyExclusive("batch", "no-wait")
	cmd.MarkFlagsMutuallyExclusive("min-servers", "no-wait")
	cmd.MarkFlagsMutuallyExclusive("min-servers", "batch")
	return act
}

// addAllServers adds the flag without which an action on a worker is for the
// worker of one server, or of some.
func (act *acting) addAllServers(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&act.allServers, "all-servers", false, "with --worker-id alone: the worker with that number of every server")
	byHandAlone(cmd, "all-servers")
}

// check refuses what would reach others than was probably meant.
func (act *acting) check(e event.Event) error {
	workers := len(e.Target.WorkerIDs) > 0
	switch {
	case workers && (e.Name == "server" || e.Name == "logger" || e.Name == "config"):
		return usageError("--worker-id is for stop, kill and thread-dump of workers: %s %s is for whole servers", e.Name, e.Action)
	case workers && e.Name == "worker" && e.Action != "thread_dump" && !namesServers(e.Target) && !act.allServers:
		return usageError("--worker-id %s alone means that worker of every server: add --server, --server-id, --host, --pid or --label, "+
			"or --all-servers if you mean it", strings.Join(output.Numbers(e.Target.WorkerIDs), ","))
	case act.minServers < 0:
		return usageError("--min-servers %d: a number of servers", act.minServers)
	case isSticky(e) && act.batch.size != "":
		return usageError("--batch is of no use to a sticky pause, which is for servers that start later, too")
	case isSticky(e) && act.limit != "":
		return usageError("--limit is of no use to a sticky pause, which is for servers that start later, too")
	}
	return nil
}

// act publishes the event to the targets and reports how it went.
func (a *app) act(ctx context.Context, act *acting, subscriber, action string, parameters any) error {
	target, err := act.target()
	if err != nil {
		return err
	}
	if _, err := count("limit", act.limit, 1); err != nil {
		return err
	}
	if err := act.batch.check(); err != nil {
		return err
	}
	if act.wait <= 0 {
		return usageError("--wait %s: a positive duration such as 10s, or --no-wait", act.wait)
	}
	e := event.New(subscriber, action, parameters, event.To(target))
	if err := act.check(e); err != nil {
		return err
	}
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return a.actOn(ctx, s, act, e)
}

func (a *app) actOn(ctx context.Context, s *store, act *acting, e event.Event) error {
	bus, err := s.openBus(ctx)
	if err != nil {
		return err
	}
	members, err := bus.Match(ctx, e)
	if err != nil {
		return err
	}
	if members, err = act.narrow(&e, members); err != nil {
		return err
	}
	e.Learn(members)
	if act.dryRun {
		return a.printMatch(e, members)
	}
	held, err := a.holdsChanged(ctx, s, e)
	if err == nil && act.own.before != nil && len(members) > 0 {
		err = act.own.before(ctx, bus, e)
	}
	switch {
	case err != nil:
		return err
	case len(members) == 0 && held != "":
		return a.actOnHolds(ctx, bus, e, held)
	case len(members) == 0:
		return a.nothingMatched(ctx, s, e)
	case act.noWait:
		err = a.publish(ctx, bus, e, len(members))
	case act.call != nil:
		err = act.call(ctx, bus, e)
	case act.batch.size != "":
		err = a.rollOut(ctx, bus, act, e, members)
	default:
		err = a.call(ctx, bus, act, e)
	}
	if held != "" && ctx.Err() == nil {
		a.say("%s\n", held)
	}
	return err
}
