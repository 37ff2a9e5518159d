package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/stacks"
)

// diffOutput is what has not moved between two dumps.
type diffOutput struct {
	EventIDs []string           `json:"event_ids"` // of both dumps
	Servers  []serverDiffOutput `json:"servers"`   // busy workers first, and those of them that stand still
	Calls    []callOutput       `json:"calls"`     // how both went, without the replies
}

type serverDiffOutput struct {
	ServerID string            `json:"server_id"`
	Server   string            `json:"server"`
	WorkerID int               `json:"worker_id,omitempty"` // absent for a whole process
	State    string            `json:"state,omitempty"`
	Kind     string            `json:"kind,omitempty"`
	WorkID   string            `json:"work_id,omitempty"`
	New      bool              `json:"new"` // was not in the first dump: nothing is compared
	Still    []goroutineOutput `json:"still"`
	Moved    int               `json:"moved"`
	Ended    int               `json:"ended"`
	Started  int               `json:"started"`

	dumped dumped
	groups []stacks.Group
}

type goroutineOutput struct {
	ID     int               `json:"id"`
	State  string            `json:"state"`
	WaitMS int64             `json:"wait_ms"` // in whole minutes
	Labels map[string]string `json:"labels,omitempty"`
	Stack  string            `json:"stack"`
}

// diff takes two dumps of the same servers and shows what they have in common.
func (a *app) diff(ctx context.Context, bus *event.Bus, act *acting, e event.Event, apart time.Duration) error {
	first, before, _, err := a.takeDumps(ctx, bus, act, e)
	if err != nil {
		return err
	}
	a.say("%d of %d servers have answered; the second dump comes in %s\n", before.Done, before.Matched, apart)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(apart):
	}
	again := event.New(e.Name, e.Action, e.Parameters, event.To(e.Target))
	second, sum, _, err := a.takeDumps(ctx, bus, act, again)
	if err != nil {
		return err
	}
	out := diffOutput{
		EventIDs: []string{e.ID.Hex(), again.ID.Hex()}, Servers: compareAll(first, second),
		Calls: []callOutput{toCallOutput(e, before, nil), toCallOutput(again, sum, nil)},
	}
	if a.output != "text" {
		err = a.printJSON(out)
	} else {
		a.printDiff(out.Servers, apart)
		err = a.printSummary(again, sum, nil)
	}
	if err != nil {
		return err
	}
	return a.ended(ctx, act, again, sum)
}

func compareAll(first, second []dumped) []serverDiffOutput {
	list := []serverDiffOutput{}
	for _, after := range second {
		i := slices.IndexFunc(first, func(before dumped) bool {
			return before.id == after.id && before.worker.ID == after.worker.ID
		})
		if i < 0 {
			list = append(list, newDiff(after))
		} else {
			list = append(list, compare(first[i], after))
		}
	}
	slices.SortStableFunc(list, func(a, b serverDiffOutput) int {
		return cmp.Or(cmp.Compare(b2i(len(a.Still) == 0), b2i(len(b.Still) == 0)), byUrgency(a.dumped, b.dumped))
	})
	return list
}

func newDiff(d dumped) serverDiffOutput {
	return serverDiffOutput{
		ServerID: d.id.Hex(), Server: d.server, WorkerID: d.worker.ID, State: d.worker.State, Kind: d.worker.Kind,
		WorkID: d.worker.WorkID, New: true, Still: []goroutineOutput{}, dumped: d,
	}
}

// compare counts a worker that has gone on to other work as moved, though it stands
// where all work stands.
func compare(before, after dumped) serverDiffOutput {
	d := stacks.Diff(before.goroutines, after.goroutines)
	if !sameWork(before, after) {
		still := slices.DeleteFunc(d.Still, isWorker)
		d.Moved += len(d.Still) - len(still)
		d.Still = still
	}
	out := newDiff(after)
	out.New, out.Moved, out.Ended, out.Started, out.groups = false, d.Moved, d.Ended, d.Started, stacks.Grouped(d.Still)
	for _, g := range d.Still {
		out.Still = append(out.Still, goroutineOutput{ID: g.ID, State: g.State, WaitMS: g.Wait.Milliseconds(), Labels: g.Labels, Stack: g.Raw})
	}
	return out
}

func sameWork(before, after dumped) bool {
	a, b := before.worker, after.worker
	return a.BusySince.Equal(b.BusySince) && a.Kind == b.Kind && a.WorkID == b.WorkID
}

// isWorker reports whether it is a worker's own goroutine.
func isWorker(g stacks.Goroutine) bool {
	return slices.ContainsFunc(g.Frames, func(f stacks.Frame) bool { return strings.HasSuffix(f.Func, "/worker.(*worker).loop") })
}

func (a *app) printDiff(list []serverDiffOutput, apart time.Duration) {
	for _, s := range list {
		a.printf("=== %s\n", title([]dumped{s.dumped}))
		switch {
		case s.New:
			a.printf("was not there in the first dump\n\n")
		case len(s.dumped.goroutines) == 0 || s.dumped.goroutines[0].ID == 0:
			a.printf("no goroutines that can be told apart: it is another program, or its tracebacks show no labels (GODEBUG=tracebacklabels=1)\n\n")
		default:
			a.printf("%s at the same place after %s, %d moved, %d ended, %d new\n\n", plural(len(s.Still), "goroutine"), apart, s.Moved, s.Ended, s.Started)
			if len(s.groups) > 0 {
				_ = stacks.Write(a.Stdout, s.groups)
				a.printf("\n")
			}
		}
	}
}
