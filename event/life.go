package event

import (
	"errors"
	"time"
)

// Topics are where a [Bus] tells of what it does, to whoever subscribes. It posts
// ([Topic.Post]): what a subscriber does or leaves never holds up an event. They are
// closed when Run returns; what was posted before reaches those who read on.
//
// Records of what people have asked of the fleet are no subscribers: an [Auditor] is
// asked first, since an act that cannot be recorded does not happen.
type Topics struct {
	Events *Topic[Notice]    // what became of each event in this process
	Gaps   *Topic[GapNotice] // events that could not be read
}

func newTopics() Topics {
	return Topics{Events: NewTopic[Notice]("events"), Gaps: NewTopic[GapNotice]("gaps")}
}

func (t Topics) close() {
	t.Events.Close()
	t.Gaps.Close()
}

// Stage is how far an event has come in this process.
type Stage string

// The stages of an event, in their order. Of an event for several subscribers there is
// one Dispatched and one Handled for each.
const (
	// Received: the listener has read it, and it is for a subscriber of this process.
	// A durable subscription reads by itself, so it says so once more.
	Received Stage = "received"
	// Dispatched: it is in a subscriber's queue, or a durable subscription begins
	// with it.
	Dispatched Stage = "dispatched"
	// Handled: it is over for that subscriber, also if its action was not called:
	// because it is late, was superseded, was lost to a full queue (it then was not
	// dispatched), or the process stops.
	Handled Stage = "handled"
	// Answered: this process has given its final answer, if one was asked for.
	Answered Stage = "answered"
)

// Notice is one moment in the life of an event in this process.
type Notice struct {
	Stage Stage
	// Event is as it was published, secret parameters included: see [Event.Redacted].
	// It is shared, and not to be changed.
	Event Event
	// Subscriber and Action are whose queue and which action, of Dispatched and
	// Handled; [All] for subscribers of all events.
	Subscriber, Action string
	// Durable is the name of the durable subscription that has read the event by
	// itself; empty for the bus's listener.
	Durable string
	// Called says that the action was called, of Handled.
	Called bool
	// Kind is Done, Failed or Refused, of Handled and Answered.
	Kind ReplyKind
	// Err is why it failed or was refused.
	Err error
	// Took is how long the action ran, the longest of several for Answered.
	Took time.Duration
}

// GapNotice is a [Gap] as it is told to subscribers.
type GapNotice struct {
	Gap
	// Subscriber is who has missed the events: because its queue was full, or it is
	// durable and reads by itself. Empty means all but the durable ones.
	Subscriber string
	// Durable is the name of the durable subscription.
	Durable string
}

// Topics returns where the bus tells of what it does. It is the same at every call;
// subscribe before Run to miss nothing.
func (b *Bus) Topics() Topics { return b.topics }

// watched reports whether anybody wants to know. When nobody does, a notice is not
// even put together: this is on every event's way.
func (b *Bus) watched() bool { return b.cfg.Observe != nil || !b.topics.Events.idle() }

func (b *Bus) tell(n Notice) {
	if b.cfg.Observe != nil {
		b.cfg.Observe(n)
	}
	b.topics.Events.Post(n)
}

func (b *Bus) tellReceived(e *Event, durable string) {
	if b.watched() {
		b.tell(Notice{Stage: Received, Event: *e, Durable: durable})
	}
}

func (d delivery) tellDispatched() {
	if d.answer != nil && d.sub.bus.watched() {
		d.sub.bus.tell(d.notice(Dispatched))
	}
}

func (d delivery) notice(stage Stage) Notice {
	n := Notice{Stage: stage, Event: d.answer.event, Subscriber: d.sub.name, Action: d.action.name}
	if d.sub.durable != nil {
		n.Durable = d.sub.durable.name
	}
	return n
}

// finish ends a delivery with its outcome. An action that was not called took no time.
func (d delivery) finish(result any, err error, called bool, took time.Duration) {
	if d.sub.bus.watched() {
		n := d.notice(Handled)
		n.Kind, n.Err, n.Called, n.Took = kindOf(err), err, called, took
		d.sub.bus.tell(n)
	}
	d.answer.finish(result, err, took)
}

// kindOf is the answer of one subscriber whose action has ended so.
func kindOf(err error) ReplyKind {
	var refused *RefusedError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &refused):
		return Refused
	}
	return Failed
}

// sendFinal sends the final answer, and says so if there was room for it.
func (a *answer) sendFinal(r Reply) {
	if !a.bus.answers.send(r) || !a.bus.watched() {
		return
	}
	n := Notice{Stage: Answered, Event: a.event, Kind: r.Kind, Took: a.took}
	if r.Error != "" {
		n.Err = errors.New(r.Error)
	}
	a.bus.tell(n)
}
