package event

import (
	"context"
	"errors"
	"runtime"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

const (
	// tailWindow is how far, in seconds, a reopened tail reaches back before
	// the last timestamp: concurrent inserts may land in another order than
	// that of their timestamps.
	tailWindow = 10
	// tailBatch is how many documents a tail asks for at a time.
	tailBatch = 1000
	// tailBytes is the size from which on an answer may have been cut off by the
	// limit of 16 MiB, not by the end of the collection: no document is larger
	// than the rest.
	tailBytes = 7 << 20
)

var errDeadCursor = errors.New("the store closed the tail of an empty collection")

// key is what a tail needs to know of a document.
type key struct {
	pos  Position
	mark bool
}

// keyOf reads a document's key; ok is false for a malformed one.
func keyOf(raw []byte) (k key, ok bool) {
	doc, ok := documentBody(raw)
	for ok && len(doc) > 0 {
		var elem bsoncore.Element
		if elem, doc, ok = bsoncore.ReadElement(doc); !ok {
			break
		}
		switch string(elem.KeyBytes()) {
		case "_id":
			k.pos.ID, _ = elem.Value().ObjectIDOK()
		case "ts":
			k.pos.Time.T, k.pos.Time.I, _ = elem.Value().TimestampOK()
		case markField:
			k.mark, _ = elem.Value().BooleanOK()
		}
	}
	return k, ok && !k.pos.ID.IsZero() && !k.pos.Time.IsZero()
}

// tail is one Read of a cappedLog: it lives as long as the listener, through
// any number of cursors. Only the goroutine in Read touches it.
type tail struct {
	log    *cappedLog
	reader Reader
	start  Position
	pos    Position // of the last document that was read
	newest uint32   // the highest timestamp read, in seconds
	seen   recent   // what was read within tailWindow of newest

	// Set anew for each cursor:
	passed   bool // the document at pos went by: all that follows is new
	filtered bool // the cursor starts tailWindow before newest
	gap      bool // pos is no longer in the collection
	progress bool // the store has answered: the next failure is a new one
	silent   bool // the last cursor ended in a time-out: its connection may not be the only dead one
}

func (l *cappedLog) Read(ctx context.Context, from Position, r Reader) error {
	t := &tail{log: l, reader: r, start: from, pos: from, newest: from.Time.T}
	delays := backoff{}
	r.State(StateConnecting, t.pos, nil)
	for {
		err := t.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if t.progress {
			delays.reset()
		}
		if errors.Is(err, errDeadCursor) { // that is no failure; a mark keeps the next one open
			_, err = markSoon(ctx, t.log)
		}
		t.silent = mongo.IsTimeout(err)
		r.State(StateConnecting, t.pos, err)
		if err != nil && !delays.wait(ctx) {
			return nil
		}
	}
}

// session opens one cursor and reads it until it fails.
func (t *tail) session(ctx context.Context) error {
	t.progress = false
	cursor, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer closeCursor(ctx, cursor)
	t.reader.State(StateBehind, t.pos, nil)
	for read, bytes := 0, 0; ; {
		if cursor.RemainingBatchLength() == 0 {
			if cursor.ID() == 0 {
				return errDeadCursor
			}
			runtime.Gosched()                          // what was handed over goes before the next request
			if read < tailBatch && bytes < tailBytes { // the store had no more than that
				t.caughtUp()
			}
			read, bytes = 0, 0
		}
		if t.next(ctx, cursor) {
			t.entry(cursor.Current)
			read++
			bytes += len(cursor.Current)
			continue
		}
		if cursor.Err() != nil {
			return cursor.Err()
		}
	}
}

// open opens the cursor and finds out whether the document at the position is
// still there. It looks after opening: a document that is there now lies before
// the cursor's end, or is a loss that the cursor itself will notice.
func (t *tail) open(ctx context.Context) (*mongo.Cursor, error) {
	if t.silent {
		if err := findLiveConnection(ctx, t.log.coll.Database()); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := t.log.ensure(ctx); err != nil { // it may have been dropped
		return nil, err
	}
	since, err := t.since(ctx)
	if err != nil {
		return nil, err
	}
	cursor, err := t.log.tail(ctx, since)
	if err != nil {
		return nil, err
	}
	t.filtered = !since.IsZero()
	t.passed, t.gap = t.pos.ID.IsZero(), false
	if !t.passed {
		_, there, err := t.log.find(ctx, t.pos.ID)
		if err != nil {
			closeCursor(ctx, cursor)
			return nil, err
		}
		t.gap = !there
	}
	return cursor, nil
}

// since is the timestamp to read from. It is only a short cut past what was
// read already; without it, the whole collection goes by. It would hide new
// events if the store's clock has been set back.
func (t *tail) since(ctx context.Context) (bson.Timestamp, error) {
	since, err := t.shortCut(ctx)
	if err != nil || since.IsZero() {
		return since, err
	}
	last, ok, err := t.log.newest(ctx)
	if ok && last.pos.Time.Before(since) {
		return bson.Timestamp{}, nil
	}
	return since, err
}

// shortCut reaches back over tailWindow, except at a mark or a moment: what was
// published after a mark was made has a later timestamp.
func (t *tail) shortCut(ctx context.Context) (bson.Timestamp, error) {
	if t.pos == t.start {
		if t.pos.ID.IsZero() {
			return t.pos.Time, nil
		}
		if k, ok, err := t.log.find(ctx, t.pos.ID); err != nil || ok && k.mark {
			return t.pos.Time, err
		}
	}
	if t.newest <= tailWindow {
		return bson.Timestamp{}, nil
	}
	return bson.Timestamp{T: t.newest - tailWindow}, nil
}

// next advances the cursor; it waits for the store only when nothing is left of
// the last answer.
func (t *tail) next(ctx context.Context, cursor *mongo.Cursor) bool {
	if cursor.RemainingBatchLength() > 0 {
		return cursor.TryNext(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTime+answerTime)
	defer cancel()
	return cursor.TryNext(ctx)
}

// entry hands a document on unless it was read before.
func (t *tail) entry(raw bson.Raw) {
	k, ok := keyOf(raw)
	switch {
	case !ok && t.passed:
		t.reader.Entry(raw, t.pos)
		return
	case !ok, t.seen.has(k.pos.ID):
		t.passed = t.passed || k.pos.ID == t.pos.ID
		return
	case !t.passed && k.pos.ID == t.pos.ID:
		t.passed = true
		t.seen.add(k.pos)
		return
	case (!t.passed || t.start.ID.IsZero() && t.pos == t.start) && t.isOld(k.pos):
		t.seen.add(k.pos)
		return
	}
	t.tellGap(timeOf(k.pos.Time))
	t.seen.add(k.pos)
	t.pos = k.pos
	if k.pos.Time.T > t.newest {
		t.newest = k.pos.Time.T
		t.seen.forget(t.newest - tailWindow)
	}
	if !k.mark {
		t.reader.Entry(raw, t.pos)
	}
}

// isOld reports whether a document that comes before the position in the
// collection, and is not among those seen, has been read before all the same.
func (t *tail) isOld(p Position) bool {
	switch {
	case t.gap:
		return false // the position is gone, and with it all that came before it
	case t.pos == t.start && t.start.ID.IsZero():
		return p.Time.Before(t.start.Time) // the position is a moment
	}
	return t.pos == t.start || !t.filtered // nothing was seen yet, or not that far back
}

func (t *tail) caughtUp() {
	t.progress = true
	t.tellGap(time.Time{})
	t.reader.State(StateListening, t.pos, nil)
}

func (t *tail) tellGap(until time.Time) {
	t.progress = true
	if !t.gap {
		return
	}
	t.gap, t.passed = false, true
	t.reader.Gap(Gap{Since: timeOf(t.pos.Time), Until: until,
		Reason: "the last event read is no longer in the collection: it rolled over or was made anew while the listener was away"})
}

func closeCursor(ctx context.Context, cursor *mongo.Cursor) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = cursor.Close(ctx) // the store forgets it in any case
}

// recent remembers the ids of the latest documents.
type recent struct {
	ids   map[bson.ObjectID]struct{}
	queue []Position // in the order of reading
}

func (r *recent) has(id bson.ObjectID) bool {
	_, ok := r.ids[id]
	return ok
}

func (r *recent) add(p Position) {
	if r.ids == nil {
		r.ids = map[bson.ObjectID]struct{}{}
	}
	r.ids[p.ID] = struct{}{}
	r.queue = append(r.queue, p)
}

// forget drops what is older than the timestamp's second.
func (r *recent) forget(before uint32) {
	n := 0
	for n < len(r.queue) && r.queue[n].Time.T < before {
		delete(r.ids, r.queue[n].ID)
		n++
	}
	r.queue = append(r.queue[:0], r.queue[n:]...)
}
