package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.yaml.in/yaml/v3"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
)

func (a *app) configExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [PREFIX]", Args: atMost(1, "PREFIX"),
		Short: "Print the settings in the collection as YAML, for import, diff and safe keeping",
		Long: `Print the settings in the collection as YAML, or with -o json as JSON: all, or those at
PREFIX and below, of all scopes or of the one that a flag names. Secret values are in it
as they are kept, encrypted; who imports them needs the same key.`,
		Example:           `  fleetcast config export app > settings.yaml`,
		ValidArgsFunction: a.completePaths(true),
	}
	scopes := a.addScopeFlags(cmd, "only what is set")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		prefix, err := checkPrefix(args)
		scope, errScope := scopes.filter()
		if err := errors.Join(err, errScope); err != nil {
			return err
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			list, err := s.Export(ctx, config.Filter{Under: prefix, Scope: scope})
			if err != nil {
				return err
			}
			return a.printExport(list)
		})
	}
	return cmd
}

func (a *app) printExport(list []config.Exported) error {
	if a.output != "text" {
		return printAll(a, list)
	}
	e := yaml.NewEncoder(a.Stdout)
	e.SetIndent(2)
	return errors.Join(e.Encode(list), e.Close())
}

func (a *app) configImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Args: exactArgs("FILE"),
		Short: "Set what an export has, all checked before anything is written",
		Long: `Set what a file has that "config export" has printed, in YAML or JSON, or that was
written by hand: a list of settings, each with path, scope (default global) and value.
FILE - is standard input. All is checked before anything is written. What is so already,
and what is not in the file, is left alone; --dry-run shows what would change.`,
		Example: `  fleetcast config import settings.yaml --dry-run
  fleetcast config import settings.yaml --refresh`,
	}
	how, refresh := config.Import{}, addRefreshFlags(cmd)
	cmd.Flags().BoolVar(&how.DryRun, "dry-run", false, "show what would change and change nothing")
	cmd.Flags().BoolVar(&how.Undeclared, "undeclared", false, "set also what no server has declared")
	byHandAlone(cmd, "undeclared")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "refresh")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := refresh.check(); err != nil {
			return err
		}
		list, err := a.readExport(args[0])
		if err != nil {
			return err
		}
		return a.withSettings(cmd.Context(), func(_ context.Context, s *fleetSettings) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout+time.Duration(len(list))*importPatience)
			defer cancel()
			out, err := s.importAll(ctx, list, how, args[0])
			if err != nil {
				a.sayImported(out)
				return err
			}
			return a.concludeImport(cmd.Context(), s.store, refresh, out)
		})
	}
	return cmd
}

// importPatience is how much longer an import may take for each setting.
const importPatience = 100 * time.Millisecond

func (a *app) readExport(name string) ([]config.Exported, error) {
	text, err := a.readInput(name)
	if err != nil {
		return nil, err
	}
	list, err := config.ParseExport(text)
	if err != nil {
		return nil, usageError("%s: %w", name, err)
	}
	for i := range list { // a file may leave it out
		if list[i].Scope, err = config.ParseScope(string(list[i].Scope)); err != nil {
			return nil, usageError("%s: %s: %w", name, list[i].Path, err)
		}
	}
	return list, nil
}

// importAll checks the list and then, on record, sets what is not so already.
func (s *fleetSettings) importAll(ctx context.Context, list []config.Exported, how config.Import, file string) (*importOutput, error) {
	known, err := s.Rules(ctx)
	if err != nil {
		return nil, err
	}
	how.Declarations = known.Declarations
	how.Undeclared = how.Undeclared || known.Unchecked
	dry := how
	dry.DryRun = true
	plan, err := s.Import(ctx, list, dry)
	if err != nil {
		return nil, err
	}
	out := &importOutput{DryRun: how.DryRun}
	out.take(plan)
	if how.DryRun || len(out.Settings) == 0 {
		return out, nil
	}
	err = s.Perform(ctx, "import", "", bson.D{{Key: "file", Value: file}, {Key: "settings", Value: recorded(out.Settings)}}, func(ctx context.Context) error {
		done, err := s.Import(ctx, list, how)
		out.take(done)
		return err
	})
	return out, err
}

// maxRecorded bounds how many settings of an import are in the audit.
const maxRecorded = 200

func recorded(list []importedOutput) bson.A {
	doc := bson.A{}
	for i, one := range list {
		if i == maxRecorded {
			return append(doc, fmt.Sprintf("and %d more", len(list)-i))
		}
		doc = append(doc, bson.D{{Key: "path", Value: one.Path}, {Key: "scope", Value: string(one.Scope)}, {Key: "value", Value: settings.OnRecord(one.New)}})
	}
	return doc
}

// importOutput is what import prints in JSON.
type importOutput struct {
	Type      string           `json:"type,omitempty"` // "change", of -o jsonl
	DryRun    bool             `json:"dry_run"`
	Settings  []importedOutput `json:"settings"`          // that were changed, or would be
	Unchanged int              `json:"unchanged"`         // that are so already
	Refresh   *output.Call     `json:"refresh,omitempty"` // with --refresh
}

type importedOutput struct {
	Path  string       `json:"path"`
	Scope config.Scope `json:"scope"`
	Old   any          `json:"old"` // null: it was not set
	New   any          `json:"new"`
}

func (i *importOutput) refreshed(call *output.Call) { i.Refresh = call }
func (i *importOutput) typed(word string)           { i.Type = word }

func (i *importOutput) take(list []config.Imported) {
	i.Settings, i.Unchanged = []importedOutput{}, 0
	for _, one := range list {
		if one.Changed {
			i.Settings = append(i.Settings, importedOutput{one.Path, one.Scope, one.Old, one.New})
		} else {
			i.Unchanged++
		}
	}
}

// target are those whom the import is for: of one scope, or everybody.
func (i *importOutput) target() event.Target {
	scope := config.Global
	for n, one := range i.Settings {
		if n > 0 && one.Scope != scope {
			return event.Target{}
		}
		scope = one.Scope
	}
	return settings.Concerned(scope)
}

func (a *app) sayImported(out *importOutput) {
	if out == nil {
		return
	}
	for _, one := range out.Settings {
		a.say("%s for %s: %s\n", one.Path, output.ScopeWords(one.Scope), output.Change(one.Old, one.New))
	}
}

func (a *app) concludeImport(ctx context.Context, s *store, refresh *refreshFlags, out *importOutput) error {
	if a.output == "text" {
		for _, one := range out.Settings {
			a.printf("%s for %s: %s\n", one.Path, output.ScopeWords(one.Scope), output.Change(one.Old, one.New))
		}
		verb := "set"
		if out.DryRun {
			verb = "would be set"
		}
		a.say("%s %s, %d are so already\n", output.Plural(len(out.Settings), "setting"), verb, out.Unchanged)
	}
	_, err := a.afterChange(ctx, s, refresh, out.target(), out)
	return err
}
