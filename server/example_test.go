package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
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

// A program that looks on: at the work, and at what is asked of the server.
func ExampleServer_Topics() {
	ctx := context.Background()
	client, err := mongo.Connect(options.Client().ApplyURI(teststore.URI())) // any MongoDB
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Disconnect(ctx) }()
	db := client.Database("test_" + bson.NewObjectID().Hex())
	defer func() { _ = db.Drop(ctx) }()

	files := make(chan worker.Work, 1)
	files <- worker.Work{ID: "customers.csv", Description: "opens the file", Run: func(ctx context.Context) error {
		worker.Describe(ctx, "1,000 of 2,000 rows")
		return nil
	}}
	take := worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
		select {
		case unit := <-files:
			return unit, nil
		case <-ctx.Done():
			return worker.Work{}, ctx.Err()
		}
	})
	srv, err := server.Open(ctx, db, take, server.Config{Pool: worker.Config{Workers: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	work, endWork := srv.Topics().Work.Subscribe()
	defer endWork()
	states, endStates := srv.Topics().State.SubscribePayloads()
	defer endStates()
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()

	for m := range work { // until Run returns
		fmt.Println(m.Payload.Moment, m.Payload.Worker.WorkID, m.Payload.Worker.Description)
		if m.Missed > 0 {
			fmt.Println("and", m.Missed, "before it, which this program was too slow for")
		}
		if m.Payload.Moment == worker.WorkFinished {
			srv.Stop(0)
		}
	}
	for n := range states { // what was told meanwhile has waited
		fmt.Println(n.Change, "was", n.Moment)
	}
	fmt.Println(<-done)
	// Output:
	// work started customers.csv opens the file
	// work updated customers.csv 1,000 of 2,000 rows
	// work finished customers.csv 1,000 of 2,000 rows
	// start was requested
	// start was applied
	// stop was requested
	// stop was applied
	// <nil>
}
