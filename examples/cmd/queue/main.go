// Command queue is a server of the fleet whose workers take jobs from a queue in
// the fleet's own MongoDB, which FLEETCAST_URI names.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/examples/internal/program"
	"github.com/fleetcast/fleetcast/examples/queue"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

func main() { program.Main(run) }

func run(ctx context.Context) error {
	add := flag.Int("add", 0, "first add so many jobs")
	workers := flag.Int("workers", 4, "workers of this server")
	include := flag.String("include", "", "kinds of jobs to take, as patterns separated by commas (default: all)")
	flag.Parse()

	db, err := program.Database()
	if err != nil {
		return err
	}
	for i := range *add {
		kind := []string{"import", "report", "mail"}[i%3]
		if _, err := queue.Add(ctx, db, kind, rand.IntN(3), bson.M{"number": i}); err != nil {
			return err
		}
	}
	id := bson.NewObjectID()
	source, err := queue.Open(ctx, db, id, handle, queue.Config{})
	if err != nil {
		return err
	}
	cfg := server.Config{
		Bus:  event.Config{Identity: event.Identity{ServerID: id, Labels: map[string]string{"example": "queue"}}},
		Pool: worker.Config{Workers: *workers},
	}
	if *include != "" {
		cfg.Pool.Filter.Include = strings.Split(*include, ",")
	}
	srv, err := server.Open(ctx, db, source, cfg)
	if err != nil {
		return err
	}
	if _, err := srv.Bus().Subscribe(source); err != nil {
		return err
	}
	return srv.Run(ctx)
}

// handle stands for real work. It fails now and then.
func handle(ctx context.Context, job queue.Job) error {
	zerolog.Ctx(ctx).Info().Int("priority", job.Priority).Int("attempt", job.Attempts).Msg("working")
	timer := time.NewTimer(time.Second + rand.N(2*time.Second))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	if rand.IntN(10) == 0 {
		return errors.New("simulated failure of " + fmt.Sprint(job.Payload))
	}
	return nil
}
