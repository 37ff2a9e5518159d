package server

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

// control is the Server as its built-in subscribers see it.
type control Server

var (
	_ subscribers.ServerControl = (*control)(nil)
	_ subscribers.WorkerControl = (*control)(nil)
)

func (c *control) server() *Server { return (*Server)(c) }

func (c *control) Pause(ctx context.Context) (subscribers.ServerState, error) {
	return c.changed(ctx, ChangePause, "server paused", "already paused", func() (bool, error) { return c.server().setPaused(ctx, true) })
}

func (c *control) Resume(ctx context.Context) (subscribers.ServerState, error) {
	state, err := c.changed(ctx, ChangeResume, "server resumed", "was not paused", func() (bool, error) { return c.server().setPaused(ctx, false) })
	if state.Note == "" && state.Lifecycle == string(Quiet) {
		state.Note = "it is quiet: it takes no new work all the same"
	}
	return state, err
}

func (c *control) Quiet(ctx context.Context) (subscribers.ServerState, error) {
	already := "already " + string(c.server().stage())
	return c.changed(ctx, ChangeQuiet, "server quiet", already, func() (bool, error) { return c.server().quiet(ctx) })
}

// changed makes a change, and answers when the registry shows it.
func (c *control) changed(ctx context.Context, what Change, did, already string, change func() (bool, error)) (subscribers.ServerState, error) {
	changed, err := c.server().perform(requested(ctx, what), change)
	if err != nil {
		return c.state(""), err
	}
	c.beats.show(ctx)
	if !changed {
		return c.state(already), nil
	}
	state := c.state("")
	c.log(ctx).Int("busy", state.Busy).Msg(did)
	return state, nil
}

func (c *control) Refresh(ctx context.Context) (subscribers.ServerState, error) {
	c.beats.show(ctx) // the beater is the only one that writes the entry
	return c.state(""), nil
}

func (c *control) Resize(ctx context.Context, maxWorkers int) (subscribers.ServerState, error) {
	s := c.server()
	return c.changed(ctx, ChangeResize, "server resized", fmt.Sprintf("already %d", maxWorkers), func() (bool, error) {
		if s.pool == nil {
			return false, event.Refuse("this server has no workers of its own to resize")
		}
		if err := s.refusal(); err != nil {
			return false, err
		}
		return s.pool.Resize(maxWorkers)
	})
}

func (c *control) Stop(ctx context.Context, timeout *time.Duration) (subscribers.ServerState, error) {
	s := c.server()
	limit := s.shutdownTimeout()
	if timeout != nil {
		limit = *timeout
	}
	c.log(ctx).Dur("timeout_ms", limit).Int("busy", c.state("").Busy).Msg("server stopping")
	s.stop(limit, requested(ctx, ChangeStop))
	return c.ended()
}

func (c *control) Kill(ctx context.Context, wait time.Duration) (subscribers.ServerState, error) {
	c.log(ctx).Int("busy", c.state("").Busy).Msg("server killed")
	c.server().kill(wait, requested(ctx, ChangeKill))
	return c.ended()
}

// ended waits until all work has ended and the registry is left, or could not be.
func (c *control) ended() (subscribers.ServerState, error) {
	<-c.drained // always comes: a pool that was told to stop ends within its time-outs
	c.mu.Lock()
	fault := c.fault
	c.mu.Unlock()
	return c.state(""), fault
}

// state is the result of an action.
func (c *control) state(note string) subscribers.ServerState {
	s := c.server()
	state := subscribers.ServerState{Note: note}
	for _, w := range s.workers() {
		if !w.BusySince.IsZero() {
			state.Busy++
		}
	}
	if s.pool != nil {
		state.MaxWorkers = s.pool.Size()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Lifecycle, state.Paused, state.Abandoned = string(s.lifecycle), s.paused, s.abandoned
	return state
}

func (c *control) WorkerIDs() []int {
	var ids []int
	for _, w := range c.server().workers() {
		ids = append(ids, w.ID)
	}
	return ids
}

func (c *control) StopWorker(ctx context.Context, id int) (subscribers.WorkerOutcome, error) {
	c.log(ctx).Int("worker_id", id).Msg("worker stopping")
	err := c.pool.StopWorker(ctx, id)
	return subscribers.WorkerOutcome{ID: id, State: string(worker.Stopped)}, err
}

func (c *control) KillWorker(ctx context.Context, id int, wait time.Duration) (subscribers.WorkerOutcome, error) {
	status, err := c.pool.KillWorker(ctx, id, wait)
	outcome := subscribers.WorkerOutcome{ID: id, State: string(status.State)}
	c.log(ctx).Int("worker_id", id).Str("state", outcome.State).Err(err).Msg("worker killed")
	if status.State != worker.Abandoned {
		return outcome, err
	}
	stacks, _ := c.pool.Stacks(id) // none when it has ended after all
	for _, stack := range stacks {
		logStack(c.logger(ctx), stack)
		outcome.Stack = cmp.Or(stack.Raw, stack.Text)
	}
	return outcome, err
}

// log begins a line that operators want to see: of the component server, although
// the bus has called.
func (c *control) log(ctx context.Context) *zerolog.Event { return c.logger(ctx).Info() }

func (c *control) logger(ctx context.Context) *zerolog.Logger {
	return zerolog.Ctx(c.server().ownLogger(ctx))
}
