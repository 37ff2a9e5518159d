package event

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// SubscriptionsCollection is the name of the collection of durable positions.
const SubscriptionsCollection = "subscriptions"

// SubscribeOption changes a subscription.
type SubscribeOption func(*Subscription)

// Durable gives the subscription a name under which its position is stored: after
// a restart it continues where it was, and receives what was published
// meanwhile. The first time it begins at start: [Earliest], [Latest] or [At].
//
// Each event is handled at least once: again only if the process ended between
// the action and the storing of the position. An action that fails is not
// repeated, one that was interrupted by the end of the Bus is. A durable
// subscription reads the log by itself, no faster than it handles; it has no
// queue that could overrun. Its concurrent actions are called one at a time, too.
//
// A name is for one process at a time.
func Durable(name string, start Position) SubscribeOption {
	return func(s *Subscription) { s.durable = &durable{name: name, start: start, ready: make(chan struct{})} }
}

// Earliest is the position before all that is still in the log.
func Earliest() Position { return Position{} }

// Latest is the position of now, for [Durable].
func Latest() Position {
	return Position{Time: bson.Timestamp{T: math.MaxUint32, I: math.MaxUint32}}
}

// Positions stores the positions of durable subscriptions. It is safe for
// concurrent use.
type Positions interface {
	// Load returns the position stored under the name; ok is false when there is
	// none.
	Load(ctx context.Context, name string) (pos Position, ok bool, err error)
	// Save stores a position.
	Save(ctx context.Context, name string, pos Position) error
}

// NewPositions returns the Positions in a database. It does no I/O.
func NewPositions(db *mongo.Database) Positions {
	return positions{db.Collection(SubscriptionsCollection)}
}

type positions struct{ coll *mongo.Collection }

func (p positions) Load(ctx context.Context, name string) (Position, bool, error) {
	var doc struct {
		Position Position `bson:"position"`
	}
	err := p.coll.FindOne(ctx, bson.D{{Key: "_id", Value: name}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Position{}, false, nil
	}
	if err != nil {
		return Position{}, false, fmt.Errorf("load the position of subscription %q: %w", name, err)
	}
	return doc.Position, true, nil
}

func (p positions) Save(ctx context.Context, name string, pos Position) error {
	_, err := p.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: name}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: "position", Value: pos}}},
		{Key: "$currentDate", Value: bson.D{{Key: "saved_at", Value: true}}},
	}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("store the position of subscription %q: %w", name, err)
	}
	return nil
}

// saveEvery bounds how often a position is stored that has only moved over
// events for others.
const saveEvery = 5 * time.Second

// durable is the Reader of one durable subscription. After Run has begun, its
// fields belong to the subscription's goroutine.
type durable struct {
	name  string
	start Position
	ready chan struct{} // closed when it has a position, or will have none

	sub   *Subscription
	ctx   context.Context // of the reading
	head  header
	pos   Position // reached
	saved Position
	at    time.Time // of the last save
}

// run reads until the bus stops or the subscription is closed.
func (d *durable) run(ctx context.Context, s *Subscription) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with reading
		select {
		case <-s.closed:
			stop()
		case <-reading.Done():
		}
	}()
	d.sub, d.ctx = s, reading
	select {
	case <-s.bus.timed: // what is late is known by the store's clock
	case <-reading.Done():
	}
	from, ok := d.position(reading)
	close(d.ready)
	if !ok {
		return
	}
	d.pos, d.saved = from, from
	_ = s.bus.events.Read(reading, from, d) // nil: reading has ended
	if d.pos != d.saved {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		d.note(ctx, s.bus.cfg.Positions.Save(ctx, d.name, d.pos))
	}
}

// position loads the stored position, or makes the first one; it tries until it
// succeeds.
func (d *durable) position(ctx context.Context) (Position, bool) {
	for delays := (backoff{}); ctx.Err() == nil; delays.wait(ctx) {
		pos, ok, err := d.sub.bus.cfg.Positions.Load(ctx, d.name)
		if err == nil && !ok {
			if pos = d.start; pos == Latest() {
				pos, err = markSoon(ctx, d.sub.bus.events)
			}
			if err == nil { // from here on, what is published is received
				err = d.sub.bus.cfg.Positions.Save(ctx, d.name, pos)
			}
		}
		if err == nil {
			return pos, true
		}
		d.note(ctx, err)
	}
	return Position{}, false
}

func (d *durable) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Warn().Err(err).Str("subscription", d.name).Msg("durable subscription held up")
	}
}

// Entry handles one event before the next one is read.
func (d *durable) Entry(raw bson.Raw, pos Position) {
	if d.ctx.Err() != nil {
		return // interrupted: the position stays before this one
	}
	handled, err := d.handle(raw)
	if err != nil && d.ctx.Err() != nil {
		return // interrupted as well
	}
	d.pos = pos
	d.save(handled)
}

// handle runs the event's action if it is for this subscription, and returns how
// that went.
func (d *durable) handle(raw bson.Raw) (handled bool, err error) {
	b := d.sub.bus
	all := d.sub.name == All
	if d.head.parse(raw) != nil || string(d.head.name) != d.sub.name && !all {
		return false, nil // what is malformed is counted by the bus's own listener
	}
	action, known := d.sub.actions[string(d.head.action)]
	if all {
		action, known = d.sub.actions[All], true
	}
	if !known {
		return false, nil
	}
	if d.head.target != nil {
		if ok, err := matchTarget(d.head.target, &b.cfg.Identity); !ok || err != nil {
			return false, nil
		}
	}
	e, err := Decode(slices.Clone(raw))
	if err != nil {
		return false, nil
	}
	e.Reply = e.Reply && !all
	delivery := delivery{sub: d.sub, answer: b.newAnswer(e, 1), action: action}
	b.tellReceived(&e, d.name)
	delivery.answer.ack()
	delivery.tellDispatched()
	b.health.update(func(h *Health) { h.Delivered++ })
	done := make(chan struct{})
	go func() { // the action may end its goroutine
		defer close(done)
		err = errGoexit
		err = d.sub.act(d.ctx, delivery)
	}()
	<-done
	return true, err
}

// save stores the position: at once after an event was handled, and now and then
// otherwise. It tries until it succeeds, since nothing may be handled that could
// not be noted.
func (d *durable) save(now bool) {
	if d.pos == d.saved || !now && time.Since(d.at) < saveEvery {
		return
	}
	for delays := (backoff{}); d.ctx.Err() == nil; delays.wait(d.ctx) {
		err := d.sub.bus.cfg.Positions.Save(d.ctx, d.name, d.pos)
		if err == nil {
			d.saved, d.at = d.pos, time.Now()
			return
		}
		d.note(d.ctx, err)
	}
}

// Gap implements Reader.
func (d *durable) Gap(gap Gap) {
	zerolog.Ctx(d.ctx).Warn().Str("subscription", d.name).Time("since", gap.Since).Msg("gap: " + gap.Reason)
	d.sub.bus.topics.Gaps.Post(GapNotice{Gap: gap, Subscriber: d.sub.name, Durable: d.name})
	d.sub.tellGap(d.ctx, gap)
}

// State implements Reader.
func (d *durable) State(s State, pos Position, _ error) {
	if s == StateListening && !pos.ID.IsZero() && d.ctx.Err() == nil {
		d.pos = pos // it may have moved over marks
		d.save(false)
	}
}
