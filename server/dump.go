package server

import (
	"context"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/stacks"
	"github.com/fleetcast/fleetcast/subscribers"
)

func (c *control) ThreadDump(ctx context.Context, process bool) (subscribers.Dump, error) {
	if !process {
		return c.WorkerDump(ctx, nil)
	}
	all := subscribers.TakeStacks()
	c.logger(ctx).Log().Int("goroutines", all.Goroutines).Msg(all.Log())
	return subscribers.Dump{Workers: []subscribers.WorkerStack{}, Process: &all}, nil
}

// WorkerDump logs one line for each worker, and returns the same.
func (c *control) WorkerDump(ctx context.Context, ids []int) (subscribers.Dump, error) {
	dump := subscribers.Dump{Workers: []subscribers.WorkerStack{}}
	if c.pool == nil {
		return dump, event.Refuse("this server has no workers; a thread dump of the whole process is to be had")
	}
	found, err := c.pool.Stacks(ids...) // an error says which worker has left; the others' stacks are there
	left := subscribers.MaxDump
	for _, stack := range found {
		w := stack.Worker
		logStack(c.logger(ctx), stack)
		one := subscribers.WorkerStack{ID: w.ID, State: string(w.State), Kind: w.Kind, WorkID: w.WorkID, Stack: stack.Text}
		if stack.Raw != "" {
			one.Stack, one.Cut = stacks.Limit(stack.Raw, left)
		}
		left = max(0, left-len(one.Stack))
		dump.Workers = append(dump.Workers, one)
	}
	return dump, err
}
