package console

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

const (
	feedBack    = time.Hour // how far back the feed begins
	feedEvents  = 500       // that are kept
	feedReplies = 5000      // of one event, that are kept
	feedPayload = 16 << 10  // bytes of a result that are kept
)

// feed is what the logs of events and replies have told lately: the page of events, and
// the answers to events that others have published. Two goroutines of run read the logs;
// mu guards what they have read.
type feed struct {
	changed func()

	mu      sync.Mutex
	version uint64 // counts the changes
	events  []*seen
	byID    map[bson.ObjectID]*seen
	early   map[bson.ObjectID][]event.Reply // whose events have not come yet
	order   []bson.ObjectID                 // of early
	whole   event.Assembler
	state   event.State
	err     error // why the events cannot be read
	gap     string
}

// seen is an event and its answers.
type seen struct {
	event event.Event // without its parameters
	shown bson.Raw    // these, as they are shown
	last  []event.Reply
	acked map[bson.ObjectID]bool
	large bool // some results were not kept
}

func newFeed(changed func()) *feed {
	return &feed{changed: changed, byID: map[bson.ObjectID]*seen{}, early: map[bson.ObjectID][]event.Reply{}}
}

// run reads both logs until ctx ends.
func (f *feed) run(ctx context.Context, events, replies event.Log) {
	from := f.from(ctx, events)
	if ctx.Err() != nil {
		return
	}
	var reading sync.WaitGroup
	reading.Go(func() { _ = events.Read(ctx, from, &feedReader{feed: f, entry: f.event, main: true}) })
	reading.Go(func() { _ = replies.Read(ctx, from, &feedReader{feed: f, entry: f.reply}) })
	reading.Wait()
}

// from is where the feed begins, by the database's clock; it asks until it is told.
func (f *feed) from(ctx context.Context, events event.Log) event.Position {
	for delay := time.Second; ; delay = min(2*delay, 15*time.Second) {
		now, err := events.Time(ctx)
		if err == nil {
			return event.At(now.Add(-feedBack))
		}
		f.failed(err)
		select {
		case <-ctx.Done():
			return event.Position{}
		case <-time.After(delay):
		}
	}
}

func (f *feed) failed(err error) {
	f.mu.Lock()
	f.err = err
	f.version++
	f.mu.Unlock()
	f.changed()
}

func (f *feed) event(raw bson.Raw) bool {
	e, err := event.Decode(slices.Clone(raw))
	if err != nil {
		return false // each server counts it and logs it
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID[e.ID] != nil {
		return false
	}
	s := &seen{event: e, shown: e.Redacted(), acked: map[bson.ObjectID]bool{}}
	s.event.Parameters = nil
	f.events = append(f.events, s)
	f.byID[e.ID] = s
	if len(f.events) > feedEvents {
		delete(f.byID, f.events[0].event.ID)
		f.events = slices.Delete(f.events, 0, 1)
	}
	for _, r := range f.early[e.ID] {
		s.add(r)
	}
	delete(f.early, e.ID)
	return true
}

func (f *feed) reply(raw bson.Raw) bool {
	r, err := event.DecodeReply(slices.Clone(raw))
	if err != nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, whole := f.whole.Add(r)
	if !whole || r.Kind == event.Output {
		return false
	}
	if s := f.byID[r.EventID]; s != nil {
		s.add(r)
		return true
	}
	if len(f.early[r.EventID]) == 0 {
		f.order = append(f.order, r.EventID)
	}
	if len(f.early[r.EventID]) < feedReplies {
		f.early[r.EventID] = append(f.early[r.EventID], trimmed(r))
	}
	if len(f.order) > feedEvents {
		delete(f.early, f.order[0])
		f.order = slices.Delete(f.order, 0, 1)
	}
	return false
}

// add notes an answer; the last one of each server counts.
func (s *seen) add(r event.Reply) {
	s.acked[r.ServerID] = true
	r = trimmed(r)
	s.large = s.large || r.Truncated
	i := slices.IndexFunc(s.last, func(o event.Reply) bool { return o.ServerID == r.ServerID })
	switch {
	case i >= 0 && r.Kind.Final():
		s.last[i] = r
	case i < 0 && len(s.last) < feedReplies:
		s.last = append(s.last, r)
	}
}

// feedReader is the Reader of one log.
type feedReader struct {
	feed  *feed
	entry func(bson.Raw) bool
	main  bool // of the events
}

func (r *feedReader) Entry(raw bson.Raw, _ event.Position) {
	if r.entry(raw) {
		r.feed.mu.Lock()
		r.feed.version++
		r.feed.mu.Unlock()
		r.feed.changed()
	}
}

func (r *feedReader) Gap(gap event.Gap) {
	r.feed.mu.Lock()
	r.feed.gap = "events since " + gap.Since.UTC().Format(time.DateTime) + " UTC are missing here: " + gap.Reason
	r.feed.version++
	r.feed.mu.Unlock()
	r.feed.changed()
}

func (r *feedReader) State(s event.State, _ event.Position, err error) {
	if !r.main {
		return
	}
	r.feed.mu.Lock()
	news := r.feed.state != s
	r.feed.state, r.feed.err = s, err
	if news {
		r.feed.version++
	}
	r.feed.mu.Unlock()
	if news {
		r.feed.changed()
	}
}

// view is a copy of what the feed knows of an event.
type view struct {
	event event.Event
	shown bson.Raw
	last  []event.Reply
	acked int
	large bool
}

func (s *seen) view() view {
	return view{s.event, s.shown, slices.Clone(s.last), len(s.acked), s.large}
}

// find returns what is known of an event.
func (f *feed) find(id bson.ObjectID) (view, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.byID[id]
	if !ok {
		return view{}, false
	}
	return s.view(), true
}

// newest returns the newest n events that are wanted, the newest first.
func (f *feed) newest(n int, wanted func(view) bool) (list []view, gap string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range slices.Backward(f.events) {
		if v := s.view(); wanted(v) {
			if list = append(list, v); len(list) == n {
				break
			}
		}
	}
	return list, f.gap, f.err
}

// trimmed is the answer without a large result.
func trimmed(r event.Reply) event.Reply {
	if len(r.Payload.Value) > feedPayload {
		r.Payload, r.Truncated = bson.RawValue{}, true
	}
	return r
}
