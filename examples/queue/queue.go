// Package queue is a queue in MongoDB, as a [worker.Source] for the workers of a
// fleetcast server. It is an example: short enough to be read in five minutes and
// to be copied and changed.
//
//	id := bson.NewObjectID()
//	source, err := queue.Open(ctx, db, id, handler, queue.Config{})
//	srv, err := server.Open(ctx, db, source, server.Config{
//		Bus: event.Config{Identity: event.Identity{ServerID: id}},
//	})
//	_, err = srv.Bus().Subscribe(source) // optional: new jobs are seen at once
//	err = srv.Run(ctx)
//
// Try it, with a store in another terminal (`fleetcast store`):
//
//	go run ./cmd/queue -add 100
//	fleetcast servers --show-workers
//	fleetcast pause
//
// # What it promises
//
//   - Priority order, then the oldest first; by the job's id, so jobs that several
//     clients add within one second may be in either order.
//   - A job is run by one server at a time, and at least once. It is run again
//     when its server died, when it was killed or ran out of time at a stop, and
//     when its outcome could not be written for [Source]'s patience of 30 s. So
//     jobs must bear being repeated.
//   - A job that its own handler fails is failed, and stays so. One that was begun
//     Config.MaxAttempts times and never came to an end is failed too: it may be
//     what kills the servers.
//   - What a dead server held is queued again as soon as the registry shows that
//     server as lost, or no longer shows it. A server that only seemed dead may
//     still be at it, but what it reports is ignored.
//
// # Life of a job
//
//	             ┌── its server is lost, or it was interrupted ──┐
//	             ▼                                               │
//	Add ──► queued ──────────── claimed by a server ────────► running ──► completed
//	                                                             └──────► failed
package queue

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/worker"
)

var _ worker.Source = (*Source)(nil)

// Collection is where the jobs are, in the fleet's own database.
const Collection = "jobs"

// State is how far a job is.
type State string

// The states of a job.
const (
	Queued    State = "queued"
	Running   State = "running"
	Completed State = "completed"
	Failed    State = "failed"
)

// Job is one job's document.
type Job struct {
	ID       bson.ObjectID `bson:"_id"`
	Kind     string        `bson:"kind"`     // what a worker.Filter selects by
	Priority int           `bson:"priority"` // the higher the sooner
	Payload  bson.Raw      `bson:"payload,omitempty"`

	State     State         `bson:"state"`
	Attempts  int           `bson:"attempts"` // how often it was begun
	ServerID  bson.ObjectID `bson:"server_id,omitempty"`
	ClaimedAt time.Time     `bson:"claimed_at,omitempty"` // by the database's clock
	EndedAt   time.Time     `bson:"ended_at,omitempty"`   // likewise
	Error     string        `bson:"error,omitempty"`      // why it failed, or was queued again
}

// Add puts a job into the queue and returns its id. The payload is anything that
// encodes to a BSON document, or nil.
func Add(ctx context.Context, db *mongo.Database, kind string, priority int, payload any) (bson.ObjectID, error) {
	job := Job{ID: bson.NewObjectID(), Kind: kind, Priority: priority, State: Queued}
	if payload != nil {
		raw, err := bson.Marshal(payload)
		if err != nil {
			return bson.ObjectID{}, fmt.Errorf("encode the payload of a job %s: %w", kind, err)
		}
		job.Payload = raw
	}
	if _, err := db.Collection(Collection).InsertOne(ctx, job); err != nil {
		return bson.ObjectID{}, fmt.Errorf("add a job %s: %w", kind, err)
	}
	return job.ID, nil
}

// ensureIndexes creates what claims and filters look things up by.
func ensureIndexes(ctx context.Context, jobs *mongo.Collection) error {
	for _, keys := range []bson.D{
		{{Key: "state", Value: 1}, {Key: "priority", Value: -1}, {Key: "_id", Value: 1}},
		{{Key: "state", Value: 1}, {Key: "kind", Value: 1}},
	} {
		if _, err := jobs.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys}); err != nil {
			return fmt.Errorf("create the indexes of %s: %w", jobs.Name(), err)
		}
	}
	return nil
}
