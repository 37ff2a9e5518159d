package cli

import (
	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
)

func (a *app) configRefreshCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "refresh", Args: noArgs,
		Short: "Let servers load their settings anew",
		Long: `Let servers load all their settings anew, check them, and put them into force, and say
what has changed. A server that finds a wrong value anywhere, or cannot reach the
database, changes nothing and says so: exit code 1.`,
		Example: `  fleetcast config refresh --limit 1                   # one server first, then the others
  fleetcast config refresh --batch 25% --batch-sleep 10s`,
	}
	act := a.addActingFlags(cmd, event.DefaultWait)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.act(cmd.Context(), act, "config", "refresh", nil)
	}
	return cmd
}
