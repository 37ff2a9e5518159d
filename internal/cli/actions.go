package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

func (a *app) actionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "actions [SUBSCRIBER [ACTION]]", Args: cobra.MaximumNArgs(2),
		Short: "Show what the servers of the fleet can be asked to do",
		Long: `Show the actions of the living servers, as they have described them when they joined
the registry. With SUBSCRIBER and ACTION it shows the parameters of one.`,
		Example: `  fleetcast actions
  fleetcast actions server stop`,
		ValidArgsFunction: a.completeActions,
	}
	filters := a.addServerFilters(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.actions(cmd.Context(), filters, args) }
	return cmd
}

// actionOutput is an action, and who has it so.
type actionOutput struct {
	event.ActionInfo
	Servers []string `json:"servers"`
}

func (a *app) actions(ctx context.Context, filters *targetFlags, args []string) error {
	target, err := filters.target()
	if err != nil {
		return err
	}
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	entries, err := server.NewRegistry(s.db).ListTables(ctx)
	if err != nil {
		return err
	}
	found := []actionOutput{}
	for _, entry := range entries {
		ok, err := target.Matches(entry.Identity())
		if err != nil {
			return err
		}
		if ok && !entry.Lost() {
			found = merge(found, entry, args)
		}
	}
	slices.SortStableFunc(found, func(x, y actionOutput) int {
		return strings.Compare(x.Subscriber+" "+x.Action, y.Subscriber+" "+y.Action)
	})
	switch {
	case len(found) == 0:
		return &codeError{code: exitNoMatch, err: errors.New("no living server has such an action: `fleetcast actions` lists all that there are")}
	case a.output != "text":
		return printAll(a, found)
	case len(args) == 2:
		for _, action := range found {
			a.printAction(action)
		}
		return nil
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "SUBSCRIBER\tACTION\tPARAMETERS\tSERVERS\tWHAT IT DOES\n")
	for _, action := range found {
		fprintf(w, "%s\t%s\t%s\t%d\t%s\n", action.Subscriber, action.Action, parameterNames(action.ActionInfo), len(action.Servers), action.Doc)
	}
	return w.Flush()
}

// merge adds a server's actions to those that are the same.
func merge(found []actionOutput, entry server.Entry, args []string) []actionOutput {
	for _, info := range entry.Table {
		if len(args) > 0 && info.Subscriber != args[0] || len(args) > 1 && info.Action != args[1] {
			continue
		}
		i := slices.IndexFunc(found, func(o actionOutput) bool { return sameAction(o.ActionInfo, info) })
		if i < 0 {
			i = len(found)
			found = append(found, actionOutput{ActionInfo: info})
		}
		found[i].Servers = append(found[i].Servers, entry.Name)
	}
	return found
}

// sameAction reports whether two servers describe an action in the same way: those
// of different versions may not.
func sameAction(x, y event.ActionInfo) bool {
	return x.Subscriber == y.Subscriber && x.Action == y.Action && x.Doc == y.Doc && x.ExpiresMS == y.ExpiresMS &&
		x.Free == y.Free && slices.Equal(x.Parameters, y.Parameters)
}

func parameterNames(info event.ActionInfo) string {
	var names []string
	for _, p := range info.Parameters {
		name := p.Name
		if !p.Required {
			name = "[" + name + "]"
		}
		names = append(names, name)
	}
	if info.Free {
		names = append(names, "…")
	}
	return strings.Join(names, " ")
}

func (a *app) printAction(action actionOutput) {
	a.printf("%s %s: %s\n", action.Subscriber, action.Action, action.Doc)
	a.printf("  servers: %s\n", strings.Join(action.Servers, ", "))
	if action.ExpiresMS > 0 {
		a.printf("  refused when it comes later than %s\n", output.Short(time.Duration(action.ExpiresMS)*time.Millisecond))
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, p := range action.Parameters {
		fprintf(w, "  --param %s=…\t%s\t%s\n", p.Name, p.Type, parameterNote(p))
	}
	_ = w.Flush()
}

func parameterNote(p event.ParameterInfo) string {
	var parts []string
	if p.Doc != "" {
		parts = append(parts, p.Doc)
	}
	switch {
	case p.Required:
		parts = append(parts, "required")
	case p.Default != "":
		parts = append(parts, "default "+p.Default)
	}
	if rules := strings.TrimPrefix(strings.TrimPrefix(p.Rules, "required"), ","); rules != "" {
		parts = append(parts, rules)
	}
	if p.Secret {
		parts = append(parts, "secret")
	}
	return strings.Join(parts, "; ")
}

// completeParameters completes --param by the parameters of the action.
func (a *app) completeParameters(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) != 2 || strings.Contains(prefix, "=") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, e := range a.registryForCompletion(cmd) {
		for _, info := range e.Table {
			for _, p := range info.Parameters {
				if info.Subscriber == args[0] && info.Action == args[1] && strings.HasPrefix(p.Name, prefix) {
					words = append(words, fmt.Sprintf("%s=\t%s", p.Name, p.Doc))
				}
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
