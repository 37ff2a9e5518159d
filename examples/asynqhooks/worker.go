// Package asynqhooks lets a worker built on hibiken/asynq join a fleet, without
// workers of fleetcast's: pause, resume, stop and kill reach asynq's own by
// [server.Hooks]. It is an example, to be copied and changed.
//
//	tasks := asynqhooks.New(asynq.RedisClientOpt{Addr: addr}, handler, asynq.Config{Concurrency: 4})
//	err := tasks.Start(ctx)
//	srv, err := server.Open(ctx, db, nil, server.Config{Hooks: tasks.Hooks()})
//	err = errors.Join(srv.Run(ctx), tasks.Stop(ctx))
//
// Try it, with a store in another terminal (`fleetcast store`); it starts a Redis
// in its own process unless told of one:
//
//	go run ./cmd/asynq -add 100
//	fleetcast pause
//
// # How asynq is paused
//
// asynq's Inspector.PauseQueue pauses a queue for all processes: an event that is
// meant for one server must not do that. An [asynq.Server] by itself can cease to
// take tasks (its Stop), but not begin again. So a pause stops the server, which
// goes on with its current tasks, and a resume starts another one. What follows:
//
//   - After a resume, tasks from before the pause run beside new ones: for a while
//     there may be up to Concurrency more of them than usual.
//   - A task that asynq takes in the very moment of a pause may be put back.
//
// A stop lets current tasks end. When it runs out of time, and at a kill, asynq
// puts them back into their queues, without counting that as a retry, and cancels
// their contexts. Both take as long as asynq needs to end its sleep between two
// looks at an empty queue, Config.TaskCheckInterval.
//
// Between Start and the moment when the server has joined the fleet, tasks are
// taken even if a sticky pause holds the fleet.
package asynqhooks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/fleetcast/fleetcast/server"
)

const (
	// putBackAfter is asynq's ShutdownTimeout: the time from Shutdown, which we
	// call when it shall end, until it puts back what has not ended.
	putBackAfter = 500 * time.Millisecond
	// grace is how long cancelled tasks may take to return. A server gives its
	// hook up after 5 s.
	grace = 3 * time.Second
)

// Worker runs asynq tasks. Its methods are safe for concurrent use.
type Worker struct {
	redis   asynq.RedisConnOpt
	handler asynq.Handler
	cfg     asynq.Config

	timeUp  context.Context // ends when a stop has no time left
	callOff context.CancelFunc

	mu       sync.Mutex
	current  *pulling // nil while it takes no tasks
	ending   sync.WaitGroup
	unending int // tasks that ignored the end of their context
}

// New makes a Worker that takes no tasks before Start. Of cfg, ShutdownTimeout
// is ignored: the fleet's server has one.
func New(redis asynq.RedisConnOpt, handler asynq.Handler, cfg asynq.Config) *Worker {
	cfg.ShutdownTimeout = putBackAfter
	w := &Worker{redis: redis, handler: handler, cfg: cfg}
	w.timeUp, w.callOff = context.WithCancel(context.Background())
	return w
}

// Hooks are what the fleet's server calls.
func (w *Worker) Hooks() server.Hooks {
	return server.Hooks{Pause: w.Pause, Resume: w.Start, Stop: w.Stop}
}

// Start takes tasks, for the first time or again.
func (w *Worker) Start(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		return nil
	}
	next := &pulling{server: asynq.NewServer(w.redis, w.cfg), handler: w.handler, ended: make(chan struct{}, 1)}
	if err := next.server.Start(next); err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	w.current = next
	return nil
}

// Pause takes no more tasks, and lets the current ones go on.
func (w *Worker) Pause(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.current
	if last == nil {
		return nil
	}
	last.server.Stop()
	w.current = nil
	w.ending.Go(func() { w.end(last) })
	return nil
}

// end waits for the tasks of a server that takes no more, and ends it.
func (w *Worker) end(last *pulling) {
	last.idle(w.timeUp)
	last.server.Shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	left := last.idle(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unending += left
}

// Stop takes no more tasks, and returns when the current ones have ended. When
// ctx ends first, they are put back into their queues and cancelled. It may be
// repeated.
func (w *Worker) Stop(ctx context.Context) error {
	if err := w.Pause(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, w.callOff)()
	w.ending.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unending > 0 {
		return fmt.Errorf("%d asynq tasks ignore the end of their context; they were put back and may run twice", w.unending)
	}
	return nil
}

// pulling is one life of asynq: a server that takes tasks until it is stopped.
type pulling struct {
	server  *asynq.Server
	handler asynq.Handler
	ended   chan struct{} // told when a task has ended

	mu     sync.Mutex
	busy   int  // tasks that are under way
	closed bool // none begins any more
}

// ProcessTask implements [asynq.Handler]. asynq may have taken the task in the
// moment of its stop: it is run all the same, and waited for like the others.
func (p *pulling) ProcessTask(ctx context.Context, task *asynq.Task) error {
	if !p.begin() { // asynq is about to put it back
		<-ctx.Done()
		return ctx.Err()
	}
	defer p.end()
	return p.handler.ProcessTask(ctx, task)
}

func (p *pulling) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.busy++
	}
	return !p.closed
}

func (p *pulling) end() {
	p.mu.Lock()
	p.busy--
	p.mu.Unlock()
	select {
	case p.ended <- struct{}{}:
	default: // idle looks anyway
	}
}

// idle waits until no task is under way, or ctx ends, and lets none begin from
// then on. It returns how many there still are.
func (p *pulling) idle(ctx context.Context) (busy int) {
	for {
		p.mu.Lock()
		p.closed = p.closed || p.busy == 0 || ctx.Err() != nil
		busy = p.busy
		p.mu.Unlock()
		if busy == 0 || ctx.Err() != nil {
			return busy
		}
		select {
		case <-p.ended:
		case <-ctx.Done():
		}
	}
}
