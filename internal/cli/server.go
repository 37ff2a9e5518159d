package cli

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
	"github.com/fleetcast/fleetcast/worker/demo"
)

// fleetFlags are those that server and dev share.
type fleetFlags struct {
	workers         int
	heartbeat       time.Duration
	shutdownTimeout time.Duration
	stuckAfter      time.Duration
	auditKeep       time.Duration
	hangEvery       int
	source          worker.Source // nil for the demo work
	settings        *settingsFlags
}

func addFleetFlags(cmd *cobra.Command, workers int) *fleetFlags {
	f := &fleetFlags{settings: addSettingsFlags(cmd)}
	cmd.Flags().IntVar(&f.workers, "workers", workers, "workers of each server")
	cmd.Flags().DurationVar(&f.heartbeat, "heartbeat", server.DefaultHeartbeat, "time between two heartbeats")
	cmd.Flags().DurationVar(&f.shutdownTimeout, "shutdown-timeout", server.DefaultShutdownTimeout,
		"how long current work may go on after a stop before it is cancelled, 0 = without limit")
	cmd.Flags().DurationVar(&f.stuckAfter, "stuck-after", 0, "flag a worker that is busy for longer than this, 0 = never")
	cmd.Flags().DurationVar(&f.auditKeep, "audit-keep", 0,
		"how long the audit keeps entries, for the whole fleet (default: as it is, 2160h for a new one)")
	cmd.Flags().IntVar(&f.hangEvery, "demo-hang", 0, "let every so many-th unit of the demo work hang, to try thread-dump and kill, 0 = none")
	return f
}

func (f *fleetFlags) validate() error {
	switch {
	case f.workers < 1:
		return usageError("--workers %d: at least 1", f.workers)
	case f.heartbeat <= 0:
		return usageError("--heartbeat %s: a positive duration such as 15s", f.heartbeat)
	case f.shutdownTimeout < 0:
		return usageError("--shutdown-timeout %s: 0 or more", f.shutdownTimeout)
	case f.hangEvery < 0, f.hangEvery > 0 && f.source != nil:
		return usageError("--demo-hang %d: a positive number, and for the demo work alone", f.hangEvery)
	case f.stuckAfter < 0:
		return usageError("--stuck-after %s: 0 or more", f.stuckAfter)
	case f.auditKeep != 0 && f.auditKeep < time.Minute:
		return usageError("--audit-keep %s: at least a minute, or 0 to leave it as it is", f.auditKeep)
	}
	return nil
}

func (a *app) serverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "server [flags] [-- CMD ARGS...]", Args: commandAfterDash,
		Short: "Run one server, whose workers run a command or do the demo work",
		Long: `Run one server until it is stopped: by an event, or by SIGTERM or SIGINT, which
let current work finish; a second signal cancels it. SIGTSTP makes it quiet: it
takes no new work for good. SIGUSR1 writes a thread dump to the log. SIGHUP refreshes
the settings, as "fleetcast config refresh" does.

Where the settings fleetcast/max_workers, heartbeat_seconds, shutdown_timeout,
stuck_after or log_level are set, they count, unless the flag is given.

With CMD each worker runs a copy of it and starts it again when it ends, later and
later if it ends soon. What it prints goes to the log. Pausing sends it
--pause-signal, resuming CONT, stopping TERM to its process group, killing KILL to
that group. FLEETCAST_SERVER_ID and FLEETCAST_WORKER_ID are in its environment. It
does not outlive the server. Without CMD the workers do demo work.

Exit codes: 0 all work has ended, finished or cancelled by --shutdown-timeout;
1 failure, or work that did not end; 5 the server was killed, its work cancelled.`,
		Example: `  fleetcast server --workers 4 -- ./import.sh --all
  fleetcast server --dump-signal QUIT -- java -jar worker.jar`,
	}
	fleet := addFleetFlags(cmd, 10)
	child := addCommandFlags(cmd)
	name := cmd.Flags().String("name", "", "the server's unique name (default host:pid)")
	metricsAddr := cmd.Flags().String("metrics-addr", "", "serve /metrics, /healthz and /readyz here, such as 127.0.0.1:9090 (default: nowhere)")
	allowed := addExecFlags(cmd)
	labels := cmd.Flags().StringToString("label", nil, "a label as KEY=VALUE (repeatable)")
	cmd.RunE = func(cmd *cobra.Command, command []string) error {
		id := event.Identity{ServerID: bson.NewObjectID(), Name: *name, Labels: *labels}
		var err error
		if fleet.source, err = child.source(command, id.ServerID); err != nil {
			return err
		}
		if err := fleet.validate(); err != nil {
			return err
		}
		asked := a.operator()
		ctx := a.logger(a.levels).WithContext(cmd.Context())
		s, err := a.connectForever(ctx, a.uri)
		if err != nil {
			return err
		}
		defer s.close()
		srv, settings, err := a.openServer(ctx, s, fleet, id, a.levels)
		if err != nil {
			return err
		}
		if err := allowed.subscribe(srv.Bus()); err != nil {
			return err
		}
		stopMetrics, err := serveMetrics(ctx, *metricsAddr, srv.Handler())
		if err != nil {
			return err
		}
		defer stopMetrics()
		defer asked.obey(ctx, srv, settings)()
		return a.runServer(ctx, srv)
	}
	return cmd
}

// commandAfterDash wants a "--" before the command, whose flags are its own.
func commandAfterDash(cmd *cobra.Command, args []string) error {
	if before := cmd.ArgsLenAtDash(); len(args) > 0 && before != 0 {
		return usageError("%s takes no arguments, but got %q; a command for the workers comes after --", cmd.CommandPath(), args[0])
	}
	return nil
}

func (a *app) openServer(ctx context.Context, s *store, f *fleetFlags, id event.Identity, levels *logging.Levels) (*server.Server, *config.Settings, error) {
	settings, err := a.openSettings(ctx, s, f.settings, id)
	if err != nil {
		return nil, nil, err
	}
	shutdown := f.shutdownTimeout
	if shutdown == 0 {
		shutdown = -1 // without limit
	}
	source := f.source
	if source == nil {
		source = demo.Source(demo.Config{Seed: rand.Uint64(), HangEvery: f.hangEvery})
	}
	srv, err := server.Open(ctx, s.db, source, server.Config{
		Bus:     event.Config{Identity: id, Log: s.log},
		Pool:    worker.Config{Workers: f.workers, StuckAfter: f.stuckAfter},
		Version: versionText(), Heartbeat: f.heartbeat, ShutdownTimeout: shutdown, Logger: levels,
		AuditKeep: f.auditKeep, Settings: settings,
	})
	return srv, settings, err
}

// runServer runs a server; the second signal kills it.
func (a *app) runServer(ctx context.Context, srv *server.Server) error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-a.Hurry:
			zerolog.Ctx(ctx).Warn().Msg("second signal: cancelling the current work")
			srv.Kill(subscribers.DefaultKillWait)
		case <-done:
		}
	}()
	err := srv.Run(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, server.ErrKilled):
		return &codeError{code: exitKilled, err: err}
	}
	return &codeError{code: exitFailure, err: err}
}
