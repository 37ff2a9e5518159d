package worker

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strconv"

	"github.com/google/pprof/profile"

	"github.com/fleetcast/fleetcast/internal/stacks"
)

// The profiler labels of every worker's goroutine and of all goroutines that its
// work starts.
const (
	LabelPool   = "fleetcast_pool"   // tells the pools of one process apart
	LabelWorker = "fleetcast_worker" // the worker's number
)

// Stack is where one worker is.
type Stack struct {
	Worker Status

	// Text shows all goroutines of the worker and its work like Go's own
	// traceback. Equal stacks are shown once with their number, and it depends
	// on nothing but where the goroutines are: two texts can be compared. Of
	// work that has Hooks.Dump it shows that dump instead, or why there is none.
	Text string

	// Raw is the part of the runtime's own traceback that is the worker's and its
	// work's: with numbers and waiting times. It is empty unless tracebacks show
	// labels (GODEBUG has tracebacklabels=1; os.Setenv at the start of a program will
	// do), for work that has Hooks.Dump, and when all goroutines of the process take
	// more than 16 MiB.
	Raw string
}

// Stacks returns a thread dump of these workers, or of all when no number is
// given, by number: for each one, all goroutines started by it or its work, and
// none of another's. For numbers that are unknown it returns [ErrNoWorker], and
// for work whose Hooks.Dump failed its error, together with the stacks of all.
//
// It stops the process for the moments of one goroutine profile and one traceback,
// however many workers are asked for, and waits at most 5 s for the dumps of hooks.
func (p *Pool) Stacks(ids ...int) ([]Stack, error) {
	chosen, unknown := p.choose(ids)
	found := p.goroutines(chosen)
	return found, errors.Join(unknown, p.dumps(found))
}

func (p *Pool) choose(ids []int) (chosen []Status, unknown error) {
	chosen = p.Workers()
	if len(ids) == 0 {
		return chosen, nil
	}
	var faults []error
	for _, id := range ids {
		if !slices.ContainsFunc(chosen, func(w Status) bool { return w.ID == id }) {
			faults = append(faults, fmt.Errorf("worker %d: %w", id, ErrNoWorker))
		}
	}
	chosen = slices.DeleteFunc(chosen, func(w Status) bool { return !slices.Contains(ids, w.ID) })
	return chosen, errors.Join(faults...)
}

// goroutines returns the stacks of workers' goroutines.
func (p *Pool) goroutines(workers []Status) []Stack {
	samples, err := p.samples()
	raw := p.tracebacks()
	found := make([]Stack, 0, len(workers))
	for _, w := range workers {
		id := strconv.Itoa(w.ID)
		text := traceback(w, samples[id])
		if err != nil {
			text = "no stack: " + err.Error()
		}
		found = append(found, Stack{Worker: w, Text: text, Raw: raw[id]})
	}
	return found
}

// maxTraceback bounds the traceback of the process, in bytes, and with it how long the
// world stands still: a second or so.
const maxTraceback = 16 << 20

// tracebacks takes a traceback and returns this pool's part of it, by the label
// of the worker.
func (p *Pool) tracebacks() map[string]string {
	text, missing := stacks.Take(maxTraceback)
	if missing > 0 {
		return nil // whose they are is not known: the profile has all
	}
	goroutines, _ := stacks.Parse(text)
	byWorker := map[string]string{}
	for _, g := range goroutines {
		if worker := g.Labels[LabelWorker]; worker != "" && g.Labels[LabelPool] == p.id {
			byWorker[worker] += g.Raw + "\n"
		}
	}
	return byWorker
}

// samples takes a goroutine profile and returns this pool's part of it, by the
// label of the worker.
func (p *Pool) samples() (map[string][]*profile.Sample, error) {
	var encoded bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&encoded, 0); err != nil {
		return nil, fmt.Errorf("taking a goroutine profile: %w", err)
	}
	all, err := profile.ParseData(encoded.Bytes())
	if err != nil {
		return nil, fmt.Errorf("reading the goroutine profile: %w", err)
	}
	byWorker := map[string][]*profile.Sample{}
	for _, sample := range all.Sample {
		if worker := sample.Label[LabelWorker]; len(worker) > 0 && sample.HasLabel(LabelPool, p.id) {
			byWorker[worker[0]] = append(byWorker[worker[0]], sample)
		}
	}
	return byWorker, nil
}
