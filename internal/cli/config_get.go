package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) configGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get PATH", Args: exactArgs("PATH"),
		Short: "Print the value of a setting in the collection",
		Long: `Print the value that a setting has in the collection for all servers, or for those that
the flags name. What a server makes of it, with its file, environment and flags, is
shown by "config list --effective --server NAME".

Secret values show as ****; --reveal prints one, and is audited: who, when, which.
It needs the key in ` + config.KeyVariable + ` or ` + config.KeyFileVariable + `.

Exit code 3: it is not set there.`,
		Example: `  fleetcast config get app/smtp/host
  fleetcast config get app/secret/smtp_password --server web-1 --reveal`,
		ValidArgsFunction: a.completePaths(false),
	}
	scopes := a.addScopeFlags(cmd, "the value")
	reveal := cmd.Flags().Bool("reveal", false, "print a secret value in the clear; this is audited")
	byHandAlone(cmd, "reveal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		scope, err := scopes.scope()
		if err := errors.Join(err, checkPath(args[0])); err != nil {
			return err
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			return a.configGet(ctx, s, args[0], scope, *reveal)
		})
	}
	return cmd
}

func (a *app) configGet(ctx context.Context, s *fleetSettings, path string, scope config.Scope, reveal bool) error {
	one, err := s.Get(ctx, path, scope)
	if errors.Is(err, config.ErrNotFound) {
		return s.notSet(ctx, path, scope)
	}
	if err != nil {
		return err
	}
	if one.Secret && reveal {
		if one.Value, err = s.reveal(ctx, path, scope); err != nil {
			return err
		}
	}
	if a.output != "text" {
		return a.printJSON(output.ToSetting(one))
	}
	a.printf("%s\n", output.ValueText(one.Value))
	if one.Secret && !reveal {
		a.say("it is secret: --reveal prints it, which is audited\n")
	}
	return nil
}

// reveal returns a secret in the clear. That is on record before it is read.
func (s *fleetSettings) reveal(ctx context.Context, path string, scope config.Scope) (value any, err error) {
	err = s.Perform(ctx, "reveal", scope, bson.D{{Key: "path", Value: path}}, func(ctx context.Context) (err error) {
		recorded := func(context.Context) error { return nil } // by perform, or it would not be called
		value, err = s.Reveal(ctx, path, scope, recorded)
		return err
	})
	return value, err
}

// notSet says what there is instead.
func (s *fleetSettings) notSet(ctx context.Context, path string, scope config.Scope) error {
	message := fmt.Sprintf("%s is not set for %s", path, output.ScopeWords(scope))
	others, err := s.List(ctx, config.Filter{Under: path})
	if err != nil {
		return err
	}
	var elsewhere []string
	below := 0
	for _, o := range others {
		switch {
		case o.Path != path:
			below++
		case o.Scope == config.Global:
			elsewhere = append(elsewhere, "for all servers, without "+strings.TrimSpace(flagsOf(scope)))
		default:
			elsewhere = append(elsewhere, "with"+flagsOf(o.Scope))
		}
	}
	if len(elsewhere) > 0 {
		message += "; it is set " + strings.Join(elsewhere, ", ")
	}
	if below > 0 {
		message += fmt.Sprintf("; %s below it: `fleetcast config list %s`", output.Plural(below, "setting"), path)
	}
	known, err := s.Declarations(ctx)
	if err != nil {
		return err
	}
	for _, d := range known {
		if d.Path == path && d.Default != "" {
			message += fmt.Sprintf("; the default of %s is %s", output.Plural(len(d.Servers), "server"), output.Cell(d.Default))
		}
	}
	return &codeError{code: exitNoMatch, err: errors.New(message)}
}
