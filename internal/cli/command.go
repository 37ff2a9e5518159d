package cli

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
	"github.com/fleetcast/fleetcast/worker/process"
)

// commandFlags are those of a command that workers run.
type commandFlags struct{ pause, dump string }

func addCommandFlags(cmd *cobra.Command) *commandFlags {
	f := &commandFlags{}
	cmd.Flags().StringVar(&f.pause, "pause-signal", "", "what tells CMD to pause or be quiet (default TSTP, which halts a program that does not handle it)")
	cmd.Flags().StringVar(&f.dump, "dump-signal", "", "what lets CMD print a thread dump, such as QUIT for the JVM (default: none)")
	names := slices.Sorted(maps.Keys(signals))
	completeWords(cmd, "pause-signal", names...)
	completeWords(cmd, "dump-signal", names...)
	return f
}

// source makes workers of a command, and is nil without one.
func (f *commandFlags) source(command []string, id bson.ObjectID) (worker.Source, error) {
	if len(command) == 0 {
		if f.pause != "" || f.dump != "" {
			return nil, usageError("--pause-signal and --dump-signal are for a command: give it after --")
		}
		return nil, nil
	}
	pause, err := parseSignal("pause-signal", f.pause)
	if err != nil {
		return nil, err
	}
	dump, err := parseSignal("dump-signal", f.dump)
	if err != nil {
		return nil, err
	}
	source, err := process.Source(process.Config{Command: command, ServerID: id.Hex(), PauseSignal: pause, DumpSignal: dump})
	if err != nil {
		return nil, usageError("%w", err)
	}
	return source, nil
}

// parseSignal reads a name with or without SIG; an empty one is nil.
func parseSignal(flag, name string) (os.Signal, error) {
	if name == "" {
		return nil, nil
	}
	signal, ok := signals[strings.TrimPrefix(strings.ToUpper(name), "SIG")]
	if !ok {
		return nil, usageError("--%s %q: choose one of %s", flag, name, strings.Join(slices.Sorted(maps.Keys(signals)), ", "))
	}
	return signal, nil
}

// operator is what operators ask of a server by signals.
type operator struct{ quiet, dump, refresh <-chan os.Signal }

func (a *app) operator() (o operator) {
	if a.Operator != nil {
		o.quiet, o.dump, o.refresh = a.Operator()
	}
	return o
}

// obey does what is asked until stop is called.
func (o operator) obey(ctx context.Context, srv *server.Server, settings *config.Settings) (stop func()) {
	done := make(chan struct{})
	var obeying sync.WaitGroup
	obeying.Go(func() {
		for {
			select {
			case <-o.quiet:
				zerolog.Ctx(ctx).Info().Msg("signal: no new work from now on")
				srv.Quiet()
			case <-o.dump:
				srv.LogStacks(ctx)
			case <-o.refresh:
				refreshSettings(ctx, settings)
			case <-done:
				return
			}
		}
	})
	return func() { close(done); obeying.Wait() }
}

// refreshSettings does so for a signal; the server follows by itself.
func refreshSettings(ctx context.Context, settings *config.Settings) {
	changes, err := settings.Refresh(ctx)
	if err != nil {
		zerolog.Ctx(ctx).Error().Err(err).Msg("signal: the settings are not refreshed, the old ones stay in force")
		return
	}
	zerolog.Ctx(ctx).Info().Strs("changed", changes.Paths()).Msg("signal: settings refreshed")
}
