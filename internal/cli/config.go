package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Read and change live settings, which every process follows",
		Long: `Live settings are kept in the collection ` + config.Collection + ` of the database. Servers read them
when they start and when they are told to refresh, without a restart. A setting has a
path such as app/smtp/host, and a value for all servers, or for some of them:

  (nothing)           all servers, unless something below is set for them
  --environment NAME  the servers of an environment
  --label KEY=VALUE   the servers with a label
  --server NAME       the server of that name

What is for fewer servers wins; above all of it are environment variables and flags of
the server's own, below it its file and the defaults of the program.

A change is in force when the servers have refreshed: set --refresh, or "config
refresh". They check all settings before they change any; a value that is wrong leaves
them as they were.`,
		Example: `  fleetcast config describe                               what can be set
  fleetcast config set fleetcast/max_workers 8 --refresh
  fleetcast config list --effective --server web-1        what is in force, and where from
  fleetcast config history`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.configGetCommand(), a.configSetCommand(), a.configUnsetCommand(), a.configListCommand(),
		a.configDescribeCommand(), a.configDiffCommand(), a.configHistoryCommand(), a.configRefreshCommand(),
		a.configExportCommand(), a.configImportCommand(), a.configKeygenCommand(), a.configResealCommand(),
	)
	return cmd
}

// fleetSettings are those of the database, for one command.
type fleetSettings struct {
	*settings.Editor
	*store
}

// withSettings connects and calls do. The context of do ends after --timeout, which is
// enough for some reads and writes; do has that of the command for what takes longer.
func (a *app) withSettings(ctx context.Context, do func(ctx context.Context, s *fleetSettings) error) error {
	keys, err := config.KeyringFromEnv(func(name string) string { v, _ := a.Env(name); return v })
	if err != nil {
		return usageError("%w", err)
	}
	st, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer st.close()
	bounded, cancel := context.WithTimeoutCause(ctx, a.timeout, fmt.Errorf("the database did not answer within --timeout %s", a.timeout))
	defer cancel()
	err = do(bounded, &fleetSettings{settings.NewEditor(bounded, st.db, keys, event.Publisher{}), st})
	if errors.Is(err, context.DeadlineExceeded) && bounded.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(bounded), err)
	}
	return configError(err)
}

// configError gives errors of settings their exit codes.
func configError(err error) error {
	var coded *codeError
	var value *config.ValueError
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, config.ErrNotFound):
		return &codeError{code: exitNoMatch, err: err}
	case errors.Is(err, config.ErrUndeclared):
		return usageError("%w (`fleetcast config describe` lists what there is; --undeclared sets it all the same)", err)
	case errors.As(err, &value):
		return usageError("%w", err)
	}
	return err
}

// checkPath refuses what is no path.
func checkPath(path string) error {
	if err := config.CheckPath(path); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// checkPrefix takes the first argument, if there is one, as what to look below; with
// or without a slash at the end.
func checkPrefix(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	prefix := strings.TrimSuffix(args[0], "/")
	return prefix, checkPath(prefix)
}

// atMost refuses more than n arguments with a message for people.
func atMost(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError("%s takes at most %s: %s", cmd.CommandPath(), output.Plural(n, "argument"), names)
		}
		return nil
	}
}
