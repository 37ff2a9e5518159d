package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

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
	for _, stack := range found {
		w := stack.Worker
		logStack(c.logger(ctx), stack)
		dump.Workers = append(dump.Workers, subscribers.WorkerStack{
			ID: w.ID, State: string(w.State), Kind: w.Kind, WorkID: w.WorkID, Description: w.Description,
			BusySince: w.BusySince, Stack: cmp.Or(stack.Raw, stack.Text),
		})
	}
	fit(dump.Workers, subscribers.MaxDump)
	return dump, err
}

// fit cuts the largest stacks, so that all together have at most about that many
// bytes: a worker that prints megabytes takes nothing from the others.
func fit(dumps []subscribers.WorkerStack, limit int) {
	bySize := make([]*subscribers.WorkerStack, 0, len(dumps))
	for i := range dumps {
		bySize = append(bySize, &dumps[i])
	}
	slices.SortStableFunc(bySize, func(a, b *subscribers.WorkerStack) int { return cmp.Compare(len(a.Stack), len(b.Stack)) })
	for i, d := range bySize {
		share := limit / (len(bySize) - i)
		if len(d.Stack) > share {
			d.Stack, d.Cut = shorten(d.Stack, share)
		}
		limit -= len(d.Stack)
	}
}

// shorten cuts after whole goroutines, and what another program has printed after
// whole lines.
func shorten(text string, limit int) (short string, goroutines int) {
	if short, goroutines = stacks.Limit(text, limit); goroutines > 0 {
		return short, goroutines
	}
	end := strings.LastIndexByte(text[:max(0, limit)], '\n') + 1
	return text[:end] + fmt.Sprintf("… %d bytes more are in the log of the server\n", len(text)-end), 0
}
