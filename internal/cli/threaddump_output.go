package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/internal/stacks"
)

// The structs of this file are JSON output, as those of output.go.

// dumpOutput is what thread-dump prints: what every acting command does, and the
// dumps, in the order in which they would be shown.
type dumpOutput struct {
	callOutput
	Dumps []workerDumpOutput `json:"dumps"`
}

// workerDumpOutput is one worker, or one process.
type workerDumpOutput struct {
	ServerID    string           `json:"server_id"`
	Server      string           `json:"server"`
	WorkerID    int              `json:"worker_id,omitempty"` // absent for a whole process
	State       string           `json:"state,omitempty"`
	Kind        string           `json:"kind,omitempty"`
	WorkID      string           `json:"work_id,omitempty"`
	Description string           `json:"description,omitempty"`
	BusySince   *time.Time       `json:"busy_since,omitempty"`
	Goroutines  int              `json:"goroutines"`     // that are shown
	Cut         int              `json:"cut,omitempty"`  // that are not
	Groups      []goroutineGroup `json:"groups"`         // none with --raw
	Text        string           `json:"text,omitempty"` // what is not Go's; with --raw, all
}

// goroutineGroup is a number of goroutines at the same place in the same state.
type goroutineGroup struct {
	Count     int                 `json:"count"`
	State     string              `json:"state"`
	WaitMS    int64               `json:"wait_ms"` // of the one that waits longest, in whole minutes
	IDs       []int               `json:"ids"`
	Labels    map[string][]string `json:"labels"` // all values that occur
	Frames    []frameOutput       `json:"frames"` // the innermost first
	CreatedBy *frameOutput        `json:"created_by"`
}

type frameOutput struct {
	Function string `json:"function"`
	File     string `json:"file,omitempty"` // absent for a remark of the runtime's
	Line     int    `json:"line,omitempty"`
}

func (a *app) toDumpOutputs(dumps []dumped) []workerDumpOutput {
	list := []workerDumpOutput{}
	for _, d := range slices.SortedStableFunc(slices.Values(dumps), byUrgency) {
		w := d.worker
		out := workerDumpOutput{
			ServerID: d.id.Hex(), Server: d.server, WorkerID: w.ID, State: w.State, Kind: w.Kind, WorkID: w.WorkID,
			Description: w.Description, Goroutines: len(d.goroutines), Cut: w.Cut, Groups: []goroutineGroup{}, Text: strings.TrimSpace(d.rest),
		}
		if !w.BusySince.IsZero() {
			out.BusySince = &w.BusySince
		}
		if a.rawDumps {
			out.Text = w.Stack
		} else {
			out.Groups = toGroups(stacks.Grouped(d.goroutines))
		}
		list = append(list, out)
	}
	return list
}

func toGroups(groups []stacks.Group) []goroutineGroup {
	list := []goroutineGroup{}
	for _, g := range groups {
		first := g.Goroutines[0]
		out := goroutineGroup{
			Count: len(g.Goroutines), State: first.State, WaitMS: first.Wait.Milliseconds(),
			IDs: []int{}, Labels: g.Labels(), Frames: []frameOutput{},
		}
		for _, one := range g.Goroutines {
			out.IDs = append(out.IDs, one.ID)
		}
		for _, f := range first.Frames {
			out.Frames = append(out.Frames, frameOutput{f.Func, f.File, f.Line})
		}
		if by := first.CreatedBy; by.Func != "" {
			out.CreatedBy = &frameOutput{by.Func, by.File, by.Line}
		}
		list = append(list, out)
	}
	return list
}
