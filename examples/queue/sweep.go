package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/server"
)

// goneAfter is how many sweeps in a row must miss a server in the registry before
// it is gone: an entry that somebody deleted by hand is back after one heartbeat.
const goneAfter = 3

// unseen counts the sweeps in which a server that holds jobs was not in the
// registry. Only who has the turn touches it.
type unseen map[bson.ObjectID]int

// dead decides whether a server will never finish its jobs.
func (u unseen) dead(id bson.ObjectID, registered []server.Entry) bool {
	i := slices.IndexFunc(registered, func(e server.Entry) bool { return e.ID == id })
	if i >= 0 {
		delete(u, id)
		return registered[i].Lost()
	}
	u[id]++
	return u[id] >= goneAfter
}

func (s *Source) sweepWhenDue(ctx context.Context) error {
	if time.Since(s.swept) < s.cfg.Sweep {
		return nil
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("look for jobs of dead servers: %w", err)
	}
	s.swept = time.Now()
	return nil
}

// sweep queues the jobs again that nobody works on.
//
// It reads who holds jobs before it reads who is in the registry. A server joins
// the registry before it takes a job, so a living holder is found there.
func (s *Source) sweep(ctx context.Context) error {
	var holders []bson.ObjectID
	running := bson.D{{Key: "state", Value: Running}}
	if err := s.jobs.Distinct(ctx, "server_id", running).Decode(&holders); err != nil {
		return err
	}
	registered, err := s.registry.List(ctx)
	if err != nil {
		return err
	}
	for _, id := range holders {
		if id == s.server || !s.dead(id, registered) {
			continue
		}
		n, err := s.requeue(ctx, bson.D{running[0], {Key: "server_id", Value: id}}, "its server was lost")
		if err != nil {
			return err
		}
		delete(s.unseen, id)
		zerolog.Ctx(ctx).Warn().Int64("jobs", n).Str("lost_server_id", id.Hex()).Msg("took jobs from a lost server")
	}
	return s.sweepOwn(ctx)
}

// sweepOwn queues those again that are ours for the database, but not for us: a
// claim whose answer was lost, a job whose outcome could not be written. No claim
// is under way meanwhile, since that needs the turn.
func (s *Source) sweepOwn(ctx context.Context) error {
	s.mu.Lock()
	known := bson.A{}
	for id := range s.held {
		known = append(known, id)
	}
	s.mu.Unlock()
	_, err := s.requeue(ctx, bson.D{
		{Key: "state", Value: Running}, {Key: "server_id", Value: s.server},
		{Key: "_id", Value: bson.D{{Key: "$nin", Value: known}}},
	}, "its server lost sight of it")
	return err
}

// requeue puts the running jobs that match back into the queue, or fails those
// that had attempts enough, and returns how many there were.
func (s *Source) requeue(ctx context.Context, match bson.D, why string) (int64, error) {
	spent := bson.D{{Key: "$and", Value: bson.A{
		match, bson.D{{Key: "attempts", Value: bson.D{{Key: "$gte", Value: s.cfg.MaxAttempts}}}},
	}}}
	failed, err := s.jobs.UpdateMany(ctx, spent, ended(bson.D{
		{Key: "state", Value: Failed},
		{Key: "error", Value: fmt.Sprintf("begun %d times and never ended; at last: %s", s.cfg.MaxAttempts, why)},
	}))
	if err != nil {
		return 0, err
	}
	queued, err := s.jobs.UpdateMany(ctx, match, bson.D{
		{Key: "$set", Value: bson.D{{Key: "state", Value: Queued}, {Key: "error", Value: why}}},
		{Key: "$unset", Value: bson.D{{Key: "server_id", Value: ""}}},
	})
	if err != nil {
		return failed.ModifiedCount, err
	}
	return failed.ModifiedCount + queued.ModifiedCount, nil
}
