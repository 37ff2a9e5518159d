package cli

import (
	"context"
	"errors"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) configListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [PREFIX]", Args: atMost(1, "PREFIX"),
		Short: "List the settings in the collection, or what is in force on servers",
		Long: `List the settings in the collection: all, or those at PREFIX and below, of all scopes or
of the one that a flag names. With --effective ask the servers that are meant by
--server or --label, or all: what is in force there, and which layer it comes from;
names and labels may then be patterns such as 'web-*'. Secret values show as ****.`,
		Example: `  fleetcast config list app/smtp
  fleetcast config list --label zone=eu
  fleetcast config list fleetcast --effective --server web-1`,
		ValidArgsFunction: a.completePaths(true),
	}
	scopes := a.addScopeFlags(cmd, "only what is set")
	effective := cmd.Flags().Bool("effective", false, "what is in force on the servers, and where it comes from")
	wait := cmd.Flags().Duration("wait", event.DefaultWait, "with --effective: how long to wait for the answers")
	byHandAlone(cmd, "effective")
	cmd.MarkFlagsMutuallyExclusive("effective", "environment")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		prefix, err := checkPrefix(args)
		scope, errScope := scopes.filter()
		if err := errors.Join(err, errScope, (&refreshFlags{wait: *wait}).check()); err != nil {
			return err
		}
		if *effective {
			return a.listEffective(cmd.Context(), prefix, scopes, *wait)
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			return a.configList(ctx, s, config.Filter{Under: prefix, Scope: scope})
		})
	}
	return cmd
}

func (a *app) configList(ctx context.Context, s *fleetSettings, f config.Filter) error {
	list, err := s.List(ctx, f)
	if err != nil {
		return err
	}
	if a.output != "text" {
		out := make([]output.Setting, 0, len(list))
		for _, one := range list {
			out = append(out, output.ToSetting(one))
		}
		return printAll(a, out)
	}
	if len(list) == 0 {
		a.say("the collection has no such setting; `fleetcast config describe` shows what can be set\n")
		return nil
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "PATH\tSCOPE\tVALUE\tVERSION\tCHANGED\tBY\n")
	for _, one := range list {
		fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", one.Path, one.Scope, output.Cell(one.Value), one.Version,
			one.UpdatedAt.Local().Format(time.DateTime), output.Who(one.UpdatedBy))
	}
	return w.Flush()
}

// under reports whether a path is at a prefix or below it.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (prefix == "" || rest == "" || rest[0] == '/')
}
