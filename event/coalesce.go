package event

import (
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Coalesced lets subscribers merge the event with others of the same action that
// are published with it, as Serf does: the action runs once, with the last of them
// in the order of the collection, when none has come for Config.CoalesceQuiet, or
// after Config.CoalesceMax. Events without it do not wait. Whoever called a merged
// event gets the answer done with a [Superseded]. Durable subscriptions merge
// nothing; others hold back a thousand different ones at a time, and let further
// ones pass at once.
func Coalesced() Option { return func(e *Event) { e.Coalesce = true } }

// Superseded is the result of an event that was merged with a later one.
type Superseded struct {
	By bson.ObjectID `bson:"superseded_by" json:"superseded_by"`
}

// CoalesceBy tells events for the action apart by the text of a parameter: only
// those are merged in which it is the same.
func CoalesceBy(parameter string) ActionOption {
	return func(a *Action) { a.coalesceBy = parameter }
}

const (
	defaultCoalesceQuiet = time.Second
	defaultCoalesceMax   = 3 * time.Second
)

// maxHeld bounds what a subscription holds back, however many names there are.
const maxHeld = 1000

// coalescer holds back what may be merged, for one subscription.
type coalescer struct {
	mu      sync.Mutex
	pending map[coalesceKey]*merged
}

type coalesceKey struct{ action, parameter string }

// merged is what has been merged so far: the last event.
type merged struct {
	last         delivery
	quiet, limit *time.Timer
}

func (d delivery) coalesceKey() coalesceKey {
	key := coalesceKey{action: d.action.name}
	if d.action.coalesceBy != "" {
		key.parameter, _ = d.answer.event.Parameters.Lookup(d.action.coalesceBy).StringValueOK()
	}
	return key
}

// hold takes a delivery that may be merged; ready is called with what is due.
func (c *coalescer) hold(d delivery, quiet, limit time.Duration, ready func(delivery)) {
	if !c.add(d, quiet, limit, ready) {
		ready(d)
	}
}

// add is false when too much is held back already.
func (c *coalescer) add(d delivery, quiet, limit time.Duration, ready func(delivery)) bool {
	key := d.coalesceKey()
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.pending[key]; m != nil {
		m.last.finish(Superseded{By: d.answer.event.ID}, nil, false, 0)
		m.last = d
		m.quiet.Reset(quiet)
		return true
	}
	if len(c.pending) >= maxHeld {
		return false
	}
	m := &merged{last: d}
	due := func() {
		if d, ok := c.release(key, m); ok {
			ready(d)
		}
	}
	m.quiet, m.limit = time.AfterFunc(quiet, due), time.AfterFunc(limit, due)
	if c.pending == nil {
		c.pending = map[coalesceKey]*merged{}
	}
	c.pending[key] = m
	return true
}

// release takes out what is due, unless it has been.
func (c *coalescer) release(key coalesceKey, m *merged) (delivery, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[key] != m {
		return delivery{}, false
	}
	m.quiet.Stop()
	m.limit.Stop()
	delete(c.pending, key)
	return m.last, true
}

// releaseAll takes out everything.
func (c *coalescer) releaseAll() (due []delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, m := range c.pending {
		m.quiet.Stop()
		m.limit.Stop()
		delete(c.pending, key)
		due = append(due, m.last)
	}
	return due
}

// flush runs what is held back, when the bus stops: it waits for it up to the drain
// time.
func (b *Bus) flush() {
	var running sync.WaitGroup
	for _, subs := range b.byName() {
		for _, s := range subs {
			for _, d := range s.held.releaseAll() {
				running.Add(1)
				d.done = running.Done
				if !s.offer(d) {
					d.refuse("the server is stopping")
				}
			}
		}
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	timer := time.NewTimer(b.cfg.DrainTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// end tells whoever waits for the delivery that it is over.
func (d delivery) end() {
	if d.done != nil {
		d.done()
	}
}
