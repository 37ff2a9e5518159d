package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// A process with workers of its own.
func Example() {
	run := func(ctx context.Context, db *mongo.Database, source worker.Source) error {
		srv, err := server.Open(ctx, db, source, server.Config{Pool: worker.Config{Workers: 4}})
		if err != nil {
			return err
		}
		return srv.Run(ctx)
	}
	_ = run
}

// A web application: no workers, but a member of the fleet all the same, whose log
// levels the command line changes, as with
//
//	fleetcast log-level debug --component http --for 10m --server web-1
func ExampleOpen_webApplication() {
	run := func(ctx context.Context, db *mongo.Database, handler http.Handler) error {
		levels, err := logging.New("info")
		if err != nil {
			return err
		}
		level := &slog.LevelVar{}
		levels.Bind("http", level) // of log/slog; levels.Logger is for zerolog
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))

		member, err := server.Open(ctx, db, nil, server.Config{
			Bus:    event.Config{Identity: event.Identity{Name: "web-1"}},
			Logger: levels,
		})
		if err != nil {
			return err
		}
		web := &http.Server{Addr: "127.0.0.1:8080", Handler: handler}
		defer context.AfterFunc(ctx, func() { _ = web.Close() })()
		go func() { _ = web.ListenAndServe() }()
		return member.Run(ctx)
	}
	_ = run
}

// jobSystem stands for one that has its own workers.
type jobSystem interface {
	Pause(context.Context) error
	Resume(context.Context) error
	Drain(context.Context) error
}

// A process whose work another job system runs.
func ExampleHooks() {
	run := func(ctx context.Context, db *mongo.Database, jobs jobSystem) error {
		srv, err := server.Open(ctx, db, nil, server.Config{
			Hooks: server.Hooks{Pause: jobs.Pause, Resume: jobs.Resume, Stop: jobs.Drain},
		})
		if err != nil {
			return err
		}
		return srv.Run(ctx)
	}
	_ = run
}
