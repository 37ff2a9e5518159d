package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

// everydayCommands are short forms of publish for the built-in subscribers.
func (a *app) everydayCommands() []*cobra.Command {
	return []*cobra.Command{
		a.stopCommand(),
		a.pauseCommand(), a.resumeCommand(),
		a.simpleCommand("quiet", "Take no new work for good; current work finishes, the server stays"),
		a.killCommand(), a.threadDumpCommand(), a.logLevelCommand(),
	}
}

// simpleCommand is a server action without parameters.
func (a *app) simpleCommand(action, short string) *cobra.Command {
	cmd := &cobra.Command{Use: action, Short: short, Args: noArgs}
	act := a.addActingFlags(cmd, event.DefaultWait)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.act(cmd.Context(), act, "server", action, nil)
	}
	return cmd
}

func (a *app) pauseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pause", Args: noArgs,
		Short: "Take no new work until resume; current work finishes",
		Long: `Let servers take no new work until resume; current work finishes. With --sticky
this is a hold: servers that start later, and are meant by --server, --host or
--label, start paused, too. A hold has no limit in time; "servers" shows it.`,
	}
	act := a.addActingFlags(cmd, event.DefaultWait)
	sticky := cmd.Flags().Bool("sticky", false, "hold back servers that start later, too, until resume")
	byHandAlone(cmd, "sticky")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.act(cmd.Context(), act, "server", "pause", subscribers.PauseParameters{Sticky: *sticky})
	}
	return cmd
}

func (a *app) resumeCommand() *cobra.Command {
	cmd := a.simpleCommand("resume", "Take work again after pause")
	cmd.Long = `Let servers take work again after pause. For everybody it ends all holds of
"pause --sticky"; with a target it ends those for just the same target, and the
servers that match now take work again: a wider hold stays for those that start
later.`
	return cmd
}

// patienceBeyond is how much longer than the work a command waits by default: for
// the pool's grace, and for the answer.
const patienceBeyond = 15 * time.Second

// waitFor waits, unless told otherwise, longer than the work may take.
func (act *acting) waitFor(cmd *cobra.Command, work time.Duration) {
	switch {
	case cmd.Flags().Changed("wait"):
	case work == 0: // without limit
		act.wait = 24 * time.Hour
	default:
		act.wait = work + patienceBeyond
	}
}

func (a *app) stopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stop", Args: noArgs,
		Short: "Let servers finish their work and exit; with --worker-id, stop workers",
		Long: `Let servers finish their current work and exit. A server is done when its work
has ended and it has left the registry. With --worker-id only those workers
finish and leave, and others take their places.`,
	}
	act := a.addActingFlags(cmd, server.DefaultShutdownTimeout+patienceBeyond)
	act.addAllServers(cmd)
	timeout := cmd.Flags().Duration("work-timeout", server.DefaultShutdownTimeout,
		"cancel work that takes longer than this, 0 = never (default: each server's own)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(act.workerIDs) > 0 {
			if cmd.Flags().Changed("work-timeout") {
				return usageError("--work-timeout is for servers: a stopped worker finishes its work; use `kill --worker-id` to cancel it")
			}
			return a.act(cmd.Context(), act, "worker", "stop", nil)
		}
		parameters := subscribers.StopParameters{}
		if cmd.Flags().Changed("work-timeout") {
			parameters.Timeout = (*subscribers.Duration)(timeout)
			act.waitFor(cmd, *timeout)
		}
		return a.act(cmd.Context(), act, "server", "stop", parameters)
	}
	return cmd
}

func (a *app) killCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "kill", Args: noArgs,
		Short: "Cancel the work of servers and let them exit; with --worker-id, kill workers",
		Long: `Cancel the current work of servers and let them exit. With --worker-id only those
workers' work is cancelled, and others take their places. Work that ignores the
cancellation for the wait time-out is abandoned, visibly: a goroutine cannot be
killed.`,
	}
	act := a.addActingFlags(cmd, subscribers.DefaultKillWait+patienceBeyond)
	act.addAllServers(cmd)
	wait := cmd.Flags().Duration("wait-timeout", 0, "how long cancelled work may take to end (default 5s for a server, 3s for a worker)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		subscriber := "server"
		if len(act.workerIDs) > 0 {
			subscriber = "worker"
		}
		if !cmd.Flags().Changed("wait-timeout") {
			return a.act(cmd.Context(), act, subscriber, "kill", nil)
		}
		act.waitFor(cmd, *wait)
		return a.act(cmd.Context(), act, subscriber, "kill", subscribers.KillParameters{WaitTimeout: subscribers.Duration(*wait)})
	}
	return cmd
}
