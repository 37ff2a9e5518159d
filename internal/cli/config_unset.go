package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
	"github.com/fleetcast/fleetcast/subscribers"
)

func (a *app) configUnsetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unset PATH", Args: exactArgs("PATH"),
		Short: "Remove a setting from the collection, so that what is below it counts again",
		Long: `Remove the value that a setting has for all servers, or for those that the flags name.
What a wider scope, the server's file or the program's default says counts again. The
history stays.`,
		Example: `  fleetcast config unset fleetcast/max_workers --server web-1 --refresh`,

		ValidArgsFunction: a.completePaths(false),
	}
	scopes, refresh, version := a.addScopeFlags(cmd, "the value"), addRefreshFlags(cmd), addVersionFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		scope, err := scopes.scope()
		ifVersion, err := version.get(err)
		if err := errors.Join(err, checkPath(args[0]), refresh.check()); err != nil {
			return err
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			done, err := s.unset(ctx, args[0], scope, ifVersion)
			if err != nil {
				return err
			}
			return a.conclude(cmd.Context(), s.store, refresh, done)
		})
	}
	return cmd
}

func (s *fleetSettings) unset(ctx context.Context, path string, scope config.Scope, ifVersion *int64) (settings.Changed, error) {
	c, err := s.Remove(ctx, path, scope, ifVersion)
	if errors.Is(err, config.ErrNotFound) {
		err = s.notSet(ctx, path, scope)
	}
	return c, err
}

// conclude says what has become of a change, and refreshes if that is asked for.
func (a *app) conclude(ctx context.Context, s *store, refresh *refreshFlags, c settings.Changed) error {
	if a.output == "text" {
		a.printf("%s\n", changeWords(c))
	}
	finals, err := a.afterChange(ctx, s, refresh, settings.Concerned(c.Setting.Scope), toChangedOutput(c))
	var coded *codeError
	switch {
	case !refresh.refresh && c.Done:
		a.say("servers follow when they refresh: `fleetcast config refresh`\n")
	case c.Done && errors.As(err, &coded) && coded.code == exitFailure:
		a.say("the collection has the new value all the same, and servers that start meet it; to undo it: %s\n", undoOf(c))
	case c.Done && c.Setting.Value != nil && err == nil:
		a.sayUnmoved(c.Setting.Path, finals)
	}
	return err
}

// sayUnmoved tells of servers that the change is of no effect on.
func (a *app) sayUnmoved(path string, finals []event.Reply) {
	n := 0
	for _, r := range finals {
		var result subscribers.Refreshed[config.Changes]
		if r.Result(&result) == nil && !slices.Contains(result.Changed.Paths(), path) {
			n++
		}
	}
	if n > 0 {
		a.say("%s had that value already, or have another from a narrower scope, a variable or a flag: `fleetcast config list %s --effective`\n",
			output.Plural(n, "server"), path)
	}
}

// changeWords say what was done.
func changeWords(c settings.Changed) string {
	s := c.Setting
	whom := output.ScopeWords(s.Scope)
	switch {
	case !c.Done:
		return s.Path + " for " + whom + " is " + output.Cell(s.Value) + " already, " + output.VersionWords(s)
	case s.Value == nil:
		return s.Path + " for " + whom + " is no longer set, it was " + output.Cell(c.Old) + "; " + output.VersionWords(s)
	case c.Old == nil:
		return s.Path + " for " + whom + " is " + output.Cell(s.Value) + ", and was not set; " + output.VersionWords(s)
	}
	return s.Path + " for " + whom + " is " + output.Cell(s.Value) + ", and was " + output.Cell(c.Old) + "; " + output.VersionWords(s)
}

// undoOf is the command that restores what was.
func undoOf(c settings.Changed) string {
	s := c.Setting
	flags := flagsOf(s.Scope) + " --refresh"
	switch {
	case c.Old == nil:
		return "fleetcast config unset " + s.Path + flags
	case s.Secret:
		return "fleetcast config set " + s.Path + " -" + flags + ", with the old value"
	}
	return "fleetcast config set " + s.Path + flags + " -- " + shellWord(output.ValueText(c.Old))
}
