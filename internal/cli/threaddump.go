package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/subscribers"
)

// dumpFlags are those of thread-dump.
type dumpFlags struct {
	process, raw bool
	diff         time.Duration
}

func (a *app) threadDumpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "thread-dump", Args: noArgs,
		Short: "Print the stacks of workers, or of whole processes, here and in their servers' logs",
		Long: `Print where the goroutines of workers are, or with --process all goroutines of the
servers. Equal stacks are shown once, those first that have waited longest (the
runtime counts whole minutes), busy workers before all others. With --diff two dumps
are taken, and shown is what stands at the same place in both; a worker that has gone
on to other work has moved. The dumps are in the servers' logs, too.

A process stands still while its stacks are taken: some milliseconds for a thousand
goroutines.`,
		Example: `  fleetcast thread-dump --server web-1 --worker-id 7
  fleetcast thread-dump --process --host web1 --diff 5s`,
	}
	act := a.addActingFlags(cmd, event.DefaultWait)
	f := &dumpFlags{}
	cmd.Flags().BoolVar(&f.process, "process", false, "all goroutines of the processes instead of the workers'")
	cmd.Flags().BoolVar(&f.raw, "raw", false, "as the Go runtime prints them, each goroutine by itself")
	cmd.Flags().DurationVar(&f.diff, "diff", 0, "take another dump this much later, and show what has not moved")
	cmd.MarkFlagsMutuallyExclusive("diff", "raw")
	cmd.MarkFlagsMutuallyExclusive("diff", "no-wait")
	cmd.MarkFlagsMutuallyExclusive("diff", "batch")
	cmd.MarkFlagsMutuallyExclusive("process", "worker-id")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.diff < 0 {
			return usageError("--diff %s: a duration such as 5s", f.diff)
		}
		a.rawDumps = f.raw
		subscriber, parameters := "worker", any(nil)
		if f.process {
			subscriber, parameters = "server", subscribers.DumpParameters{Process: true}
		}
		switch {
		case f.diff > 0:
			act.call = func(ctx context.Context, bus *event.Bus, e event.Event) error {
				return a.diff(ctx, bus, act, e, f.diff)
			}
		case act.batch.size == "" && a.output != "jsonl": // those show the answers as they come
			act.call = func(ctx context.Context, bus *event.Bus, e event.Event) error {
				return a.dump(ctx, bus, act, e)
			}
		}
		return a.act(cmd.Context(), act, subscriber, "thread_dump", parameters)
	}
	return cmd
}

// dump takes one dump of each server, and shows them when all are there: those that
// have waited longest come first, whoever's they are.
func (a *app) dump(ctx context.Context, bus *event.Bus, act *acting, e event.Event) error {
	dumps, sum, finals, err := a.takeDumps(ctx, bus, act, e)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if a.output == "json" {
		err = a.printJSON(output.Dump{Call: output.ToCall(e, sum, finals), Dumps: output.ToDumps(dumps, a.rawDumps)})
	} else {
		a.printDumps(dumps)
		err = a.printSummary(e, sum, finals)
	}
	if err != nil {
		return err
	}
	return a.ended(ctx, act, e, sum)
}

func (a *app) takeDumps(ctx context.Context, bus *event.Bus, act *acting, e event.Event) (dumps []output.Dumped, sum event.Summary, finals []event.Reply, err error) {
	sum, finals, err = a.await(ctx, bus, act, e, func(r event.Reply) {
		if a.output == "text" && (r.Kind == event.Failed || r.Kind == event.Refused) {
			a.printAnswer(r)
		}
	})
	for _, r := range finals {
		dumps = append(dumps, output.DumpsOf(e, r)...)
	}
	return dumps, sum, finals, err
}
