package embedded

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

const (
	firstBatch  = 101 // documents, as in MongoDB
	idleCursor  = 10 * time.Minute
	defaultWait = time.Second
	// ownCursor is set in the ids of our cursors, and not in FerretDB's, which
	// are below 1<<32.
	ownCursor int64 = 1 << 62
)

// cursor reads a capped collection. One getMore at a time holds it.
type cursor struct {
	id      int64
	coll    *capped
	filter  predicate
	project projection

	tailable, await, backward bool
	noTimeout                 bool
	skip                      int64
	limit                     int64 // documents still to be given; negative = no limit

	next, last uint64              // numbers of the document to read, and of the one read before
	results    []bsoncore.Document // of a sorted query, instead of a scan
	sorted     bool
	done       bool

	killed chan struct{}
	busy   bool      // guarded by cursors.mu, as is used
	used   time.Time // when the last command on it ended
}

// batch is the array of documents in a reply.
type batch struct {
	buf   []byte
	n     int
	limit int // negative = no limit
}

func newBatch(limit int) *batch {
	_, buf := bsoncore.AppendArrayStart(make([]byte, 0, 512))
	return &batch{buf: buf, limit: limit}
}

func (b *batch) full() bool { return b.limit >= 0 && b.n >= b.limit }

// add refuses a document that would make the reply too large.
func (b *batch) add(doc bsoncore.Document) bool {
	if b.n > 0 && len(b.buf)+len(doc) > maxDocument {
		return false
	}
	b.buf = bsoncore.AppendDocumentElement(b.buf, strconv.Itoa(b.n), doc)
	b.n++
	return true
}

// reply is the answer to the command that asked for the batch.
func (b *batch) reply(field, ns string, id int64) bsoncore.Document {
	array, _ := bsoncore.AppendArrayEnd(b.buf, 0)
	out := make([]byte, 0, len(array)+len(ns)+80)
	top, out := bsoncore.AppendDocumentStart(out)
	in, out := bsoncore.AppendDocumentElementStart(out, "cursor")
	out = bsoncore.AppendArrayElement(out, field, array)
	out = bsoncore.AppendInt64Element(out, "id", id)
	out = bsoncore.AppendStringElement(out, "ns", ns)
	out, _ = bsoncore.AppendDocumentEnd(out, in)
	out = bsoncore.AppendDoubleElement(out, "ok", 1)
	out, _ = bsoncore.AppendDocumentEnd(out, top)
	return out
}

// fill reads on until the batch is full or there is nothing more for now.
func (c *cursor) fill(b *batch) error {
	if c.sorted {
		c.fillSorted(b)
		return nil
	}
	var buf [chunk]bsoncore.Document
	for !c.done && !b.full() {
		n, from, err := c.coll.read(buf[:], c.next, c.last, c.backward)
		if err != nil {
			return err
		}
		if n == 0 {
			c.done = !c.tailable
			return nil
		}
		if c.next = from; !c.take(b, buf[:n]) {
			return nil
		}
	}
	return nil
}

// take moves the cursor over documents that it has read; it is false when the
// batch has no room for more.
func (c *cursor) take(b *batch, docs []bsoncore.Document) bool {
	for _, doc := range docs {
		if c.done || b.full() {
			return false
		}
		if c.filter(doc) && !c.give(b, doc) {
			return false
		}
		c.last = c.next
		if c.backward {
			c.next--
		} else {
			c.next++
		}
	}
	return true
}

// give puts a matching document into the batch; false means that it did not fit.
func (c *cursor) give(b *batch, doc bsoncore.Document) bool {
	if c.skip > 0 {
		c.skip--
		return true
	}
	if !b.add(c.project.apply(doc)) {
		return false
	}
	if c.limit--; c.limit == 0 {
		c.done = true
	}
	return true
}

func (c *cursor) fillSorted(b *batch) {
	for len(c.results) > 0 && !c.done && !b.full() && c.give(b, c.results[0]) {
		c.results = c.results[1:]
	}
	c.done = c.done || len(c.results) == 0
}

// fillWaiting is fill for a tail that waits for documents.
func (c *cursor) fillWaiting(ctx context.Context, b *batch, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		if err := c.fill(b); err != nil || b.n > 0 || c.done {
			return err
		}
		select {
		case <-c.coll.waiter(c.next):
		case <-timer.C:
			return nil
		case <-c.killed:
			return refuse(codeCursorKilled, "operation was interrupted because cursor %d was killed", c.id)
		case <-ctx.Done():
			return refuse(codeInterruptedAtClose, "the embedded store is shutting down, or the client has gone")
		}
	}
}

// cursors are the open cursors of a store. It is safe for concurrent use.
type cursors struct {
	mu   sync.Mutex
	open map[int64]*cursor
}

func (s *cursors) add(c *cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[int64]*cursor{}
	}
	for c.id == 0 || s.open[c.id] != nil {
		c.id = rand.Int64N(ownCursor) | ownCursor
	}
	c.killed, c.used = make(chan struct{}), time.Now()
	s.open[c.id] = c
}

// take lends a cursor to one getMore.
func (s *cursors) take(id int64, ns string) (*cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[id]
	switch {
	case c == nil:
		return nil, refuse(codeCursorNotFound, "cursor id %d not found", id)
	case c.coll.namespace() != ns:
		return nil, refuse(codeUnauthorized, "Requested getMore on namespace '%s', but cursor belongs to a different namespace %s",
			ns, c.coll.namespace())
	case c.busy:
		return nil, refuse(codeCursorInUse, "cursor id %d is already in use", id)
	}
	c.busy = true
	return c, nil
}

// release gives a cursor back, and forgets it when it is of no more use.
func (s *cursors) release(c *cursor, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy, c.used = false, time.Now()
	if !keep && s.open[c.id] == c {
		delete(s.open, c.id)
	}
}

func (s *cursors) kill(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[id]
	if c == nil {
		return false
	}
	delete(s.open, id)
	close(c.killed)
	return true
}

// sweep forgets the cursors that nobody has used for long.
func (s *cursors) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.open {
		if !c.busy && !c.noTimeout && now.Sub(c.used) > idleCursor {
			delete(s.open, id)
		}
	}
}
