package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) configDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff FILE | diff SCOPE SCOPE", Args: diffArgs,
		Short: "Show where an export and the collection, or two scopes, differ",
		Long: `Show where the collection differs from a FILE of "config export" (- is standard input):
with -, what the collection has, with +, what the file has. Or show where two scopes
differ that are written as in "config list": global, environment:NAME, label:KEY=VALUE,
server:NAME. Secret values show as ****.`,
		Example: `  fleetcast config diff settings.yaml --exit-code
  fleetcast config diff environment:staging environment:production --under app`,
	}
	prefix := cmd.Flags().String("under", "", "only settings at this path and below")
	code := cmd.Flags().Bool("exit-code", false, "exit with 1 if there are differences")
	byHandAlone(cmd, "under", "exit-code")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *prefix != "" {
			if err := checkPath(*prefix); err != nil {
				return err
			}
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			d, err := a.configDiff(ctx, s, args, *prefix)
			if err != nil {
				return err
			}
			if err := a.printSettingsDiff(d); err != nil {
				return err
			}
			if *code && len(d.Differences) > 0 {
				return &codeError{code: exitFailure}
			}
			return nil
		})
	}
	return cmd
}

func diffArgs(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 1:
		if isScope(args[0]) {
			return usageError("%s wants another SCOPE to compare %s with", cmd.CommandPath(), args[0])
		}
		return nil
	case 2:
		for _, arg := range args {
			if !isScope(arg) {
				return usageError("%q is no scope: write global, environment:NAME, label:KEY=VALUE or server:NAME; of files, diff takes one", arg)
			}
		}
		return nil
	}
	return usageError("%s takes a FILE, or two SCOPEs", cmd.CommandPath())
}

func isScope(text string) bool {
	_, err := config.ParseScope(text)
	return err == nil && text != ""
}

// settingsDiff is what diff prints in JSON.
type settingsDiff struct {
	A           string              `json:"a"` // a scope, or "collection"
	B           string              `json:"b"` // a scope, or the file
	Differences []settingDifference `json:"differences"`
}

type settingDifference struct {
	Path  string       `json:"path"`
	Scope config.Scope `json:"scope,omitempty"` // unless two scopes are compared
	A     any          `json:"a"`               // null: it is not set there
	B     any          `json:"b"`
	// Unknown says that both are encrypted, and that the keys here do not tell whether
	// they are the same.
	Unknown bool `json:"unknown,omitempty"`
}

func (a *app) configDiff(ctx context.Context, s *fleetSettings, args []string, prefix string) (settingsDiff, error) {
	if len(args) == 2 {
		return s.diffScopes(ctx, config.Scope(args[0]), config.Scope(args[1]), prefix)
	}
	file, err := a.readExport(args[0])
	if err != nil {
		return settingsDiff{}, err
	}
	has, err := s.Export(ctx, config.Filter{Under: prefix})
	if err != nil {
		return settingsDiff{}, err
	}
	file = slices.DeleteFunc(file, func(e config.Exported) bool { return !under(e.Path, prefix) })
	d := s.compare(has, file, func(e config.Exported) string { return e.Path + " " + string(e.Scope) })
	d.A, d.B = "collection", args[0]
	return d, nil
}

func (s *fleetSettings) diffScopes(ctx context.Context, first, second config.Scope, prefix string) (settingsDiff, error) {
	var lists [2][]config.Exported
	for i, scope := range []config.Scope{first, second} {
		var err error
		if lists[i], err = s.Export(ctx, config.Filter{Under: prefix, Scope: scope}); err != nil {
			return settingsDiff{}, err
		}
	}
	d := s.compare(lists[0], lists[1], func(e config.Exported) string { return e.Path })
	d.A, d.B = string(first), string(second)
	for i := range d.Differences {
		d.Differences[i].Scope = ""
	}
	return d, nil
}

// compare finds what differs of those with the same key.
func (s *fleetSettings) compare(a, b []config.Exported, key func(config.Exported) string) settingsDiff {
	pairs := map[string]*[2]*config.Exported{}
	for side, list := range [][]config.Exported{a, b} {
		for i := range list {
			k := key(list[i])
			if pairs[k] == nil {
				pairs[k] = &[2]*config.Exported{}
			}
			pairs[k][side] = &list[i]
		}
	}
	d := settingsDiff{Differences: []settingDifference{}}
	for _, pair := range pairs {
		if one, differs := s.difference(pair[0], pair[1]); differs {
			d.Differences = append(d.Differences, one)
		}
	}
	slices.SortFunc(d.Differences, func(x, y settingDifference) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(string(x.Scope), string(y.Scope)))
	})
	return d
}

func (s *fleetSettings) difference(a, b *config.Exported) (d settingDifference, differs bool) {
	one := cmp.Or(a, b)
	d = settingDifference{Path: one.Path, Scope: one.Scope, A: exportedValue(a), B: exportedValue(b)}
	if a == nil || b == nil {
		return d, true
	}
	if a.Sealed == nil && b.Sealed == nil {
		return d, !reflect.DeepEqual(normal(a.Value), normal(b.Value))
	}
	if a.Sealed != nil && b.Sealed != nil && bytes.Equal(a.Sealed.Data, b.Sealed.Data) {
		return d, false
	}
	d.Unknown = true
	return d, true
}

// exportedValue is the value for people; nil when it is not set.
func exportedValue(e *config.Exported) any {
	switch {
	case e == nil:
		return nil
	case e.Sealed != nil || config.SecretPath(e.Path):
		return event.Hidden
	}
	return e.Value
}

// normal makes values of files and of the collection comparable: a file has an int
// where the collection has an int64, and a tree where that has its JSON.
func normal(v any) string { return output.ValueText(v) }

func (a *app) printSettingsDiff(d settingsDiff) error {
	if a.output != "text" {
		return a.printJSON(d)
	}
	if len(d.Differences) == 0 {
		a.say("no differences\n")
		return nil
	}
	a.printf("--- %s\n+++ %s\n", d.A, d.B)
	for _, one := range d.Differences {
		name := one.Path
		if one.Scope != "" && one.Scope != config.Global {
			name += " (" + string(one.Scope) + ")"
		}
		if one.Unknown {
			a.printf("?%s: secret in both; the keys here do not tell whether they differ\n", name)
			continue
		}
		if one.A != nil {
			a.printf("-%s: %s\n", name, diffCell(one.A))
		}
		if one.B != nil {
			a.printf("+%s: %s\n", name, diffCell(one.B))
		}
	}
	return nil
}

// diffCell is a value in one line, whole.
func diffCell(v any) string {
	if text, ok := v.(string); ok && (text == "" || !output.Printable(text)) {
		return fmt.Sprintf("%q", text)
	}
	return output.ValueText(v)
}
