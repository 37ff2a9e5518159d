package event

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// lingerTime is how long the replies are read on after a call, for the next one to
// begin at once.
const lingerTime = 30 * time.Second

// callReader reads the replies for all calls of this process: one tail, which
// runs while there is a call. The first call starts its goroutine, the last one
// stops and joins it; while the Bus runs, that is left to a timer, or to the end
// of Run.
type callReader struct {
	log Log

	starting sync.Mutex // held while the tail is started or stopped
	stop     func()
	lingers  bool // the Bus runs
	idle     *time.Timer

	mu    sync.Mutex
	calls map[bson.ObjectID]*inbox
	fault error // why the answers cannot be read at present
}

// watch returns the replies to an event that is published after it returns.
func (c *callReader) watch(ctx context.Context, id bson.ObjectID) (*inbox, func(), error) {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.idle != nil {
		c.idle.Stop()
	}
	if c.stop == nil {
		from, err := c.log.Mark(ctx)
		if err != nil {
			return nil, nil, err
		}
		c.start(ctx, from)
	}
	box := newInbox()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[bson.ObjectID]*inbox{}
	}
	c.calls[id] = box
	return box, func() { c.leave(id, box) }, nil
}

func (c *callReader) start(ctx context.Context, from Position) {
	c.fault = nil // nobody else is there
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = c.log.Read(ctx, from, c) })
	c.stop = func() { cancel(); running.Wait() }
}

func (c *callReader) leave(id bson.ObjectID, box *inbox) {
	box.close()
	c.starting.Lock()
	defer c.starting.Unlock()
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
	switch {
	case !c.isIdle():
	case c.lingers:
		c.idle = time.AfterFunc(lingerTime, c.timeout)
	default:
		c.stopIdle()
	}
}

func (c *callReader) timeout() {
	c.starting.Lock()
	defer c.starting.Unlock()
	c.stopIdle()
}

// linger says whether the reader may go on between calls; when not, it returns
// after the reader has ended, unless there is a call.
func (c *callReader) linger(may bool) {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.lingers = may; may {
		return
	}
	if c.idle != nil {
		c.idle.Stop()
	}
	c.stopIdle()
}

// stopIdle ends the reader if there is no call. c.starting is held.
func (c *callReader) stopIdle() {
	if c.stop != nil && c.isIdle() {
		c.stop()
		c.stop = nil
	}
}

func (c *callReader) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) == 0
}

// Entry, Gap and State make it a Reader.

func (c *callReader) Entry(raw bson.Raw, _ Position) {
	id, ok := raw.Lookup("event_id").ObjectIDOK()
	if !ok {
		return
	}
	c.mu.Lock()
	box := c.calls[id]
	c.mu.Unlock()
	if box == nil {
		return
	}
	if r, err := DecodeReply(append(bson.Raw(nil), raw...)); err == nil {
		box.put(r)
	}
}

func (c *callReader) Gap(gap Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, box := range c.calls {
		box.gap = errors.New(gap.Reason)
	}
}

func (c *callReader) State(s State, _ Position, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.fault = err
	case s == StateListening:
		c.fault = nil
	}
}

// trouble says why answers may be missing that the servers have given.
func (c *callReader) trouble(box *inbox) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(box.gap, c.fault); err != nil {
		return fmt.Errorf("the answers could not all be read, servers without one may have given it: %w", err)
	}
	return nil
}

// inbox is an unbounded queue, so that a slow caller holds up no other. It is
// bounded by what the servers answer to one event.
type inbox struct {
	out  chan Reply
	wake chan struct{}
	done chan struct{}
	over sync.WaitGroup
	gap  error // answers were lost; the callReader's mutex guards it

	mu    sync.Mutex
	items []Reply
}

func newInbox() *inbox {
	b := &inbox{out: make(chan Reply), wake: make(chan struct{}, 1), done: make(chan struct{})}
	b.over.Go(b.run)
	return b
}

func (b *inbox) put(r Reply) {
	b.mu.Lock()
	b.items = append(b.items, r)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) run() {
	for {
		select {
		case <-b.done:
			return
		case <-b.wake:
		}
		b.mu.Lock()
		items := b.items
		b.items = nil
		b.mu.Unlock()
		for _, r := range items {
			select {
			case <-b.done:
				return
			case b.out <- r:
			}
		}
	}
}

func (b *inbox) close() {
	close(b.done)
	b.over.Wait()
}
