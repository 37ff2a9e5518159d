package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/worker"
)

// work is a claimed job as the pool runs it.
func (s *Source) work(job Job) worker.Work {
	s.hold(job, true)
	var log *zerolog.Logger
	interrupted := false
	return worker.Work{
		ID: job.ID.Hex(), Kind: job.Kind,
		Description: fmt.Sprintf("priority %d, attempt %d", job.Priority, job.Attempts),
		Run: func(ctx context.Context) error {
			log = zerolog.Ctx(ctx)
			err := s.handle(ctx, job)
			interrupted = err != nil && ctx.Err() != nil // killed, or out of time: not the job's fault
			return err
		},
		Report: func(err error) {
			defer s.hold(job, false)
			s.report(log, job, err, interrupted)
		},
	}
}

func (s *Source) hold(job Job, ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ours {
		s.held[job.ID] = true
	} else {
		delete(s.held, job.ID)
	}
}

// report writes the outcome, trying again while the database is away. If that
// takes too long the job is run again: see sweep.
func (s *Source) report(log *zerolog.Logger, job Job, outcome error, interrupted bool) {
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	for {
		ours, err := s.settle(ctx, job, outcome, interrupted)
		switch {
		case err == nil && !ours:
			log.Warn().Msg("the job was given to another server, because this one seemed lost: its outcome is not noted")
			return
		case err == nil:
			return
		case ctx.Err() != nil:
			log.Error().Err(err).Msg("cannot note the outcome of the job: it will be run again")
			return
		}
		pause(ctx, time.Second)
	}
}

// settle ends the claim, and reports whether it was still there.
func (s *Source) settle(ctx context.Context, job Job, outcome error, interrupted bool) (bool, error) {
	claim := bson.D{
		{Key: "_id", Value: job.ID}, {Key: "state", Value: Running},
		{Key: "server_id", Value: s.server}, {Key: "attempts", Value: job.Attempts},
	}
	if interrupted {
		n, err := s.requeue(ctx, claim, "interrupted: "+outcome.Error())
		return n > 0, err
	}
	set := bson.D{{Key: "state", Value: Completed}}
	if outcome != nil {
		set = bson.D{{Key: "state", Value: Failed}, {Key: "error", Value: outcome.Error()}}
	}
	result, err := s.jobs.UpdateOne(ctx, claim, ended(set))
	if err != nil {
		return false, err
	}
	return result.MatchedCount > 0, nil
}

// ended is the update of a job that has come to its end.
func ended(set bson.D) bson.D {
	return bson.D{
		{Key: "$set", Value: set},
		{Key: "$currentDate", Value: bson.D{{Key: "ended_at", Value: true}}},
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
