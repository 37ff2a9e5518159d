package cli

import (
	"context"
	"errors"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
)

// declarationOutput is a declared setting in JSON; the rules of output.go hold.
type declarationOutput struct {
	Path    string   `json:"path"`
	Type    string   `json:"type"` // text, integer, number, boolean, duration, regexp, json, or list of one of them
	Default string   `json:"default"`
	Unit    string   `json:"unit"`
	Doc     string   `json:"doc"`
	Rules   string   `json:"rules"` // as min=1,max=9
	Secret  bool     `json:"secret"`
	Env     string   `json:"env"`     // the environment variable that wins over the collection
	Servers []string `json:"servers"` // that have declared it so
}

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
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *settings) error {
			return a.configDescribe(ctx, s, prefix)
		})
	}
	return cmd
}

func (a *app) configDescribe(ctx context.Context, s *settings, prefix string) error {
	known, err := s.declarations(ctx)
	if err != nil {
		return err
	}
	out := []declarationOutput{}
	for _, d := range known {
		if under(d.Path, prefix) {
			out = append(out, declarationOutput{d.Path, d.Type, d.Default, d.Unit, d.Doc, d.Rules, d.Secret, d.Env, d.servers})
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

func (a *app) tabulateDeclarations(out []declarationOutput) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "PATH\tTYPE\tDEFAULT\tSERVERS\tWHAT IT IS\n")
	for _, d := range out {
		fprintf(w, "%s\t%s\t%s\t%d\t%s\n", d.Path, d.typeWords(), clip(d.Default, longestValue/2), len(d.Servers), d.Doc)
	}
	return w.Flush()
}

// typeWords say what its values are.
func (d declarationOutput) typeWords() string {
	text := d.Type
	if d.Unit != "" && d.Type != config.Duration {
		text += " of " + d.Unit
	}
	if d.Secret {
		text += ", secret"
	}
	return text
}

func (a *app) printDeclarations(list []declarationOutput) {
	for i, d := range list {
		if i > 0 {
			a.printf("\n")
		}
		for _, line := range [][2]string{
			{"path", d.Path}, {"type", d.typeWords()}, {"default", d.Default}, {"rules", d.Rules}, {"env", d.Env}, {"what", d.Doc},
			{"servers", clip(strings.Join(d.Servers, ", "), 200)},
		} {
			if line[1] != "" {
				a.printf("%-8s %s\n", line[0], line[1])
			}
		}
	}
}
