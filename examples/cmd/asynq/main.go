// Command asynq is a worker built on hibiken/asynq that is a server of the fleet
// in the MongoDB that FLEETCAST_URI names.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/examples/asynqhooks"
	"github.com/fleetcast/fleetcast/examples/internal/program"
	"github.com/fleetcast/fleetcast/server"
)

func main() { program.Main(run) }

func run(ctx context.Context) error {
	log := zerolog.Ctx(ctx)
	add := flag.Int("add", 0, "first add so many tasks")
	redis := flag.String("redis", "", "address of Redis (default: one in this process)")
	flag.Parse()

	if *redis == "" {
		mini, err := miniredis.Run()
		if err != nil {
			return fmt.Errorf("start a Redis in this process: %w", err)
		}
		defer mini.Close()
		*redis = mini.Addr()
		log.Info().Str("redis", *redis).Msg("no -redis given: one in this process, which others can use as long as it runs")
	}
	connection := asynq.RedisClientOpt{Addr: *redis}
	if err := addTasks(connection, *add); err != nil {
		return err
	}
	db, err := program.Database()
	if err != nil {
		return err
	}
	handler := asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		log.Info().Str("kind", t.Type()).Bytes("payload", t.Payload()).Msg("working")
		return work(ctx)
	})
	tasks := asynqhooks.New(connection, handler, asynq.Config{Concurrency: 4, LogLevel: asynq.WarnLevel})
	srv, err := server.Open(ctx, db, nil, server.Config{
		Bus:   event.Config{Identity: event.Identity{Labels: map[string]string{"example": "asynq"}}},
		Hooks: tasks.Hooks(),
	})
	if err != nil {
		return err
	}
	if err := tasks.Start(ctx); err != nil {
		return err
	}
	err = srv.Run(ctx)
	return errors.Join(err, tasks.Stop(ctx)) // in case the server did not join the fleet
}

func addTasks(connection asynq.RedisConnOpt, n int) error {
	client := asynq.NewClient(connection)
	defer client.Close()
	for i := range n {
		if _, err := client.Enqueue(asynq.NewTask("mail", fmt.Append(nil, i))); err != nil {
			return fmt.Errorf("add a task: %w", err)
		}
	}
	return nil
}

// work stands for real work.
func work(ctx context.Context) error {
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
