// Command river is a worker built on riverqueue/river that is a server of the
// fleet in the MongoDB that FLEETCAST_URI names.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/rs/zerolog"
	_ "modernc.org/sqlite" // SQLite in Go

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/examples/internal/program"
	"github.com/fleetcast/fleetcast/examples/riverhooks"
	"github.com/fleetcast/fleetcast/server"
)

func main() { program.Main(run) }

func run(ctx context.Context) error {
	add := flag.Int("add", 0, "first add so many jobs")
	file := flag.String("file", "river.sqlite", "where the jobs are")
	flag.Parse()

	driver, err := openJobs(ctx, *file)
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(work))
	jobs := riverhooks.New(driver, river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
		Workers: workers,
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	db, err := program.Database()
	if err != nil {
		return err
	}
	srv, err := server.Open(ctx, db, nil, server.Config{
		Bus:   event.Config{Identity: event.Identity{Labels: map[string]string{"example": "river"}}},
		Hooks: jobs.Hooks(),
	})
	if err != nil {
		return err
	}
	if err := jobs.Start(ctx); err != nil {
		return err
	}
	for i := range *add {
		if _, err := jobs.Client().Insert(ctx, mail{Number: i}, nil); err != nil {
			return fmt.Errorf("add a job: %w", err)
		}
	}
	err = srv.Run(ctx)
	return errors.Join(err, jobs.Stop(ctx)) // in case the server did not join the fleet
}

// openJobs opens the file, and creates River's tables if they are missing.
func openJobs(ctx context.Context, file string) (*riversqlite.Driver, error) {
	pool, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	pool.SetMaxOpenConns(1) // as River advises for SQLite
	driver := riversqlite.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("create River's tables in %s: %w", file, err)
	}
	return driver, nil
}

type mail struct {
	Number int `json:"number"`
}

func (mail) Kind() string { return "mail" }

// work stands for real work.
func work(ctx context.Context, job *river.Job[mail]) error {
	zerolog.Ctx(ctx).Info().Int("number", job.Args.Number).Int("attempt", job.Attempt).Msg("working")
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
