package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
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
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *settings) error {
			done, err := s.unset(ctx, args[0], scope, ifVersion)
			if err != nil {
				return err
			}
			return a.conclude(cmd.Context(), s.store, refresh, done)
		})
	}
	return cmd
}

func (s *settings) unset(ctx context.Context, path string, scope config.Scope, ifVersion *int64) (c changed, err error) {
	is, err := s.Get(ctx, path, scope)
	if errors.Is(err, config.ErrNotFound) {
		return c, s.notSet(ctx, path, scope)
	}
	if err != nil {
		return c, err
	}
	c = changed{old: is.Value, done: true}
	parameters := bson.D{{Key: "path", Value: path}, {Key: "old", Value: onRecord(is.Value)}}
	err = s.perform(ctx, "unset", scope, parameters, func(ctx context.Context) (err error) {
		c.setting, err = s.Unset(ctx, path, scope, ifVersion)
		return err
	})
	return c, err
}

// conclude says what has become of a change, and refreshes if that is asked for.
func (a *app) conclude(ctx context.Context, s *store, refresh *refreshFlags, c changed) error {
	if a.output == "text" {
		a.printf("%s\n", c.words())
	}
	finals, err := a.afterChange(ctx, s, refresh, concerned(c.setting.Scope), toChangedOutput(c))
	var coded *codeError
	switch {
	case !refresh.refresh && c.done:
		a.say("servers follow when they refresh: `fleetcast config refresh`\n")
	case c.done && errors.As(err, &coded) && coded.code == exitFailure:
		a.say("the collection has the new value all the same, and servers that start meet it; to undo it: %s\n", c.undo())
	case c.done && c.setting.Value != nil && err == nil:
		a.sayUnmoved(c.setting.Path, finals)
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

// words say what was done.
func (c changed) words() string {
	s := c.setting
	whom := output.ScopeWords(s.Scope)
	switch {
	case !c.done:
		return s.Path + " for " + whom + " is " + output.Cell(s.Value) + " already, " + output.VersionWords(s)
	case s.Value == nil:
		return s.Path + " for " + whom + " is no longer set, it was " + output.Cell(c.old) + "; " + output.VersionWords(s)
	case c.old == nil:
		return s.Path + " for " + whom + " is " + output.Cell(s.Value) + ", and was not set; " + output.VersionWords(s)
	}
	return s.Path + " for " + whom + " is " + output.Cell(s.Value) + ", and was " + output.Cell(c.old) + "; " + output.VersionWords(s)
}

// undo is the command that restores what was.
func (c changed) undo() string {
	s := c.setting
	flags := flagsOf(s.Scope) + " --refresh"
	switch {
	case c.old == nil:
		return "fleetcast config unset " + s.Path + flags
	case s.Secret:
		return "fleetcast config set " + s.Path + " -" + flags + ", with the old value"
	}
	return "fleetcast config set " + s.Path + flags + " -- " + shellWord(output.ValueText(c.old))
}
