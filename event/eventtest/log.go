// Package eventtest helps to test what is built on package event: a [Log] in
// memory, and [TestLog], the suite that every event.Log must pass.
package eventtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// Log is an event.Log in memory, shared by all buses made on it. It behaves as
// one on a capped collection: it stamps timestamps, drops the oldest documents
// when it is full, and tells of gaps. It is made for testing/synctest: it waits
// on channels and timers only.
type Log struct {
	bytes int

	mu      sync.Mutex
	entries []entry
	first   int // sequence number of entries[0]
	size    int // of all entries, in bytes
	ids     map[bson.ObjectID]bool
	stamp   bson.Timestamp
	ahead   time.Duration // of this process's clock
	grown   chan struct{} // closed and replaced by each Append
}

type entry struct {
	raw  bson.Raw
	pos  event.Position
	mark bool
}

var _ event.Log = (*Log)(nil)

// NewLog returns an empty log that holds at most that many bytes of documents
// (0 = no limit).
func NewLog(bytes int) *Log {
	return &Log{bytes: bytes, ids: map[bson.ObjectID]bool{}, grown: make(chan struct{})}
}

// Append implements event.Log.
func (l *Log) Append(ctx context.Context, docs ...bson.Raw) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, doc := range docs {
		if err := l.append(doc); err != nil {
			return err
		}
	}
	l.trim()
	close(l.grown)
	l.grown = make(chan struct{})
	return nil
}

// append stores one document; one without an ObjectID as its _id is stored as
// it is, as a foreign program might.
func (l *Log) append(doc bson.Raw) error {
	id, _ := doc.Lookup("_id").ObjectIDOK()
	if !id.IsZero() && l.ids[id] {
		return nil
	}
	var fields bson.D
	if err := bson.Unmarshal(doc, &fields); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	e := entry{pos: event.Position{ID: id}}
	for i := range fields {
		switch fields[i].Key {
		case "ts":
			if ts, ok := fields[i].Value.(bson.Timestamp); ok && ts.IsZero() {
				e.pos.Time = l.nextStamp()
				fields[i].Value = e.pos.Time
			}
		case "mark":
			e.mark, _ = fields[i].Value.(bool)
		}
	}
	var err error
	if e.raw, err = bson.Marshal(fields); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	l.ids[id] = true
	l.entries = append(l.entries, e)
	l.size += len(e.raw)
	return nil
}

func (l *Log) nextStamp() bson.Timestamp {
	now := bson.Timestamp{T: uint32(time.Now().Add(l.ahead).Unix()), I: 1}
	if now.T <= l.stamp.T {
		now = bson.Timestamp{T: l.stamp.T, I: l.stamp.I + 1}
	}
	l.stamp = now
	return now
}

func (l *Log) trim() {
	for l.bytes > 0 && l.size > l.bytes && len(l.entries) > 1 {
		l.size -= len(l.entries[0].raw)
		delete(l.ids, l.entries[0].pos.ID)
		l.entries = l.entries[1:]
		l.first++
	}
}

// Mark implements event.Log.
func (l *Log) Mark(ctx context.Context) (event.Position, error) {
	doc, err := bson.Marshal(bson.D{
		{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "mark", Value: true},
	})
	if err != nil {
		return event.Position{}, err
	}
	if err := l.Append(ctx, doc); err != nil {
		return event.Position{}, err
	}
	id, _ := bson.Raw(doc).Lookup("_id").ObjectIDOK()
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.find(id); i >= 0 {
		return l.entries[i].pos, nil
	}
	return event.Position{}, fmt.Errorf("the log rolled over within the call of Mark")
}

// find returns the index of the document with this id, or -1. l.mu is held.
func (l *Log) find(id bson.ObjectID) int {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.entries[i].pos.ID == id {
			return i
		}
	}
	return -1
}

// Time implements event.Log.
func (l *Log) Time(context.Context) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.ahead), nil
}

// Skew sets how far the log's clock is ahead of this process's; behind, when
// ahead is negative.
func (l *Log) Skew(ahead time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = ahead
}

// Read implements event.Log.
func (l *Log) Read(ctx context.Context, from event.Position, r event.Reader) error {
	pos := from
	r.State(event.StateBehind, pos, nil)
	next, there := l.start(from)
	if !there {
		next = l.gap(&pos, next, r)
	}
	for ctx.Err() == nil {
		e, ok, lost, grown := l.at(next)
		switch {
		case lost:
			next = l.gap(&pos, next, r)
		case ok:
			next++
			if !e.pos.ID.IsZero() && !e.pos.Time.IsZero() {
				pos = e.pos
			}
			if !e.mark {
				r.Entry(e.raw, pos)
			}
		default:
			r.State(event.StateListening, pos, nil)
			again := time.NewTimer(time.Second)
			select {
			case <-ctx.Done():
			case <-grown:
			case <-again.C:
			}
			again.Stop()
		}
	}
	return nil
}

// start returns the sequence number of the first document behind a position.
func (l *Log) start(from event.Position) (next int, there bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !from.ID.IsZero() {
		i := l.find(from.ID)
		return l.first + i + 1, i >= 0
	}
	i := 0
	for i < len(l.entries) && l.entries[i].pos.Time.Before(from.Time) {
		i++
	}
	return l.first + i, true
}

// at returns the document with this sequence number; lost says that it has been
// dropped, and grown is closed when there are more.
func (l *Log) at(seq int) (e entry, ok, lost bool, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch i := seq - l.first; {
	case i < 0:
		return entry{}, false, true, nil
	case i < len(l.entries):
		return l.entries[i], true, false, nil
	}
	return entry{}, false, false, l.grown
}

// gap tells the reader that documents are lost, and returns where it goes on.
func (l *Log) gap(pos *event.Position, next int, r event.Reader) int {
	l.mu.Lock()
	next = max(next, l.first)
	gap := event.Gap{Since: time.Unix(int64(pos.Time.T), 0).UTC(), Reason: "the log rolled over"}
	if i := next - l.first; i < len(l.entries) {
		gap.Until = time.Unix(int64(l.entries[i].pos.Time.T), 0).UTC()
	}
	l.mu.Unlock()
	r.Gap(gap)
	return next
}
