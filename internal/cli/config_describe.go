package cli

import (
	"context"
	"errors"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) configDescribeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe [PREFIX]", Args: atMost(1, "PREFIX"),
		Short: "Show what can be set: the settings that the servers have declared",
		Long: `Show the settings that the living servers have declared, all or those at PREFIX and
below: what type they have, their defaults, and what they do. With the path of one it
shows all that is known of it.`,
		Example: `  fleetcast config describe
  fleetcast config describe fleetcast/max_workers`,
		ValidArgsFunction: a.completePaths(true),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		prefix, err := checkPrefix(args)
		if err != nil {
			return err
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			return a.configDescribe(ctx, s, prefix)
		})
	}
	return cmd
}

func (a *app) configDescribe(ctx context.Context, s *fleetSettings, prefix string) error {
	known, err := s.Declarations(ctx)
	if err != nil {
		return err
	}
	out := []output.Declaration{}
	for _, d := range known {
		if under(d.Path, prefix) {
			out = append(out, output.ToDeclaration(d.Declaration, d.Servers))
		}
	}
	switch {
	case a.output != "text":
		return printAll(a, out)
	case len(known) == 0:
		return &codeError{code: exitNoMatch, err: errors.New("no server is there that has declared settings")}
	case len(out) == 0:
		return &codeError{code: exitNoMatch, err: errors.New("no server has declared such a setting: `fleetcast config describe` lists all that there are")}
	case out[0].Path == prefix:
		a.printDeclarations(out)
		return nil
	}
	return a.tabulateDeclarations(out)
}

func (a *app) tabulateDeclarations(out []output.Declaration) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "PATH\tTYPE\tDEFAULT\tSERVERS\tWHAT IT IS\n")
	for _, d := range out {
		fprintf(w, "%s\t%s\t%s\t%d\t%s\n", d.Path, d.TypeWords(), output.Clip(d.Default, output.LongestValue/2), len(d.Servers), d.Doc)
	}
	return w.Flush()
}

func (a *app) printDeclarations(list []output.Declaration) {
	for i, d := range list {
		if i > 0 {
			a.printf("\n")
		}
		for _, line := range [][2]string{
			{"path", d.Path}, {"type", d.TypeWords()}, {"default", d.Default}, {"rules", d.Rules}, {"env", d.Env}, {"what", d.Doc},
			{"servers", output.Clip(strings.Join(d.Servers, ", "), 200)},
		} {
			if line[1] != "" {
				a.printf("%-8s %s\n", line[0], line[1])
			}
		}
	}
}
