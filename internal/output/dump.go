package output

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/stacks"
	"github.com/fleetcast/fleetcast/subscribers"
)

// Dumped is the dump of one worker, or of one process.
type Dumped struct {
	ID         bson.ObjectID // of the server: its successor may have the same name
	Server     string
	Worker     subscribers.WorkerStack // its ID is 0 for a process
	Places     string                  // see subscribers.ProcessStacks
	Goroutines []stacks.Goroutine
	Rest       string // what is not Go's
}

// DumpsOf returns the dumps in an answer, which may be none. One that has failed has
// those of the workers with which it went well.
func DumpsOf(e event.Event, r event.Reply) (dumps []Dumped) {
	var dump struct {
		subscribers.Dump          `bson:",inline"`
		subscribers.ProcessStacks `bson:",inline"` // of a logger
	}
	if e.Action != "thread_dump" || r.Kind != event.Done && r.Kind != event.Failed || r.Result(&dump) != nil {
		return nil
	}
	for _, w := range dump.Workers {
		dumps = append(dumps, newDumped(r, w, ""))
	}
	process := dump.Process
	if process == nil && dump.Stacks != "" {
		process = &dump.ProcessStacks
	}
	if process != nil {
		dumps = append(dumps, newDumped(r, subscribers.WorkerStack{Stack: process.Stacks, Cut: process.Cut}, process.Places))
	}
	return dumps
}

func newDumped(r event.Reply, w subscribers.WorkerStack, places string) Dumped {
	d := Dumped{ID: r.ServerID, Server: r.Server, Worker: w, Places: places}
	d.Goroutines, d.Rest = stacks.Parse(w.Stack)
	return d
}

// What is what the worker is at.
func (d Dumped) what() string {
	return strings.TrimSpace(d.Worker.Kind + " " + d.Worker.WorkID)
}

func (d Dumped) wait() (longest time.Duration) {
	for _, g := range d.Goroutines {
		longest = max(longest, g.Wait)
	}
	return longest
}

// byUrgency orders dumps: busy workers first, since an idle one waits for long
// without harm; then who waits longest, then whose work is oldest.
func byUrgency(a, b Dumped) int {
	if idle := cmp.Compare(b2i(a.Worker.BusySince.IsZero()), b2i(b.Worker.BusySince.IsZero())); idle != 0 {
		return idle
	}
	if a.Worker.ID != 0 && b.Worker.ID != 0 {
		if c := cmp.Or(cmp.Compare(b.wait(), a.wait()), a.Worker.BusySince.Compare(b.Worker.BusySince)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Worker.ID, b.Worker.ID))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// alike is the same text for workers of one server that are in the same state with
// their goroutines at the same places; "" for what is shown by itself.
func (d Dumped) alike() string {
	if d.Worker.ID == 0 || len(d.Goroutines) == 0 || strings.TrimSpace(d.Rest) != "" || d.Worker.Cut > 0 {
		return ""
	}
	var places []string
	for _, g := range d.Goroutines {
		places = append(places, g.Place())
	}
	slices.Sort(places)
	return d.ID.Hex() + d.Worker.State + "\n" + strings.Join(places, "\n")
}

// Blocks puts together what is shown under one heading, in the order of the first of
// each. With separate, each dump is by itself.
func Blocks(dumps []Dumped, separate bool) (all [][]Dumped) {
	ordered := slices.SortedStableFunc(slices.Values(dumps), byUrgency)
	index := map[string]int{}
	for _, d := range ordered {
		key := d.alike()
		if i, ok := index[key]; ok && key != "" && !separate {
			all[i] = append(all[i], d)
			continue
		}
		index[key] = len(all)
		all = append(all, []Dumped{d})
	}
	return all
}

// Title is the heading of a block.
func Title(block []Dumped) string {
	d := block[0]
	switch {
	case d.Worker.ID == 0:
		return d.Server
	case len(block) == 1:
		title := strings.TrimSpace(fmt.Sprintf("%s worker %d: %s %s", d.Server, d.Worker.ID, d.Worker.State, d.what()))
		if about := strings.Join(strings.Fields(d.Worker.Description), " "); about != "" {
			title += ": " + about
		}
		return title
	}
	const most = 10
	var workers []string
	for i, d := range block {
		if i == most {
			workers = append(workers, "…")
			break
		}
		workers = append(workers, strings.TrimSpace(fmt.Sprintf("%d %s", d.Worker.ID, d.what())))
	}
	return fmt.Sprintf("%s: %d workers %s alike: %s", d.Server, len(block), d.Worker.State, strings.Join(workers, ", "))
}

// GoroutinesOf returns the goroutines of a block.
func GoroutinesOf(block []Dumped) (all []stacks.Goroutine) {
	for _, d := range block {
		all = append(all, d.Goroutines...)
	}
	return all
}

// CutNote says how many goroutines are not shown; empty for none.
func CutNote(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("… and %s more: the dump was too large\n", Plural(n, "goroutine"))
}
