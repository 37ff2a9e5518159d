package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/subscribers"
)

var levelWords = []string{"trace", "debug", "info", "warn", "error", "disabled", logging.Default}

func (a *app) logLevelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "log-level LEVEL | --list", Args: cobra.ArbitraryArgs,
		Short: "Set the log level of running servers, or of one of their components",
		Long: `Set the log level of running servers: of all they log, or of one component, for good
or for a while. With LEVEL default a component follows the level of all again, and
that of all is again as it was at the start. --list shows the components and their
levels. Servers that do not have the component are left as they are, which is in order
unless it is so for all (exit code 3).`,
		Example: `  fleetcast log-level debug --component event --host web1 --for 10m
  fleetcast log-level default --component event
  fleetcast log-level --list`,
		ValidArgsFunction: cobra.FixedCompletions(levelWords, cobra.ShellCompDirectiveNoFileComp),
	}
	act := a.addActingFlags(cmd, event.DefaultWait)
	p := subscribers.LevelParameters{}
	list := cmd.Flags().Bool("list", false, "show the components and their levels")
	passing := cmd.Flags().Duration("for", 0, "go back after this time to what was set for good last (default: for good)")
	cmd.Flags().StringVar(&p.Component, "component", "", "only this component (default: all that have no level of their own)")
	byHandAlone(cmd, "list", "for", "component")
	completeWords(cmd, "component", "event", "server", "worker") // those of every server; programs have more
	for _, flag := range []string{"for", "component", "batch", "no-wait"} {
		cmd.MarkFlagsMutuallyExclusive("list", flag)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *list {
			return a.listLevels(cmd, act, args)
		}
		if len(args) != 1 {
			return usageError("log-level takes 1 argument, LEVEL, or --list")
		}
		if err := logging.Check(args[0]); err != nil {
			return usageError("%w", err)
		}
		if *passing < 0 || *passing > 0 && strings.EqualFold(args[0], logging.Default) {
			return usageError("--for %s: a positive duration such as 10m, and not with %s", *passing, logging.Default)
		}
		p.Level, p.For = args[0], subscribers.Duration(*passing)
		act.own.verdict = a.judgeLevels
		return a.act(cmd.Context(), act, "logger", "set", p)
	}
	return cmd
}

func (a *app) listLevels(cmd *cobra.Command, act *acting, args []string) error {
	if err := noArgs(cmd, args); err != nil {
		return err
	}
	if a.output == "text" {
		act.call = func(ctx context.Context, bus *event.Bus, e event.Event) error {
			return a.tabulateLevels(ctx, bus, act, e)
		}
	}
	return a.act(cmd.Context(), act, "logger", "list", nil)
}

// tabulateLevels prints a row for each component of each server.
func (a *app) tabulateLevels(ctx context.Context, bus *event.Bus, act *acting, e event.Event) error {
	sum, finals, err := a.await(ctx, bus, act, e, func(event.Reply) {})
	if err != nil && ctx.Err() == nil {
		return err
	}
	slices.SortFunc(finals, func(x, y event.Reply) int { return strings.Compare(x.Server, y.Server) })
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "SERVER\tCOMPONENT\tLEVEL\tOWN\tGOES BACK IN\n")
	for _, r := range finals {
		var list subscribers.LevelList
		if r.Kind != event.Done || r.Result(&list) != nil {
			fprintf(w, "%s\t%s: %s\n", r.Server, r.Kind, r.Error)
			continue
		}
		for _, c := range list.Components {
			fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Server, output.ComponentWord(c.Component), c.Level, c.Own, leftWord(c.LeftMS))
		}
	}
	_ = w.Flush()
	if err := a.printSummaryOnly(e, sum); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

func leftWord(ms int64) string {
	if ms == 0 {
		return ""
	}
	return output.Short(time.Duration(ms) * time.Millisecond)
}

// printSummaryOnly prints who is missing, and the line, after a table.
func (a *app) printSummaryOnly(e event.Event, sum event.Summary) error {
	if err := a.printSummary(e, sum, nil); err != nil {
		return err
	}
	return outcome(sum)
}

// judgeLevels says which servers do not have the component, and complains if none has
// it.
func (a *app) judgeLevels(finals []event.Reply) error {
	var change subscribers.LevelChange
	var without, known []string
	for _, r := range finals {
		var c subscribers.LevelChange
		if r.Result(&c) == nil && c.Absent {
			change, without, known = c, append(without, r.Server), append(known, c.Components...)
		}
	}
	slices.Sort(known)
	switch {
	case len(without) == 0:
		return nil
	case len(without) == len(finals):
		return &codeError{code: exitNoMatch, err: fmt.Errorf("no server that is meant has the component %q; there are %s",
			change.Component, cmp.Or(strings.Join(slices.Compact(known), ", "), "none"))}
	}
	a.say("%s without the component %s, left alone: %s\n", output.Plural(len(without), "server"), change.Component, strings.Join(without, ", "))
	return nil
}
