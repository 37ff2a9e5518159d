package embedded

import (
	"crypto/rand"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// cappedOptions is what a capped collection was created with, and what was
// said about it since. It is the header of its file.
type cappedOptions struct {
	DB      string      `bson:"db"`
	Name    string      `bson:"name"`
	Size    int64       `bson:"size"`          // bytes of documents
	Max     int64       `bson:"max,omitempty"` // documents; 0 = no limit
	UUID    bson.Binary `bson:"uuid"`
	Indexes []index     `bson:"indexes,omitempty"` // beside that of _id; recorded only, queries scan
}

// index is an index that is listed but not made.
type index struct {
	Name string   `bson:"name"`
	Key  bson.Raw `bson:"key"`
}

func newUUID() bson.Binary {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: b}
}

// minCapped is the least size of a capped collection; others are rounded up
// to whole multiples of cappedUnit, as MongoDB's documentation of create says.
const (
	minCapped  = 4096
	cappedUnit = 256
)

func roundCapped(size int64) int64 {
	return max(minCapped, (size+cappedUnit-1)/cappedUnit*cappedUnit)
}

// capped is a capped collection: its documents in the order of insertion, the
// oldest of which go when the limits are reached. Documents are numbered from
// 1 and numbers are never used again. It is safe for concurrent use; documents
// in it are never changed.
type capped struct {
	clock *clock

	mu      sync.RWMutex
	opts    cappedOptions
	docs    []bsoncore.Document
	first   uint64 // number of docs[0]
	bytes   int64
	ids     map[string]uint64
	changed chan struct{} // closed at the next change; nil when nobody waits
	dropped bool
	file    *file // nil for a store in memory
}

func newCapped(opts cappedOptions, c *clock) *capped {
	return &capped{clock: c, opts: opts, first: 1, ids: map[string]uint64{}}
}

func (c *capped) namespace() string { return c.opts.DB + "." + c.opts.Name }

// errDropped tells that the collection went away before the operation began.
var errDropped = refuse(codeQueryPlanKilled, "collection dropped")

// insert stores a document and wakes the tails.
func (c *capped) insert(doc bsoncore.Document) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped {
		return errDropped
	}
	doc, err := prepare(doc, c.clock)
	if err != nil {
		return err
	}
	if int64(len(doc)) > c.opts.Size {
		return refuse(codeBadValue, "object to insert exceeds cappedMaxSize: %d bytes into %s of %d", len(doc), c.namespace(), c.opts.Size)
	}
	id, _ := lookup(doc, "_id")
	key := idKey(id)
	if _, ok := c.ids[key]; ok {
		return duplicate(c.namespace(), "_id_", field("_id", id))
	}
	if c.file != nil {
		if err := c.file.append(doc); err != nil {
			return refuse(codeOutOfDiskSpace, "insert into %s: %v", c.namespace(), err)
		}
	}
	c.add(key, doc)
	c.wake()
	c.compact()
	return nil
}

func field(key string, v bsoncore.Value) bsoncore.Document {
	return bsoncore.NewDocumentBuilder().AppendValue(key, v).Build()
}

// add appends a document and drops those that no longer fit.
func (c *capped) add(key string, doc bsoncore.Document) {
	c.ids[key] = c.first + uint64(len(c.docs))
	c.docs = append(c.docs, doc)
	c.bytes += int64(len(doc))
	for c.bytes > c.opts.Size || c.opts.Max > 0 && int64(len(c.docs)) > c.opts.Max {
		c.removeFirst()
	}
}

func (c *capped) removeFirst() {
	id, _ := lookup(c.docs[0], "_id")
	delete(c.ids, idKey(id))
	c.bytes -= int64(len(c.docs[0]))
	c.docs[0] = nil // the array lives until append moves on
	c.docs = c.docs[1:]
	c.first++
}

func (c *capped) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// compact rewrites the file when most of it is dropped documents. When that
// fails, the old file is as good, and the next insert tries again.
func (c *capped) compact() {
	if c.file != nil && c.file.wasteful(c.bytes) {
		_ = c.rewrite()
	}
}

func (c *capped) rewrite() error {
	if c.file == nil {
		return nil
	}
	if err := c.file.rewrite(c.opts, c.docs); err != nil {
		return refuse(codeOutOfDiskSpace, "rewrite %s: %v", c.namespace(), err)
	}
	return nil
}

// waiter returns a channel that is closed when a document numbered next or
// higher is there, or the collection goes.
func (c *capped) waiter(next uint64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped || c.first+uint64(len(c.docs)) > max(next, c.first) {
		return closedChannel
	}
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// drop ends the collection and every cursor on it.
func (c *capped) drop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	c.docs, c.ids = nil, nil
	c.wake()
	if c.file == nil {
		return nil
	}
	return c.file.remove()
}

func (c *capped) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	return c.file.close()
}

// byID returns the document with that _id, and its number.
func (c *capped) byID(id bsoncore.Value) (doc bsoncore.Document, n uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.ids[idKey(id)]
	if !ok {
		return nil, 0
	}
	return c.docs[n-c.first], n
}

// state is a collection at one moment.
type state struct {
	opts        cappedOptions
	count       int64
	bytes       int64
	first, next uint64 // numbers of the first document and of the one to come
}

func (c *capped) state() state {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return state{opts: c.opts, count: int64(len(c.docs)), bytes: c.bytes,
		first: c.first, next: c.first + uint64(len(c.docs))}
}

// chunk is how many documents a scan takes at a time, so that it holds up no
// insert.
const chunk = 256

// read copies documents from number from on (backwards: down from it) to buf,
// and returns how many and the number of the first, which is a later one when
// nothing was read before. Last is the one that the reader had before, 0 for
// none; when that is gone, the reader's position is lost.
func (c *capped) read(buf []bsoncore.Document, from, last uint64, backward bool) (n int, first uint64, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch {
	case c.dropped:
		return 0, 0, refuse(codeQueryPlanKilled, "collection dropped: %s", c.namespace())
	case last != 0 && last < c.first:
		return 0, 0, refuse(codeCappedPositionLost, "CollectionScan died due to position in capped collection being deleted: "+
			"%s rolled over past the cursor; open a new one", c.namespace())
	}
	if backward {
		for i := from; n < len(buf) && i >= c.first && i > 0; i-- {
			buf[n] = c.docs[i-c.first]
			n++
		}
		return n, from, nil
	}
	from = max(from, c.first)
	if from-c.first >= uint64(len(c.docs)) {
		return 0, from, nil
	}
	return copy(buf, c.docs[from-c.first:]), from, nil
}

// setIndexes replaces the recorded indexes.
func (c *capped) setIndexes(change func([]index) ([]index, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped {
		return errDropped
	}
	indexes, err := change(c.opts.Indexes)
	if err != nil {
		return err
	}
	c.opts.Indexes = indexes
	return c.rewrite()
}

// indexes returns all indexes, that of _id first.
func (c *capped) indexes() []index {
	c.mu.RLock()
	defer c.mu.RUnlock()
	key, _ := lookup(idIndex(), "key")
	return append([]index{{Name: "_id_", Key: bson.Raw(key.Data)}}, c.opts.Indexes...)
}
