// Package riverhooks lets a worker built on riverqueue/river join a fleet,
// without workers of fleetcast's: pause, resume, stop and kill reach River's own
// by [server.Hooks]. It is an example, to be copied and changed.
//
//	jobs := riverhooks.New(riversqlite.New(db), river.Config{Queues: …, Workers: …})
//	err := jobs.Start(ctx)
//	srv, err := server.Open(ctx, fleetDB, nil, server.Config{Hooks: jobs.Hooks()})
//	err = errors.Join(srv.Run(ctx), jobs.Stop(ctx))
//
// Try it, with a store in another terminal (`fleetcast store`); River's jobs are
// in an SQLite file, its Postgres driver works likewise:
//
//	go run ./cmd/river -add 100
//	fleetcast pause
//
// # How River is paused
//
// River's Client.QueuePause is written to the queue's row: it pauses the queue
// for all clients, and outlives them. An event that is meant for one server must
// not do that. (Where each server has a queue of its own, call QueuePause and
// QueueResume in the hooks instead.) Removing the queue from the client and adding
// it again would do for one server, but has to wait for the queue's current jobs.
// So a pause stops the client, which goes on with its current jobs, and a resume
// starts another one. What follows:
//
//   - After a resume, jobs from before the pause run beside new ones: for a while
//     there may be up to MaxWorkers more of them than usual.
//   - A fetch that is under way in the moment of a pause is finished, and its jobs
//     are run.
//   - A paused client cannot be River's leader, which runs periodic and scheduled
//     jobs; another one takes over, and while all are paused nobody does.
//   - Only the client of [Worker.Client] is the living one; get it anew after a
//     resume. Any client can insert jobs, a stopped one too.
//
// A stop lets current jobs end. When it runs out of time, and at a kill, their
// contexts are cancelled; River retries what then fails, and counts the attempt.
//
// Between Start and the moment when the server has joined the fleet, jobs are
// taken even if a sticky pause holds the fleet.
package riverhooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"

	"github.com/fleetcast/fleetcast/server"
)

// grace is how long cancelled jobs may take to return. A server gives its hook up
// after 5 s.
const grace = 4 * time.Second

// Worker works River jobs. Its methods are safe for concurrent use.
type Worker[TTx any] struct {
	driver riverdriver.Driver[TTx]
	cfg    river.Config

	timeUp  context.Context // ends when a stop has no time left
	callOff context.CancelFunc

	mu      sync.Mutex
	client  *river.Client[TTx] // the last one
	working bool               // it fetches jobs
	ending  sync.WaitGroup
	fault   error // of clients that did not end
}

// New makes a Worker that takes no jobs before Start. Leave cfg.ID and
// cfg.SoftStopTimeout empty: clients need an id each, and the fleet's server has a
// time-out.
func New[TTx any](driver riverdriver.Driver[TTx], cfg river.Config) *Worker[TTx] {
	w := &Worker[TTx]{driver: driver, cfg: cfg}
	w.timeUp, w.callOff = context.WithCancel(context.Background())
	return w
}

// Hooks are what the fleet's server calls.
func (w *Worker[TTx]) Hooks() server.Hooks {
	return server.Hooks{Pause: w.Pause, Resume: w.Start, Stop: w.Stop}
}

// Client is the present client, to insert jobs with; nil before Start.
func (w *Worker[TTx]) Client() *river.Client[TTx] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.client
}

// Start takes jobs, for the first time or again. Their contexts have the values
// of ctx, but not its end.
func (w *Worker[TTx]) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.working {
		return nil
	}
	cfg := w.cfg // a client fills in the defaults
	client, err := river.NewClient(w.driver, &cfg)
	if err != nil {
		return fmt.Errorf("make a River client: %w", err)
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the River client: %w", err)
	}
	w.client, w.working = client, true
	return nil
}

// Pause takes no more jobs, and lets the current ones go on.
func (w *Worker[TTx]) Pause(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.working {
		return nil
	}
	last := w.client
	ended, end := context.WithCancel(context.Background())
	end()
	_ = last.Stop(ended) // begins to stop, and does not wait: end does
	w.working = false
	w.ending.Go(func() { w.end(last) })
	return nil
}

// end waits for the jobs of a client that takes no more.
func (w *Worker[TTx]) end(last *river.Client[TTx]) {
	select {
	case <-last.Stopped():
		return
	case <-w.timeUp.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := last.StopAndCancel(ctx); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fault = errors.Join(w.fault, fmt.Errorf("jobs of River client %s ignore the end of their context: %w", last.ID(), err))
	}
}

// Stop takes no more jobs, and returns when the current ones have ended. When ctx
// ends first, they are cancelled. It may be repeated.
func (w *Worker[TTx]) Stop(ctx context.Context) error {
	if err := w.Pause(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, w.callOff)()
	w.ending.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}
