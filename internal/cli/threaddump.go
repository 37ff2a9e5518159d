package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/stacks"
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
runtime counts whole minutes). With --diff two dumps are taken, and shown is what
stands at the same place in both. The dumps are in the servers' logs, too.

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
		if f.diff > 0 {
			act.call = func(ctx context.Context, bus *event.Bus, e event.Event) error {
				return a.diff(ctx, bus, act, e, f.diff)
			}
		}
		return a.act(cmd.Context(), act, subscriber, "thread_dump", parameters)
	}
	return cmd
}

// dumped is the dump of one worker, or of one process.
type dumped struct {
	server string
	worker subscribers.WorkerStack // its ID is 0 for a process
	places string                  // see subscribers.ProcessStacks
}

func (d dumped) title() string {
	if d.worker.ID == 0 {
		return d.server
	}
	return strings.TrimRight(fmt.Sprintf("%s worker %d: %s %s %s", d.server, d.worker.ID, d.worker.State, d.worker.Kind, d.worker.WorkID), " ")
}

// dumpsOf returns the dumps in an answer, which may be none.
func dumpsOf(e event.Event, r event.Reply) (dumps []dumped) {
	var dump struct {
		subscribers.Dump          `bson:",inline"`
		subscribers.ProcessStacks `bson:",inline"` // of a logger
	}
	if e.Action != "thread_dump" || r.Kind != event.Done || r.Result(&dump) != nil {
		return nil
	}
	for _, w := range dump.Workers {
		dumps = append(dumps, dumped{r.Server, w, ""})
	}
	process := dump.Process
	if process == nil && dump.Stacks != "" {
		process = &dump.ProcessStacks
	}
	if process != nil {
		dumps = append(dumps, dumped{r.Server, subscribers.WorkerStack{Stack: process.Stacks, Cut: process.Cut}, process.Places})
	}
	return dumps
}

func (a *app) printDump(d dumped) {
	a.printf("=== %s\n", d.title())
	a.printStack(d.worker.Stack)
	a.printf("%s\n", cutNote(d.worker.Cut))
	if d.places != "" {
		a.printf("Where all goroutines of %s are:\n\n%s\n", d.server, d.places)
	}
}

// printStack groups what is Go's, and leaves all else as it is.
func (a *app) printStack(text string) {
	goroutines, rest := stacks.Parse(text)
	if a.rawDumps || len(goroutines) == 0 {
		a.printf("%s\n", strings.TrimRight(text, "\n"))
		return
	}
	if strings.TrimSpace(rest) != "" {
		a.printf("%s\n\n", strings.TrimRight(rest, "\n"))
	}
	_ = stacks.Write(a.Stdout, stacks.Grouped(goroutines))
}

func cutNote(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("… and %s more: the dump was too large\n", plural(n, "goroutine"))
}

// diffOutput is what has not moved between two dumps.
type diffOutput struct {
	EventIDs []string           `json:"event_ids"` // of both dumps
	Servers  []serverDiffOutput `json:"servers"`
}

type serverDiffOutput struct {
	Server   string            `json:"server"`
	WorkerID int               `json:"worker_id,omitempty"` // absent for a whole process
	Kind     string            `json:"kind,omitempty"`
	WorkID   string            `json:"work_id,omitempty"`
	Still    []goroutineOutput `json:"still"`
	Moved    int               `json:"moved"`
	Ended    int               `json:"ended"`
	Started  int               `json:"started"`

	dumped dumped
	groups []stacks.Group
	found  bool // goroutines that can be compared
}

type goroutineOutput struct {
	ID     int               `json:"id"`
	State  string            `json:"state"`
	WaitMS int64             `json:"wait_ms"` // in whole minutes
	Labels map[string]string `json:"labels,omitempty"`
	Stack  string            `json:"stack"`
}

// diff takes two dumps of the same servers and shows what they have in common.
func (a *app) diff(ctx context.Context, bus *event.Bus, act *acting, e event.Event, apart time.Duration) error {
	first, sum, err := a.takeDumps(ctx, bus, act, e)
	if err != nil {
		return err
	}
	a.say("%d of %d servers have answered; the second dump comes in %s\n", sum.Done, sum.Matched, apart)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(apart):
	}
	again := event.New(e.Name, e.Action, e.Parameters, event.To(e.Target))
	second, sum, err := a.takeDumps(ctx, bus, act, again)
	if err != nil {
		return err
	}
	out := diffOutput{EventIDs: []string{e.ID.Hex(), again.ID.Hex()}, Servers: []serverDiffOutput{}}
	for _, d := range second {
		for _, before := range first {
			if before.server == d.server && before.worker.ID == d.worker.ID {
				out.Servers = append(out.Servers, compare(before, d))
			}
		}
	}
	if err := a.printDiff(out, apart); err != nil {
		return err
	}
	if a.output == "text" {
		a.say("%s\n", summaryLine(again, sum))
	}
	return outcome(sum)
}

func (a *app) takeDumps(ctx context.Context, bus *event.Bus, act *acting, e event.Event) (dumps []dumped, sum event.Summary, err error) {
	sum, finals, err := a.await(ctx, bus, act, e, func(r event.Reply) {
		if a.output == "text" && (r.Kind == event.Failed || r.Kind == event.Refused) {
			a.printReply(e, r)
		}
	})
	for _, r := range finals {
		dumps = append(dumps, dumpsOf(e, r)...)
	}
	return dumps, sum, err
}

func compare(before, after dumped) serverDiffOutput {
	first, _ := stacks.Parse(before.worker.Stack)
	second, _ := stacks.Parse(after.worker.Stack)
	d := stacks.Diff(first, second)
	out := serverDiffOutput{
		Server: after.server, WorkerID: after.worker.ID, Kind: after.worker.Kind, WorkID: after.worker.WorkID,
		Moved: d.Moved, Ended: d.Ended, Started: d.Started, Still: []goroutineOutput{},
		dumped: after, groups: stacks.Grouped(d.Still), found: len(second) > 0,
	}
	for _, g := range d.Still {
		out.Still = append(out.Still, goroutineOutput{ID: g.ID, State: g.State, WaitMS: g.Wait.Milliseconds(), Labels: g.Labels, Stack: g.Raw})
	}
	return out
}

func (a *app) printDiff(out diffOutput, apart time.Duration) error {
	if a.output != "text" {
		return a.printJSON(out)
	}
	for _, s := range out.Servers {
		a.printf("=== %s\n", s.dumped.title())
		if !s.found {
			a.printf("no goroutines that can be told apart: it is another program, or its tracebacks show no labels (GODEBUG=tracebacklabels=1)\n\n")
			continue
		}
		a.printf("%s at the same place after %s, %d moved, %d ended, %d new\n\n", plural(len(s.Still), "goroutine"), apart, s.Moved, s.Ended, s.Started)
		_ = stacks.Write(a.Stdout, s.groups)
		a.printf("\n")
	}
	return nil
}
