package server_test

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/mongo"

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
