package cli

import (
	"context"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

const completionTimeout = 2 * time.Second

func (a *app) serversCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "servers", Args: noArgs,
		Short: "Show the registry: state, workers, heartbeat and lag of each server",
	}
	watch := cmd.Flags().BoolP("watch", "w", false, "show it anew until interrupted")
	interval := cmd.Flags().Duration("interval", time.Second, "time between two views with --watch")
	stuckAfter := cmd.Flags().Duration("stuck-after", 10*time.Minute, "a worker busy for longer shows as stuck, 0 = never")
	showWorkers := cmd.Flags().Bool("show-workers", false, "list each server's workers below it")
	filters := a.addServerFilters(cmd)
	states := cmd.Flags().StringSlice("state", nil, "only servers in this state: "+strings.Join(output.States, ", ")+" (repeatable)")
	byHandAlone(cmd, "state")
	completeWords(cmd, "state", output.States...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *interval <= 0 {
			return usageError("--interval %s: a positive duration such as 1s", *interval)
		}
		view := &serversView{app: a, stuckAfter: *stuckAfter, workers: *showWorkers, states: *states}
		if err := view.filter(filters); err != nil {
			return err
		}
		ctx := cmd.Context()
		s, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer s.close()
		view.registry = server.NewRegistry(s.db)
		if !*watch {
			return view.show(ctx)
		}
		return view.watch(ctx, *interval)
	}
	cmd.AddCommand(a.purgeCommand())
	return cmd
}

func (a *app) purgeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "purge", Args: noArgs, Short: "Remove lost servers from the registry",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			purged, err := server.NewRegistry(s.db).Purge(cmd.Context())
			if err != nil {
				return err
			}
			if a.output != "text" {
				return printAll(a, output.ToServers(purged, 0))
			}
			for _, e := range purged {
				a.printf("%s  %s  last heard of %s ago\n", e.Name, e.ID.Hex(), output.Short(e.Age))
			}
			a.say("%s purged\n", output.Plural(len(purged), "lost server"))
			return nil
		},
	}
}

type serversView struct {
	app        *app
	registry   *server.Registry
	stuckAfter time.Duration
	workers    bool
	target     event.Target // which servers, and
	states     []string     // in which states; empty for all
}

// filter takes and checks the filters.
func (v *serversView) filter(flags *targetFlags) (err error) {
	for _, state := range v.states {
		if !slices.Contains(output.States, state) {
			return usageError("--state %q: choose from %s", state, strings.Join(output.States, ", "))
		}
	}
	v.target, err = flags.target()
	return err
}

// watch shows the registry until ctx ends, through failures of the database.
func (v *serversView) watch(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if v.app.output == "text" && isTerminal(v.app.Stdout) {
			v.app.printf("\x1b[H\x1b[2J")
		}
		if err := v.show(ctx); err != nil && ctx.Err() == nil {
			v.app.say("%s: %v\n", time.Now().Format(time.TimeOnly), err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (v *serversView) show(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, v.app.timeout)
	defer cancel()
	entries, err := v.registry.List(ctx)
	if err != nil {
		return err
	}
	chosen, err := v.choose(entries)
	if err != nil {
		return err
	}
	out := output.ToServers(chosen, v.stuckAfter)
	if v.app.output != "text" {
		return printAll(v.app, out)
	}
	holds, err := v.registry.Holds(ctx)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		v.app.say("the registry is empty: no server has joined this database\n")
	} else if err := v.table(v.app.Stdout, out); err != nil {
		return err
	}
	printHolds(v.app.Stdout, holds)
	return nil
}

// choose applies the filters.
func (v *serversView) choose(entries []server.Entry) ([]server.Entry, error) {
	var chosen []server.Entry
	for _, e := range entries {
		id := event.Identity{ServerID: e.ID, Name: e.Name, Host: e.Host, PID: e.PID, Labels: e.Labels}
		meant, err := v.target.Matches(&id)
		if err != nil {
			return nil, err
		}
		if meant && (len(v.states) == 0 || slices.Contains(v.states, e.State())) {
			chosen = append(chosen, e)
		}
	}
	return chosen, nil
}

func (v *serversView) table(w io.Writer, servers []output.Server) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fprintf(tab, "NAME\tID\tSTATE\tBUSY\tBEAT\tLAG\tGAPS\tVERSION\tLABELS\n")
	for _, s := range servers {
		fprintf(tab, "%s\t%s\t%s\t%s\t%s ago\t%s\t%d\t%s\t%s\n", s.Name, s.ID, output.StateOf(s), output.BusyOf(s),
			output.Short(output.Milliseconds(s.Heartbeat.AgeMS)), output.Short(output.Milliseconds(s.Heartbeat.LagMS)),
			s.Heartbeat.Gaps, s.Version, strings.Join(output.LabelList(s.Labels), " "))
		if !v.workers {
			continue
		}
		for _, w := range s.Workers {
			fprintf(tab, "  worker %d\t\t%s\t\t%s\t\t\t\t\n", w.ID, w.State, output.WorkOf(s, w))
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, s := range servers {
		if s.Deaf && s.Heartbeat.LastError != "" {
			fprintf(w, "DEAF  %s: %s\n", s.Name, s.Heartbeat.LastError)
		}
	}
	fprintf(w, "%s\n", output.Totals(servers))
	return nil
}
