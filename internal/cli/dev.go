package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/embedded"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// storeFlags are those that dev and store share.
type storeFlags struct{ addr, dir string }

func addStoreFlags(cmd *cobra.Command) *storeFlags {
	f := &storeFlags{}
	cmd.Flags().StringVar(&f.addr, "store-addr", "127.0.0.1:27127", "loopback address of the store; port 0 takes a free one")
	cmd.Flags().StringVar(&f.dir, "data-dir", "", "folder that keeps the data (default: nothing is kept)")
	return f
}

func (f *storeFlags) open(ctx context.Context) (*embedded.Store, error) {
	st, err := embedded.Open(ctx, embedded.Config{Addr: f.addr, Dir: f.dir})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; --store-addr names another address", err)
	}
	return st, err
}

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Args: noArgs,
		Short: "Run the embedded store alone, for development and tests",
	}
	flags := addStoreFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := a.logger(a.levels).WithContext(cmd.Context())
		st, err := flags.open(ctx)
		if err != nil {
			return err
		}
		a.printf("%s/%s\n", st.URI(), defaultDatabase)
		return st.Run(ctx)
	}
	return cmd
}

func (a *app) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dev", Args: noArgs,
		Short: "Run a store, a demo fleet and the console on this machine, nothing else needed",
		Long: `Run an embedded store, a demo fleet and the web console in one process. It prints the
URI for use in other terminals, and the console's address. The first signal lets current
work finish, the second cancels it.`,
	}
	storage, fleet := addStoreFlags(cmd), addFleetFlags(cmd, 4)
	servers := cmd.Flags().Int("servers", 3, "servers of the demo fleet")
	web := cmd.Flags().String("console-addr", defaultConsoleAddr, "loopback address of the console; port 0 takes a free one, empty for none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fleet.validate(); err != nil {
			return err
		}
		if *servers < 0 {
			return usageError("--servers %d: 0 or more", *servers)
		}
		if *web != "" && !isLoopback(*web) {
			return usageError("--console-addr %s: dev has no login, so its console serves this machine alone: use 127.0.0.1", *web)
		}
		return a.dev(a.logger(a.levels).WithContext(cmd.Context()), storage, fleet, *servers, *web)
	}
	return cmd
}

// dev runs the store until ctx ends, and until the servers have stopped then.
func (a *app) dev(ctx context.Context, storage *storeFlags, fleet *fleetFlags, servers int, web string) error {
	st, err := storage.open(ctx)
	if err != nil {
		return err
	}
	storing, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	stored := make(chan error, 1)
	go func() { stored <- st.Run(storing) }()

	err = a.devFleet(ctx, st.URI()+"/"+defaultDatabase, fleet, servers, web)
	stopStore()
	return errors.Join(err, <-stored)
}

func (a *app) devFleet(ctx context.Context, uri string, fleet *fleetFlags, n int, web string) error {
	s, err := a.connectForever(ctx, uri)
	if err != nil {
		return err
	}
	defer s.close()
	servers, err := a.openDevServers(ctx, s, fleet, n)
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running sync.WaitGroup
	faults := make([]error, len(servers))
	for i, one := range servers {
		running.Go(func() {
			if faults[i] = a.runDevServer(ctx, one); faults[i] != nil {
				fail(faults[i]) // one that does not run ends them all
			}
		})
	}
	console, serving := make(chan string, 1), make(chan error, 1)
	go func() {
		serving <- a.devConsole(ctx, s, web, func(url string) { console <- url })
	}()
	select {
	case url := <-console:
		a.announce(ctx, s, uri, fleet, n, url)
	case err := <-serving:
		serving <- err
		if err == nil {
			a.announce(ctx, s, uri, fleet, n, "")
		} else {
			fail(err)
		}
	}
	running.Wait()
	if ctx.Err() == nil {
		zerolog.Ctx(ctx).Info().Msg("all servers of the demo fleet have stopped; the store goes on until Ctrl-C")
		<-ctx.Done()
	}
	return errors.Join(append(faults, <-serving)...)
}

// devConsole serves the console until ctx ends, unless there shall be none.
func (a *app) devConsole(ctx context.Context, s *store, addr string, up func(url string)) error {
	if addr == "" {
		return nil
	}
	f := &consoleFlags{addr: addr}
	cfg, err := f.config(a)
	if err != nil {
		return err
	}
	return a.serveConsole(ctx, s, f, cfg, up)
}

// announce waits until the whole fleet is in the registry, and says so.
func (a *app) announce(ctx context.Context, s *store, uri string, fleet *fleetFlags, servers int, console string) {
	if !awaitFleet(ctx, server.NewRegistry(s.db), servers, fleet.workers) {
		return
	}
	command := "fleetcast"
	if strings.Contains(a.Name, "go-build") { // where `go run` puts it
		command = "go run ./cmd/fleetcast"
	}
	if console != "" {
		console = "\nThe console: " + console + "\n"
	}
	a.printf(`fleetcast is up: %[1]s with %[2]s each, on an embedded store.
%[5]s
In another terminal:
  export FLEETCAST_URI=%[3]s
  %[4]s servers --watch
  %[4]s pause        # then resume, thread-dump, stop --server dev-2, events ...

Ctrl-C lets current work finish and ends everything.
`, output.Plural(servers, "server"), output.Plural(fleet.workers, "worker"), uri, command, console)
}
