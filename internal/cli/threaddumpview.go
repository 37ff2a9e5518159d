package cli

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

// dumped is the dump of one worker, or of one process.
type dumped struct {
	id         bson.ObjectID // of the server: its successor may have the same name
	server     string
	worker     subscribers.WorkerStack // its ID is 0 for a process
	places     string                  // see subscribers.ProcessStacks
	goroutines []stacks.Goroutine
	rest       string // what is not Go's
}

// dumpsOf returns the dumps in an answer, which may be none. One that has failed has
// those of the workers with which it went well.
func dumpsOf(e event.Event, r event.Reply) (dumps []dumped) {
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

func newDumped(r event.Reply, w subscribers.WorkerStack, places string) dumped {
	d := dumped{id: r.ServerID, server: r.Server, worker: w, places: places}
	d.goroutines, d.rest = stacks.Parse(w.Stack)
	return d
}

// what is what the worker is at.
func (d dumped) what() string {
	return strings.TrimSpace(d.worker.Kind + " " + d.worker.WorkID)
}

func (d dumped) wait() (longest time.Duration) {
	for _, g := range d.goroutines {
		longest = max(longest, g.Wait)
	}
	return longest
}

// byUrgency orders dumps: busy workers first, since an idle one waits for long
// without harm; then who waits longest, then whose work is oldest.
func byUrgency(a, b dumped) int {
	if idle := cmp.Compare(b2i(a.worker.BusySince.IsZero()), b2i(b.worker.BusySince.IsZero())); idle != 0 {
		return idle
	}
	if a.worker.ID != 0 && b.worker.ID != 0 {
		if c := cmp.Or(cmp.Compare(b.wait(), a.wait()), a.worker.BusySince.Compare(b.worker.BusySince)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.server, b.server), cmp.Compare(a.worker.ID, b.worker.ID))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// alike is the same text for workers of one server that are in the same state with
// their goroutines at the same places; "" for what is shown by itself.
func (d dumped) alike() string {
	if d.worker.ID == 0 || len(d.goroutines) == 0 || strings.TrimSpace(d.rest) != "" || d.worker.Cut > 0 {
		return ""
	}
	var places []string
	for _, g := range d.goroutines {
		places = append(places, g.Place())
	}
	slices.Sort(places)
	return d.id.Hex() + d.worker.State + "\n" + strings.Join(places, "\n")
}

// blocks puts together what is shown under one heading, in the order of the first of
// each. With separate, each dump is by itself.
func blocks(dumps []dumped, separate bool) (all [][]dumped) {
	ordered := slices.SortedStableFunc(slices.Values(dumps), byUrgency)
	index := map[string]int{}
	for _, d := range ordered {
		key := d.alike()
		if i, ok := index[key]; ok && key != "" && !separate {
			all[i] = append(all[i], d)
			continue
		}
		index[key] = len(all)
		all = append(all, []dumped{d})
	}
	return all
}

// title is the heading of a block.
func title(block []dumped) string {
	d := block[0]
	switch {
	case d.worker.ID == 0:
		return d.server
	case len(block) == 1:
		title := strings.TrimSpace(fmt.Sprintf("%s worker %d: %s %s", d.server, d.worker.ID, d.worker.State, d.what()))
		if about := strings.Join(strings.Fields(d.worker.Description), " "); about != "" {
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
		workers = append(workers, strings.TrimSpace(fmt.Sprintf("%d %s", d.worker.ID, d.what())))
	}
	return fmt.Sprintf("%s: %d workers %s alike: %s", d.server, len(block), d.worker.State, strings.Join(workers, ", "))
}

func (a *app) printDumps(dumps []dumped) {
	for _, block := range blocks(dumps, a.rawDumps) {
		a.printBlock(block)
	}
}

// printBlock groups what is Go's, and leaves all else as it is.
func (a *app) printBlock(block []dumped) {
	a.printf("=== %s\n", title(block))
	d := block[0]
	if len(block) == 1 {
		a.printStack(d.worker.Stack)
	} else {
		_ = stacks.Write(a.Stdout, stacks.Grouped(goroutinesOf(block)))
	}
	a.printf("%s\n", cutNote(d.worker.Cut))
	if d.places != "" {
		a.printf("Where all goroutines of %s are:\n\n%s\n", d.server, d.places)
	}
}

func goroutinesOf(block []dumped) (all []stacks.Goroutine) {
	for _, d := range block {
		all = append(all, d.goroutines...)
	}
	return all
}

// printStack groups what is Go's, and leaves all else as it is.
func (a *app) printStack(text string) {
	goroutines, rest := stacks.Parse(text)
	if a.rawDumps || len(goroutines) == 0 {
		a.printf("%s\n", strings.TrimRight(text, "\n"))
		return
	}
	if strings.TrimSpace(rest) != "" {
		a.printf("%s\n\n", strings.TrimRight(rest, "\n"))
	}
	_ = stacks.Write(a.Stdout, stacks.Grouped(goroutines))
}

func cutNote(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("… and %s more: the dump was too large\n", plural(n, "goroutine"))
}
