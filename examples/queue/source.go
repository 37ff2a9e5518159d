package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

const (
	claimTimeout  = 5 * time.Second
	reportTimeout = 30 * time.Second
)

// Handler does a job; its ctx ends when the worker is killed.
type Handler func(ctx context.Context, job Job) error

// Config configures a Source. The zero value works.
type Config struct {
	// Poll is how long to wait before looking for jobs again when there were
	// none. One worker of a server looks, the others wait for it. Default 1 s.
	Poll time.Duration
	// Sweep is the time between two looks for jobs of dead servers. Default 15 s.
	Sweep time.Duration
	// MaxAttempts is how often a job is begun that does not come to an end.
	// Default 5.
	MaxAttempts int
}

// Source hands the jobs of the queue to the workers of one server. It is safe
// for concurrent use, and has no goroutine of its own.
type Source struct {
	jobs     *mongo.Collection
	registry *server.Registry
	server   bson.ObjectID
	handle   Handler
	cfg      Config

	woken chan struct{} // holds a note when there may be new jobs
	turn  chan struct{} // held by the one worker that looks for jobs
	swept time.Time     // when jobs of dead servers were last looked for; of who has the turn
	unseen

	mu   sync.Mutex
	held map[bson.ObjectID]bool // the jobs that this server knows to be its own
}

// Open makes the Source of the server with that id. It creates the indexes if
// they are missing.
func Open(ctx context.Context, db *mongo.Database, serverID bson.ObjectID, handle Handler, cfg Config) (*Source, error) {
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Sweep = cmp.Or(cfg.Sweep, 15*time.Second)
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, 5)
	s := &Source{
		jobs: db.Collection(Collection), registry: server.NewRegistry(db), server: serverID, handle: handle, cfg: cfg,
		woken: make(chan struct{}, 1), turn: make(chan struct{}, 1), unseen: unseen{},
		held: map[bson.ObjectID]bool{},
	}
	return s, ensureIndexes(ctx, s.jobs)
}

// Name implements [event.Subscriber].
func (s *Source) Name() string { return "queue" }

// Actions implements [event.Subscriber]: with "queue wake" published after an
// Add, a server without work takes the job at once, not after Config.Poll.
func (s *Source) Actions() []event.Action {
	return []event.Action{event.On("wake", s.wake, event.Doc("look for new jobs now"))}
}

func (s *Source) wake(context.Context, event.None) error {
	select {
	case s.woken <- struct{}{}:
	default: // a note is there already
	}
	return nil
}

// Take implements [worker.Source].
func (s *Source) Take(ctx context.Context, f worker.Filter) (worker.Work, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return worker.Work{}, ctx.Err()
	}
	for ctx.Err() == nil {
		if err := s.sweepWhenDue(ctx); err != nil {
			return worker.Work{}, err
		}
		job, err := s.claim(ctx, f)
		switch {
		case err == nil:
			return s.work(job), nil
		case !errors.Is(err, mongo.ErrNoDocuments):
			return worker.Work{}, fmt.Errorf("claim a job: %w", err)
		}
		s.wait(ctx)
	}
	return worker.Work{}, ctx.Err()
}

func (s *Source) wait(ctx context.Context) {
	timer := time.NewTimer(s.cfg.Poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.woken:
	case <-timer.C:
	}
}

// claim makes the next job ours. Once begun it is finished whatever becomes of
// ctx: nobody would know of a claim whose answer was not awaited.
func (s *Source) claim(ctx context.Context, f worker.Filter) (job Job, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	query, err := s.query(ctx, f)
	if err != nil {
		return job, err
	}
	update := bson.D{
		{Key: "$set", Value: bson.D{{Key: "state", Value: Running}, {Key: "server_id", Value: s.server}}},
		{Key: "$inc", Value: bson.D{{Key: "attempts", Value: 1}}},
		{Key: "$currentDate", Value: bson.D{{Key: "claimed_at", Value: true}}},
	}
	first := options.FindOneAndUpdate().SetReturnDocument(options.After).
		SetSort(bson.D{{Key: "priority", Value: -1}, {Key: "_id", Value: 1}})
	err = s.jobs.FindOneAndUpdate(ctx, query, update, first).Decode(&job)
	return job, err
}

// query is what jobs must match to be taken. The patterns of a filter are not
// regular expressions; so they are applied here, to the kinds that are queued.
func (s *Source) query(ctx context.Context, f worker.Filter) (bson.D, error) {
	query := bson.D{{Key: "state", Value: Queued}}
	if len(f.Include)+len(f.Exclude) > 0 {
		var kinds []string
		if err := s.jobs.Distinct(ctx, "kind", query).Decode(&kinds); err != nil {
			return nil, err
		}
		passing := bson.A{}
		for _, kind := range kinds {
			if f.Match(kind) {
				passing = append(passing, kind)
			}
		}
		query = append(query, bson.E{Key: "kind", Value: bson.D{{Key: "$in", Value: passing}}})
	}
	if len(f.Where) > 0 {
		query = bson.D{{Key: "$and", Value: bson.A{query, f.Where}}}
	}
	return query, nil
}
