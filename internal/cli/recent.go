package cli

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// recentEvents is how many events are remembered, of which answers may come.
const recentEvents = 10_000

// recent remembers the latest events, whose answers are read by another tail and
// may come before them.
type recent struct {
	order  []bson.ObjectID
	events map[bson.ObjectID]*recentEvent
}

type recentEvent struct {
	known  bool // else only answers have come so far
	wanted bool
	early  []event.Reply
}

// of returns the memory of an event, and forgets the oldest if there are too many.
func (r *recent) of(id bson.ObjectID) *recentEvent {
	if e := r.events[id]; e != nil {
		return e
	}
	if r.events == nil {
		r.events = map[bson.ObjectID]*recentEvent{}
	}
	if len(r.order) == recentEvents {
		delete(r.events, r.order[0])
		r.order = r.order[1:]
	}
	e := &recentEvent{}
	r.order, r.events[id] = append(r.order, id), e
	return e
}
