package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// The names of the collections.
const (
	EventsCollection  = "events"
	RepliesCollection = "replies"
)

const defaultQueue = 1024

// Config configures a Bus. The zero value works.
type Config struct {
	// Identity is what this process is. Default: a new server id, the host, the
	// pid, and host:pid as the name.
	Identity Identity
	// Directory knows who should answer; Call and Match need it.
	Directory Directory
	// App is what this program is called in the events that it publishes. Default:
	// the name of its binary.
	App string
	// Positions stores the positions of durable subscriptions. Default: those of
	// the database given to Open.
	Positions Positions
	// Log configures how events and replies are kept.
	Log LogConfig
	// MaxParameters bounds an event's encoded parameters, in bytes. Default
	// DefaultMaxParameters.
	MaxParameters int
	// Queue is how many events may wait for each subscriber; beyond that they
	// are lost to it, which it learns as a Gap. Default 1024.
	Queue int
	// CoalesceQuiet and CoalesceMax are how long events that may be merged wait for
	// more: until none has come for the one, and no longer than the other. Default
	// 1 s and 3 s. See [Coalesced].
	CoalesceQuiet, CoalesceMax time.Duration
	// DrainTime is how long Run waits, after its ctx has ended, for actions
	// that are still running. Default 5 s.
	DrainTime time.Duration
	// Observe, if set, is called for each notice before it is posted to
	// [Topics].Events, and misses none: for counting. It is called on the event's way,
	// by several goroutines at once: it must neither block nor call the bus.
	Observe func(Notice)
}

// Bus connects this process to the fleet's events. Its methods are safe for
// concurrent use.
type Bus struct {
	cfg     Config
	events  Log
	replies Log
	answers answerer
	calls   callReader
	leases  leases
	health  health
	topics  Topics

	timed     chan struct{} // closed when the store's time is known
	listening chan struct{}

	// By subscriber name. Replaced as a whole, under mu; the listener reads it
	// without a lock.
	subscriptions atomic.Pointer[map[string][]*Subscription]

	mu       sync.Mutex
	running  context.Context // of the actions: nil before Run, ended when Run stops
	handlers sync.WaitGroup  // subscriptions and concurrent actions
}

// Open opens the bus on a database, in which it creates the collections when
// they are missing. It fails with a [*NotCappedError] when they exist otherwise.
//
// It tries for 15 s through a fail-over; a database that cannot be reached at
// all is an error after the client's server selection time-out.
func Open(ctx context.Context, db *mongo.Database, cfg Config) (*Bus, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	until := time.Now().Add(openPatience)
	for delays := (backoff{}); ; {
		bus, err := open(ctx, db, cfg)
		if err == nil || !isPassing(err) || time.Now().After(until) || !delays.wait(ctx) {
			return bus, err
		}
	}
}

// openPatience is how long Open tries through a fail-over.
const openPatience = 15 * time.Second

func open(ctx context.Context, db *mongo.Database, cfg Config) (*Bus, error) {
	events, err := OpenLog(ctx, db, EventsCollection, cfg.Log)
	if err != nil {
		return nil, err
	}
	replies, err := OpenLog(ctx, db, RepliesCollection, cfg.Log)
	if err != nil {
		return nil, err
	}
	if cfg.Positions == nil {
		cfg.Positions = NewPositions(db)
	}
	return NewBus(events, replies, cfg), nil
}

// check returns all that is wrong with the Config.
func (c Config) check() error {
	var faults []error
	for name, negative := range map[string]bool{
		"MaxParameters": c.MaxParameters < 0, "Queue": c.Queue < 0, "DrainTime": c.DrainTime < 0,
		"CoalesceQuiet": c.CoalesceQuiet < 0, "CoalesceMax": c.CoalesceMax < 0,
	} {
		if negative {
			faults = append(faults, fmt.Errorf("event.Config.%s is negative: leave it 0 for its default", name))
		}
	}
	return errors.Join(faults...)
}

// NewBus makes a bus of two logs, for other stores and for tests (see
// event/eventtest). A number below zero in cfg counts as its default.
func NewBus(events, replies Log, cfg Config) *Bus {
	cfg.Queue = cmp.Or(max(0, cfg.Queue), defaultQueue)
	cfg.DrainTime = cmp.Or(max(0, cfg.DrainTime), 5*time.Second)
	cfg.CoalesceQuiet = cmp.Or(max(0, cfg.CoalesceQuiet), defaultCoalesceQuiet)
	cfg.CoalesceMax = cmp.Or(max(0, cfg.CoalesceMax), defaultCoalesceMax)
	cfg.Identity = cfg.Identity.withDefaults()
	b := &Bus{
		cfg: cfg, events: events, replies: replies,
		timed:     make(chan struct{}),
		listening: make(chan struct{}),
		answers:   newAnswerer(replies),
		topics:    newTopics(),
	}
	b.calls.log = replies
	b.subscriptions.Store(&map[string][]*Subscription{})
	return b
}

func (id Identity) withDefaults() Identity {
	if id.ServerID.IsZero() {
		id.ServerID = bson.NewObjectID()
	}
	if id.Host == "" {
		id.Host, _ = os.Hostname()
	}
	id.PID = cmp.Or(id.PID, os.Getpid())
	id.Name = cmp.Or(id.Name, fmt.Sprintf("%s:%d", id.Host, id.PID))
	id.Labels = maps.Clone(id.Labels)
	return id
}

// Identity returns what this process is, with the defaults filled in.
func (b *Bus) Identity() Identity { return b.cfg.Identity }

// Publish stores the events and returns the id of the last. All of them are
// checked before any is stored. It is safe to repeat after an error: an event
// whose id is stored already is not stored again. An action that a subscriber
// of this process does not have gives an [*UnknownError].
func (b *Bus) Publish(ctx context.Context, events ...Event) (bson.ObjectID, error) {
	if len(events) == 0 {
		return bson.ObjectID{}, errors.New("no event to publish")
	}
	acts := make([]Act, len(events))
	for i, e := range events {
		acts[i].Event = e
	}
	if err := b.publish(ctx, acts); err != nil {
		return bson.ObjectID{}, err
	}
	return events[len(events)-1].ID, nil
}

func (b *Bus) publish(ctx context.Context, acts []Act) error {
	docs := make([]bson.Raw, 0, len(acts))
	for i := range acts {
		doc, err := b.prepare(ctx, &acts[i])
		if err != nil {
			return err
		}
		docs = append(docs, doc)
	}
	err := b.recorded(ctx, acts, func() error {
		if err := b.desire(ctx, acts); err != nil {
			return err
		}
		return b.events.Append(ctx, docs...)
	})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// desire notes the lasting states that the events ask for.
func (b *Bus) desire(ctx context.Context, acts []Act) error {
	recorder, ok := b.cfg.Directory.(Recorder)
	if !ok {
		return nil
	}
	for _, act := range acts {
		if err := recorder.Desire(ctx, act.Event); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) prepare(ctx context.Context, act *Act) (bson.Raw, error) {
	if err := errors.Join(act.Event.validate(b.cfg.MaxParameters), b.checkLocal(act.Event)); err != nil {
		return nil, err
	}
	if err := b.prepareAct(ctx, act); err != nil {
		return nil, err
	}
	return act.Event.encode()
}

// checkLocal catches a misspelt action of a subscriber that this process has.
func (b *Bus) checkLocal(e Event) error {
	subs := b.byName()[e.Name]
	if len(subs) == 0 {
		return nil
	}
	known := []string{}
	for _, s := range subs {
		if _, ok := s.actions[e.Action]; ok {
			return nil
		}
		known = append(known, sortedNames(s.actions)...)
	}
	return &UnknownError{Subscriber: e.Name, Action: e.Action, Known: known}
}

// Actions returns the names of the actions of each subscriber of this process.
func (b *Bus) Actions() map[string][]string {
	table := map[string][]string{}
	for name, subs := range b.byName() {
		if name == All {
			continue
		}
		for _, s := range subs {
			table[name] = append(table[name], sortedNames(s.actions)...)
		}
		slices.Sort(table[name])
		table[name] = slices.Compact(table[name])
	}
	return table
}

// Listening is closed when Run holds its start position: every event published
// after that reaches this process's subscribers.
func (b *Bus) Listening() <-chan struct{} { return b.listening }

// StoreTime is the time by the database's clock, as far as this process knows
// it from the last time that it asked; before Run, its own.
func (b *Bus) StoreTime() time.Time { return b.health.storeTime() }
