package output

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fleetcast/fleetcast/internal/stacks"
)

// Diff is what has not moved between two dumps.
type Diff struct {
	EventIDs []string     `json:"event_ids"` // of both dumps
	Servers  []ServerDiff `json:"servers"`   // busy workers first, and those of them that stand still
	Calls    []Call       `json:"calls"`     // how both went, without the replies
}

// ServerDiff is what has happened to one worker, or process.
type ServerDiff struct {
	ServerID string      `json:"server_id"`
	Server   string      `json:"server"`
	WorkerID int         `json:"worker_id,omitempty"` // absent for a whole process
	State    string      `json:"state,omitempty"`
	Kind     string      `json:"kind,omitempty"`
	WorkID   string      `json:"work_id,omitempty"`
	New      bool        `json:"new"` // was not in the first dump: nothing is compared
	Still    []Goroutine `json:"still"`
	Moved    int         `json:"moved"`
	Ended    int         `json:"ended"`
	Started  int         `json:"started"`

	Dumped Dumped         `json:"-"`
	Stills []stacks.Group `json:"-"` // Still, grouped
}

// Goroutine is one that has not moved.
type Goroutine struct {
	ID     int               `json:"id"`
	State  string            `json:"state"`
	WaitMS int64             `json:"wait_ms"` // in whole minutes
	Labels map[string]string `json:"labels,omitempty"`
	Stack  string            `json:"stack"`
}

// Compare compares the dumps of the same servers, those first that stand still.
func Compare(first, second []Dumped) []ServerDiff {
	list := []ServerDiff{}
	for _, after := range second {
		i := slices.IndexFunc(first, func(before Dumped) bool {
			return before.ID == after.ID && before.Worker.ID == after.Worker.ID
		})
		if i < 0 {
			list = append(list, newDiff(after))
		} else {
			list = append(list, compare(first[i], after))
		}
	}
	slices.SortStableFunc(list, func(a, b ServerDiff) int {
		return cmp.Or(cmp.Compare(b2i(len(a.Still) == 0), b2i(len(b.Still) == 0)), byUrgency(a.Dumped, b.Dumped))
	})
	return list
}

func newDiff(d Dumped) ServerDiff {
	return ServerDiff{
		ServerID: d.ID.Hex(), Server: d.Server, WorkerID: d.Worker.ID, State: d.Worker.State, Kind: d.Worker.Kind,
		WorkID: d.Worker.WorkID, New: true, Still: []Goroutine{}, Dumped: d,
	}
}

// compare counts a worker that has gone on to other work as moved, though it stands
// where all work stands.
func compare(before, after Dumped) ServerDiff {
	d := stacks.Diff(before.Goroutines, after.Goroutines)
	if !sameWork(before, after) {
		still := slices.DeleteFunc(d.Still, isWorker)
		d.Moved += len(d.Still) - len(still)
		d.Still = still
	}
	out := newDiff(after)
	out.New, out.Moved, out.Ended, out.Started, out.Stills = false, d.Moved, d.Ended, d.Started, stacks.Grouped(d.Still)
	for _, g := range d.Still {
		out.Still = append(out.Still, Goroutine{ID: g.ID, State: g.State, WaitMS: g.Wait.Milliseconds(), Labels: g.Labels, Stack: g.Raw})
	}
	return out
}

func sameWork(before, after Dumped) bool {
	a, b := before.Worker, after.Worker
	return a.BusySince.Equal(b.BusySince) && a.Kind == b.Kind && a.WorkID == b.WorkID
}

// isWorker reports whether it is a worker's own goroutine.
func isWorker(g stacks.Goroutine) bool {
	return slices.ContainsFunc(g.Frames, func(f stacks.Frame) bool { return strings.HasSuffix(f.Func, "/worker.(*worker).loop") })
}
