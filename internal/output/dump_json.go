package output

import (
	"slices"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/internal/stacks"
)

// Dump is what thread-dump prints: what every acting command does, and the
// dumps, in the order in which they would be shown.
type Dump struct {
	Call
	Dumps []WorkerDump `json:"dumps"`
}

// WorkerDump is one worker, or one process.
type WorkerDump struct {
	ServerID    string       `json:"server_id"`
	Server      string       `json:"server"`
	WorkerID    int          `json:"worker_id,omitempty"` // absent for a whole process
	State       string       `json:"state,omitempty"`
	Kind        string       `json:"kind,omitempty"`
	WorkID      string       `json:"work_id,omitempty"`
	Description string       `json:"description,omitempty"`
	BusySince   *time.Time   `json:"busy_since,omitempty"`
	Goroutines  int          `json:"goroutines"`     // that are shown
	Cut         int          `json:"cut,omitempty"`  // that are not
	Groups      []Goroutines `json:"groups"`         // none with --raw
	Text        string       `json:"text,omitempty"` // what is not Go's; with --raw, all
}

// Goroutines is a number of goroutines at the same place in the same state.
type Goroutines struct {
	Count     int                 `json:"count"`
	State     string              `json:"state"`
	WaitMS    int64               `json:"wait_ms"` // of the one that waits longest, in whole minutes
	IDs       []int               `json:"ids"`
	Labels    map[string][]string `json:"labels"` // all values that occur
	Frames    []Frame             `json:"frames"` // the innermost first
	CreatedBy *Frame              `json:"created_by"`
}

// Frame is one call.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file,omitempty"` // absent for a remark of the runtime's
	Line     int    `json:"line,omitempty"`
}

func toGroups(groups []stacks.Group) []Goroutines {
	list := []Goroutines{}
	for _, g := range groups {
		first := g.Goroutines[0]
		out := Goroutines{
			Count: len(g.Goroutines), State: first.State, WaitMS: first.Wait.Milliseconds(),
			IDs: []int{}, Labels: g.Labels(), Frames: []Frame{},
		}
		for _, one := range g.Goroutines {
			out.IDs = append(out.IDs, one.ID)
		}
		for _, f := range first.Frames {
			out.Frames = append(out.Frames, Frame{f.Func, f.File, f.Line})
		}
		if by := first.CreatedBy; by.Func != "" {
			out.CreatedBy = &Frame{by.Func, by.File, by.Line}
		}
		list = append(list, out)
	}
	return list
}

// ToDumps returns the dumps in the order in which they are shown; with raw, their text
// as it came.
func ToDumps(dumps []Dumped, raw bool) []WorkerDump {
	list := []WorkerDump{}
	for _, d := range slices.SortedStableFunc(slices.Values(dumps), byUrgency) {
		w := d.Worker
		out := WorkerDump{
			ServerID: d.ID.Hex(), Server: d.Server, WorkerID: w.ID, State: w.State, Kind: w.Kind, WorkID: w.WorkID,
			Description: w.Description, Goroutines: len(d.Goroutines), Cut: w.Cut, Groups: []Goroutines{}, Text: strings.TrimSpace(d.Rest),
		}
		if !w.BusySince.IsZero() {
			out.BusySince = &w.BusySince
		}
		if raw {
			out.Text = w.Stack
		} else {
			out.Groups = toGroups(stacks.Grouped(d.Goroutines))
		}
		list = append(list, out)
	}
	return list
}
