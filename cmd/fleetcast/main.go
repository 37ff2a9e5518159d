// Command fleetcast controls a fleet of worker processes that share a MongoDB.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/fleetcast/fleetcast/internal/cli"
)

func main() { os.Exit(run()) }

// run turns signals into a context that ends at the first one and a channel
// that is closed by the second; a third one ends the process the hard way.
func run() int {
	showLabels()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	hurry := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		close(hurry)
		signal.Stop(signals)
	}()
	return cli.Run(ctx, cli.Process{
		Name: os.Args[0], Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv, Hurry: hurry,
		Operator: operator,
	})
}

// showLabels lets tracebacks show the labels by which thread dumps tell whose a
// goroutine is; the runtime heeds the variable from now on.
func showLabels() {
	if settings := os.Getenv("GODEBUG"); !strings.Contains(settings, "tracebacklabels") {
		_ = os.Setenv("GODEBUG", strings.TrimPrefix(settings+",tracebacklabels=1", ","))
	}
}
