package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/stacks"
)

// dumpsShown is how many thread dumps the list has.
const dumpsShown = 100

// answersOf returns an event with the last answer of each server, whole: those that this
// console keeps, or what the database still has.
func (c *Console) answersOf(ctx context.Context, id bson.ObjectID) (event.Event, []event.Reply, error) {
	if a := c.acts.find(id); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.event, slices.Clone(a.finals), nil
	}
	e := event.Event{ID: id}
	var since time.Time
	if seen, ok := c.feed.find(id); ok {
		e, since = seen.event, output.TimeOf(seen.event.Time)
	} else {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		record, err := c.registry.Recorded(ctx, id)
		if err != nil {
			return e, nil, err
		}
		e.Name, e.Action, since = record.Subscriber, record.Action, record.At
	}
	last, err := c.readReplies(ctx, id, since)
	return e, last, err
}

// clocksApart is how much earlier than its event's time an answer is looked for.
const clocksApart = time.Minute

// readReplies returns the last answer of each server that the database still has.
func (c *Console) readReplies(ctx context.Context, id bson.ObjectID, since time.Time) ([]event.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r := &replyReader{id: id, stop: cancel}
	if err := c.replies.Read(ctx, event.At(since.Add(-clocksApart)), r); err != nil {
		return nil, err
	}
	if !r.done {
		return nil, fmt.Errorf("the answers could not be read in %s: %w", readTimeout, ctx.Err())
	}
	return r.last, nil
}

// replyReader collects the last answers to one event, and stops when it has read all.
type replyReader struct {
	id    bson.ObjectID
	stop  context.CancelFunc
	done  bool
	whole event.Assembler
	last  []event.Reply
}

func (r *replyReader) Entry(raw bson.Raw, _ event.Position) {
	if of, _ := raw.Lookup("event_id").ObjectIDOK(); of != r.id {
		return
	}
	reply, err := event.DecodeReply(slices.Clone(raw))
	if err != nil {
		return
	}
	reply, whole := r.whole.Add(reply)
	if !whole || reply.Kind == event.Output {
		return
	}
	i := slices.IndexFunc(r.last, func(o event.Reply) bool { return o.ServerID == reply.ServerID })
	switch {
	case i < 0:
		r.last = append(r.last, reply)
	case reply.Kind.Final():
		r.last[i] = reply
	}
}

func (r *replyReader) Gap(event.Gap) {} // what is no longer kept is not there

func (r *replyReader) State(s event.State, _ event.Position, _ error) {
	if s == event.StateListening {
		r.done = true
		r.stop()
	}
}

// dumpsOf returns the thread dumps in the answers to an event.
func (c *Console) dumpsOf(ctx context.Context, text string) (event.Event, []output.Dumped, error) {
	id, err := parseID(text)
	if err != nil {
		return event.Event{}, nil, err
	}
	e, replies, err := c.answersOf(ctx, id)
	if err != nil {
		return e, nil, err
	}
	var dumps []output.Dumped
	for _, r := range replies {
		dumps = append(dumps, output.DumpsOf(e, r)...)
	}
	if len(dumps) == 0 {
		return e, nil, &pageError{http.StatusNotFound, "no stacks are in the answers to " + text + ": none came, or they are no longer kept"}
	}
	return e, dumps, nil
}

// dumpText serves the dumps as a text for keeping, as `fleetcast thread-dump` prints them.
func (c *Console) dumpText(r *request) error {
	_, dumps, err := c.dumpsOf(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.w.Header().Set("Content-Disposition", `attachment; filename="thread-dump-`+r.PathValue("id")+`.txt"`)
	for _, block := range output.Blocks(dumps, true) {
		d := block[0]
		_, err := fmt.Fprintf(r.w, "=== %s\n%s\n%s\n", output.Title(block), strings.TrimRight(d.Worker.Stack, "\n"), output.CutNote(d.Worker.Cut))
		if err != nil {
			return nil // the browser is gone
		}
	}
	return nil
}

// dumpsView is the list of thread dumps.
type dumpsView struct{ Lines []eventLine }

func (c *Console) dumpsPage(r *request) error {
	list, _, _ := c.feed.newest(dumpsShown, func(v view) bool { return v.event.Action == "thread_dump" })
	v := dumpsView{}
	for _, one := range list {
		v.Lines = append(v.Lines, lineOf(c.cfg.Base, one))
	}
	return c.show(r, "dumps", c.page(r, "Thread dumps", "dumps", v))
}

// compareView is two dumps side by side.
type compareView struct {
	Base         string
	A, B         string // ids of the events
	First, Later time.Time
	Workers      []compared
}

// Apart is the time between the two.
func (v compareView) Apart() string { return output.Short(v.Later.Sub(v.First).Abs()) }

// compared is one worker, or one process, in both dumps.
type compared struct {
	Title     string
	Words     string
	Stands    bool // it has goroutines that have not moved
	New       bool
	Opaque    bool // nothing in it can be told apart
	Left      []comparedGroup
	Right     []comparedGroup
	TextLeft  string // what is not Go's
	TextRight string
}

// comparedGroup is a stack with the goroutines that are at it.
type comparedGroup struct {
	ID    string
	Head  string
	Body  string
	Still int // of its goroutines
}

func (c *Console) comparePage(r *request) error {
	a, b := r.URL.Query().Get("a"), r.URL.Query().Get("b")
	if a == "" || b == "" || a == b {
		return &pageError{http.StatusUnprocessableEntity, "pick two different dumps to compare"}
	}
	eventA, first, err := c.dumpsOf(r.Context(), a)
	eventB, second, errB := c.dumpsOf(r.Context(), b)
	if err := errors.Join(err, errB); err != nil {
		return err
	}
	if eventB.ID.Timestamp().Before(eventA.ID.Timestamp()) {
		a, b, eventA, eventB, first, second = b, a, eventB, eventA, second, first
	}
	v := compareView{Base: c.cfg.Base, A: a, B: b, First: eventA.ID.Timestamp(), Later: eventB.ID.Timestamp()}
	for i, d := range output.Compare(first, second) {
		v.Workers = append(v.Workers, comparedOf(i, first, d))
	}
	if len(v.Workers) == 0 {
		return &pageError{http.StatusUnprocessableEntity, "the two dumps have no server in common"}
	}
	return c.show(r, "compare", c.page(r, "Two thread dumps", "dumps", v))
}

func comparedOf(n int, first []output.Dumped, d output.ServerDiff) compared {
	one := compared{Title: output.Title([]output.Dumped{d.Dumped}), New: d.New, Stands: len(d.Still) > 0}
	var before output.Dumped
	if i := slices.IndexFunc(first, func(o output.Dumped) bool { return o.ID == d.Dumped.ID && o.Worker.ID == d.Dumped.Worker.ID }); i >= 0 {
		before = first[i]
	}
	one.TextLeft, one.TextRight = strings.TrimSpace(before.Rest), strings.TrimSpace(d.Dumped.Rest)
	one.Opaque = len(d.Dumped.Goroutines) == 0 || d.Dumped.Goroutines[0].ID == 0
	switch {
	case d.New:
		one.Words = "was not there in the first dump"
	case one.Opaque:
		one.Words = "no goroutines that can be told apart: it is another program, or its tracebacks show no labels"
	default:
		one.Words = fmt.Sprintf("%s at the same place, %d moved, %d ended, %d new", output.Plural(len(d.Still), "goroutine"), d.Moved, d.Ended, d.Started)
	}
	still := map[int]bool{}
	for _, g := range d.Still {
		still[g.ID] = true
	}
	one.Left = comparedGroups(fmt.Sprintf("a-%d", n), before.Goroutines, still)
	one.Right = comparedGroups(fmt.Sprintf("b-%d", n), d.Dumped.Goroutines, still)
	return one
}

// comparedGroups are the stacks, those first that stand still.
func comparedGroups(prefix string, goroutines []stacks.Goroutine, still map[int]bool) (all []comparedGroup) {
	for i, g := range stacks.Grouped(goroutines) {
		head, body, _ := strings.Cut(g.String(), "\n")
		one := comparedGroup{ID: fmt.Sprintf("%s-%d", prefix, i), Head: head, Body: body}
		for _, goroutine := range g.Goroutines {
			if still[goroutine.ID] {
				one.Still++
			}
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b comparedGroup) int { return min(b.Still, 1) - min(a.Still, 1) })
	return all
}
