package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
)

func (a *app) configSetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set PATH VALUE", Args: pathAndValue,
		Short: "Set a setting for all servers, or for some",
		Long: `Set a setting in the collection. VALUE must be right for what the living servers have
declared (see "config describe"): a text, 10, 1.5, true, 1m30s, a regular expression,
JSON such as '{"a": 1}', a list as a,b,c or as a JSON array. With --undeclared, what no
server has declared is a number, true, false or a text as YAML has it: "10" in quotes is
a text.

VALUE - is standard input, and --from-file FILE a file here; a line end at its end is
cut off. A VALUE that begins with - comes after --. VALUE @/run/secrets/NAME is no
content but a reference: each server reads that file of its own host, as Docker and
Kubernetes mount secrets. A text that begins with @ is written with @@.

Secret values, which are those below "secret" or "secrets" in a path, declared so, or
set with --secret, are encrypted: the key is in ` + config.KeyVariable + ` or
` + config.KeyFileVariable + `, here and on the servers; "config keygen" makes one. Give them
by - or --from-file: arguments are in the shell's history and seen by ps.

Exit codes: 1 some server has refused to refresh, or --if-version did not fit; 2 the
value is wrong, or nobody has declared the setting; 3 it is set, but --refresh found no
living server that it is for; 4 some server has not answered.`,
		Example: `  fleetcast config set fleetcast/max_workers 8 --refresh
  fleetcast config set fleetcast/max_workers 2 --server web-1 --refresh
  fleetcast config set app/smtp/port 2525 --environment staging --if-version 3
  pass smtp | fleetcast config set app/secret/smtp_password -`,
		ValidArgsFunction: a.completeSet,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "shorthand") {
			return usageError("%w; a VALUE that begins with - comes after --: config set PATH -- -5", err)
		}
		return usageError("%w", err)
	})
	scopes, values, refresh := a.addScopeFlags(cmd, "set it"), a.addValueFlags(cmd), addRefreshFlags(cmd)
	version := addVersionFlag(cmd)
	w := config.Write{}
	cmd.Flags().BoolVar(&w.Secret, "secret", false, "encrypt the value, though neither path nor declaration says that it is secret")
	cmd.Flags().BoolVar(&w.Undeclared, "undeclared", false, "set it though no server has declared it")
	byHandAlone(cmd, "secret", "undeclared")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		w.Path = args[0]
		w.Scope, err = scopes.scope()
		if w.IfVersion, err = version.get(err); err != nil {
			return err
		}
		if err := errors.Join(checkPath(w.Path), refresh.check()); err != nil {
			return err
		}
		if err := values.read(args[1:]); err != nil { // which may take long: nothing waits yet
			return err
		}
		return a.withSettings(cmd.Context(), func(ctx context.Context, s *fleetSettings) error {
			done, err := a.configSet(ctx, s, w, values)
			if err != nil {
				return err
			}
			return a.conclude(cmd.Context(), s.store, refresh, done)
		})
	}
	return cmd
}

func pathAndValue(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usageError("%s takes a PATH and a VALUE", cmd.CommandPath())
	case 1, 2:
		return nil
	}
	return usageError("%s takes a PATH and a VALUE, but got %d arguments: put a VALUE with blanks in quotes", cmd.CommandPath(), len(args))
}

// versionFlag is --if-version.
type versionFlag struct {
	cmd     *cobra.Command
	version int64
}

func addVersionFlag(cmd *cobra.Command) *versionFlag {
	v := &versionFlag{cmd: cmd}
	cmd.Flags().Int64Var(&v.version, "if-version", 0, "only if it has this version, as \"config list\" shows it; 0: only if it was never set")
	byHandAlone(cmd, "if-version")
	return v
}

// get returns the version to have, nil for any; or err.
func (v *versionFlag) get(err error) (*int64, error) {
	switch {
	case err != nil || !v.cmd.Flags().Changed("if-version"):
		return nil, err
	case v.version < 0:
		return nil, usageError("--if-version %d: 0 or more", v.version)
	}
	return &v.version, nil
}

// configSet checks, and sets unless it is so already.
func (a *app) configSet(ctx context.Context, s *fleetSettings, w config.Write, values *valueFlags) (c settings.Changed, err error) {
	known, err := s.Rules(ctx)
	if err != nil {
		return c, err
	}
	w.Value = values.value(known.Knows(w.Path))
	if !known.Knows(w.Path) && known.Free(w.Path) {
		w.Undeclared = true
		a.say("no server is there that has declared settings: the value is not checked\n")
	}
	if known.Nobody(w.Scope) {
		a.say("no server in the registry is %s: it is for those that start later\n", output.ScopeWords(w.Scope))
	}
	return s.Change(ctx, known, w)
}
