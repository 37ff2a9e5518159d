package subscribers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fleetcast/fleetcast/event"
)

// DefaultWorkerKillWait is how long a killed worker may take to end unless
// [WorkerKillParameters] say otherwise.
const DefaultWorkerKillWait = 3 * time.Second

// WorkerControl is what the worker subscriber acts on.
type WorkerControl interface {
	// WorkerIDs returns the numbers of the present workers, rising.
	WorkerIDs() []int
	// StopWorker lets a worker finish its work and leave; it returns when it has
	// left or ctx has ended.
	StopWorker(ctx context.Context, id int) (WorkerOutcome, error)
	// KillWorker cancels a worker's work and waits for it, at most that long.
	KillWorker(ctx context.Context, id int, wait time.Duration) (WorkerOutcome, error)
	// WorkerDump returns the stacks of these workers, and logs them.
	WorkerDump(ctx context.Context, ids []int) (Dump, error)
}

// WorkerOutcome is how an action on one worker ended.
type WorkerOutcome struct {
	ID    int    `bson:"id" json:"id"`
	State string `bson:"state" json:"state"` // stopped or abandoned
	Error string `bson:"error,omitempty" json:"error,omitempty"`
	// Stack is what the abandoned work is doing.
	Stack string `bson:"stack,omitempty" json:"stack,omitempty"`
}

// WorkerOutcomes is the result of worker stop and worker kill.
type WorkerOutcomes struct {
	Workers []WorkerOutcome `bson:"workers" json:"workers"`
}

// WorkerKillParameters are those of worker kill.
type WorkerKillParameters struct {
	// WaitTimeout is how long cancelled work may take to end before the worker
	// is abandoned. Default 3 s.
	WaitTimeout Duration `bson:"wait_timeout" json:"wait_timeout" doc:"how long cancelled work may take to end before the worker is abandoned"`
}

// SetDefaults implements event.Defaulter.
func (p *WorkerKillParameters) SetDefaults() { p.WaitTimeout = Duration(DefaultWorkerKillWait) }

// Worker is the subscriber "worker". Its actions are for the workers in the
// event's target that this server has; without worker ids, for all of them.
type Worker struct{ Control WorkerControl }

// Name implements event.Subscriber.
func (w *Worker) Name() string { return "worker" }

// Actions implements event.Subscriber.
func (w *Worker) Actions() []event.Action {
	return []event.Action{
		event.OnResult("stop", w.stop, event.Concurrent(), event.ExpiresAfter(DefaultExpiry),
			event.Doc("let the worker finish its work and leave; another takes its place")),
		event.OnResult("kill", w.kill, event.Concurrent(), event.ExpiresAfter(DefaultExpiry),
			event.Doc("cancel the worker's work; another takes its place")),
		event.OnResult("thread_dump", w.threadDump, event.Concurrent(), event.ExpiresAfter(DefaultExpiry),
			event.Doc("write the worker's stack to the log, and answer with it")),
	}
}

func (w *Worker) stop(ctx context.Context, _ event.None) (WorkerOutcomes, error) {
	return w.each(ctx, w.Control.StopWorker)
}

func (w *Worker) kill(ctx context.Context, p WorkerKillParameters) (WorkerOutcomes, error) {
	return w.each(ctx, func(ctx context.Context, id int) (WorkerOutcome, error) {
		return w.Control.KillWorker(ctx, id, time.Duration(p.WaitTimeout))
	})
}

func (w *Worker) threadDump(ctx context.Context, _ event.None) (Dump, error) {
	ids := w.meant(ctx)
	if len(ids) == 0 { // an empty list would mean all
		return Dump{}, event.Refuse("the worker has left meanwhile")
	}
	return w.Control.WorkerDump(ctx, ids)
}

// each acts on all workers that are meant at once: one that hangs holds up no other.
func (w *Worker) each(ctx context.Context, act func(context.Context, int) (WorkerOutcome, error)) (WorkerOutcomes, error) {
	ids := w.meant(ctx)
	outcomes, faults := make([]WorkerOutcome, len(ids)), make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			outcomes[i], faults[i] = act(ctx, id)
			outcomes[i].ID = id
			if faults[i] != nil {
				outcomes[i].Error = faults[i].Error()
			}
		})
	}
	all.Wait()
	return WorkerOutcomes{Workers: outcomes}, errors.Join(faults...)
}

// meant returns the numbers of the present workers that the event is for.
func (w *Worker) meant(ctx context.Context) []int {
	present := w.Control.WorkerIDs()
	e, _ := event.FromContext(ctx)
	if len(e.Target.WorkerIDs) == 0 {
		return present
	}
	return slices.DeleteFunc(slices.Clone(present), func(id int) bool {
		return !slices.Contains(e.Target.WorkerIDs, id)
	})
}
