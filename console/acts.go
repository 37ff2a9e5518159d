package console

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

const (
	keptActs  = 200      // acts whose answers are kept whole
	keptBytes = 64 << 20 // of their answers
)

// acts are those that this console has published, the newest last.
type acts struct {
	mu   sync.Mutex
	list []*act
}

// act is one event that this console has published, with the answers. The goroutine of
// its call writes; mu guards what pages read.
type act struct {
	event event.Event
	wait  time.Duration
	begun time.Time

	mu        sync.Mutex
	submitted chan struct{} // closed when it is published, or will not be
	done      chan struct{} // closed when it is over
	expected  []event.Member
	acked     map[bson.ObjectID]bool
	gone      map[bson.ObjectID]event.Outcome
	outputs   []event.Reply
	finals    []event.Reply
	size      int
	sum       event.Summary
	over      bool
	err       error
}

func newActs() *acts { return &acts{} }

// find returns an act; nil if it is not one of this console's, or is too long ago.
func (l *acts) find(id bson.ObjectID) *act {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.list, func(a *act) bool { return a.event.ID == id }); i >= 0 {
		return l.list[i]
	}
	return nil
}

// all returns the acts, the newest first.
func (l *acts) all() []*act {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.list)
	slices.Reverse(list)
	return list
}

// add keeps an act, and forgets the oldest that are over when they are too many or too
// large.
func (l *acts) add(a *act) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, a)
	size := 0
	for _, one := range l.list {
		size += one.bytes()
	}
	l.list = slices.DeleteFunc(l.list, func(one *act) bool {
		n, over := one.bytes(), one.isOver()
		if !over || (len(l.list) <= keptActs && size <= keptBytes) {
			return false
		}
		size -= n
		return true
	})
}

func (a *act) bytes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

func (a *act) isOver() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.over
}

// perform publishes an event and follows its answers, in a goroutine that ends with Run.
// It returns when the event is published, or will not be.
func (c *Console) perform(ctx context.Context, e event.Event, wait time.Duration) *act {
	a := &act{
		event: e, wait: wait, begun: time.Now(), submitted: make(chan struct{}), done: make(chan struct{}),
		acked: map[bson.ObjectID]bool{}, gone: map[bson.ObjectID]event.Outcome{},
	}
	c.acts.add(a)
	submitted := sync.OnceFunc(func() { close(a.submitted) })
	note := func(do func()) {
		a.mu.Lock()
		do()
		a.mu.Unlock()
		c.changed()
	}
	c.calls.Go(func() {
		defer close(a.done)
		defer submitted()
		ctx, cancel := context.WithTimeout(c.log.WithContext(c.running), wait+readTimeout)
		defer cancel()
		sum, err := c.bus.CallFunc(ctx, e, event.Callbacks{
			OnSubmit: func(expected []event.Member) {
				note(func() { a.expected = expected })
				submitted()
			},
			OnAck:    func(r event.Reply) { note(func() { a.acked[r.ServerID] = true }) },
			OnOutput: func(r event.Reply) { note(func() { a.keep(&a.outputs, r) }) },
			OnGone:   func(o event.Outcome) { note(func() { a.gone[o.ServerID] = o }) },
			OnExit:   func(r event.Reply) { note(func() { a.keep(&a.finals, r) }) },
		}, event.Wait(wait))
		note(func() { a.sum, a.err, a.over = sum, err, true })
	})
	select {
	case <-a.submitted:
	case <-ctx.Done():
	}
	return a
}

// keep notes an answer; what there is too much of is kept without its result.
func (a *act) keep(list *[]event.Reply, r event.Reply) {
	if a.size+len(r.Payload.Value) > keptBytes/2 {
		r.Payload, r.Truncated = bson.RawValue{}, true
	}
	a.size += len(r.Payload.Value) + len(r.Error)
	*list = append(*list, r)
}

// call is how it went with all answers; nil if it still goes, or went wrong before the end.
func (a *act) call() *output.Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over || a.err != nil {
		return nil
	}
	call := output.ToCall(a.event, a.sum, a.finals)
	return &call
}

// failed is why it could not be published, or its answers not be read.
func (a *act) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
