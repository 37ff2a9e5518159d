package cli

import (
	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// allowExecFlags say which commands others may run on this host.
type allowExecFlags struct {
	allow    bool
	patterns []string
}

func addExecFlags(cmd *cobra.Command) *allowExecFlags {
	f := &allowExecFlags{}
	cmd.Flags().BoolVar(&f.allow, "allow-exec", false, "let everybody who can publish events run commands here, as this user")
	cmd.Flags().StringArrayVar(&f.patterns, "exec-pattern", nil, "allow only commands such as 'systemctl restart app-*', without shell (repeatable; implies --allow-exec)")
	byHandAlone(cmd, "allow-exec", "exec-pattern")
	return f
}

func (f *allowExecFlags) subscribe(bus *event.Bus) error {
	if !f.allow && len(f.patterns) == 0 {
		return nil
	}
	id := bus.Identity()
	x, err := subscribers.NewExec(f.patterns, []string{"FLEETCAST_SERVER_ID=" + id.ServerID.Hex(), "FLEETCAST_SERVER=" + id.Name})
	if err != nil {
		return usageError("--exec-pattern: %w", err)
	}
	_, err = bus.Subscribe(x)
	return err
}
