package cli

import (
	"context"
	"errors"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) configHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history [PATH]", Args: atMost(1, "PATH"),
		Short: "Show who has changed which setting, when, from what to what",
		Long: `Show the changes to the settings at PATH and below, or to all, the newest last. Secret
values show as ****. Of each setting the last 100 changes are kept for each scope.`,
		ValidArgsFunction: a.completePaths(true),
	}
	scopes := a.addScopeFlags(cmd, "only what was set")
	limit := cmd.Flags().Int("limit", 100, "at most so many, the newest, 0 = all")
	byHandAlone(cmd, "limit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		prefix, err := checkPrefix(args)
		scope, errScope := scopes.filter()
		if err := errors.Join(err, errScope); err != nil {
			return err
		}
		if *limit < 0 {
			return usageError("--limit %d: a number of changes, or 0 for all", *limit)
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			return a.configHistory(ctx, s, config.Filter{Under: prefix, Scope: scope}, *limit)
		})
	}
	return cmd
}

func (a *app) configHistory(ctx context.Context, s *fleetSettings, f config.Filter, limit int) error {
	wanted := limit
	if wanted > 0 {
		wanted++ // to know whether there is more
	}
	records, err := s.History(ctx, f, wanted)
	if err != nil {
		return err
	}
	more := limit > 0 && len(records) > limit
	if more {
		records = records[:limit]
	}
	slices.Reverse(records)
	if err := a.printHistory(records); err != nil {
		return err
	}
	switch {
	case more:
		a.say("there is more: these are the newest %d; --limit 0 shows all\n", len(records))
	case len(records) == 0:
		a.say("no change to such a setting is on record\n")
	}
	return nil
}

func (a *app) printHistory(records []config.Record) error {
	if a.output != "text" {
		out := make([]output.Record, 0, len(records))
		for _, r := range records {
			out = append(out, output.ToRecord(r))
		}
		return printAll(a, out)
	}
	if len(records) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "TIME\tPATH\tSCOPE\tVERSION\tCHANGE\tBY\n")
	for _, r := range records {
		fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", r.At.Local().Format(time.DateTime), r.Path, r.Scope, r.Version,
			output.RecordWords(r), output.Who(r.By))
	}
	return w.Flush()
}
