package event

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Subscription is a subscriber's place on a Bus. Its goroutine is started by
// Subscribe or Run, whichever comes later, and joined by Run.
type Subscription struct {
	bus        *Bus
	subscriber Subscriber
	name       string
	durable    *durable // nil unless it has a stored position
	actions    map[string]Action
	queue      chan delivery
	held       coalescer
	closed     chan struct{}
	close      sync.Once

	mu     sync.Mutex
	missed *Gap // events that were lost to this subscriber since it was last told
}

// delivery is one event, or one gap, on its way to a subscriber.
type delivery struct {
	sub    *Subscription
	answer *answer // of the event; nil with a gap
	action Action
	gap    *Gap
	done   func() // called when it is over; may be nil
}

// Subscribe registers a subscriber; several may have the same name, and each
// gets every event for it. Its actions are called one at a time, in the order
// of the collection, except concurrent ones. Call it before Run to miss nothing.
func (b *Bus) Subscribe(s Subscriber, opts ...SubscribeOption) (*Subscription, error) {
	table, err := actionTable(s)
	if err != nil {
		return nil, err
	}
	sub := &Subscription{
		bus: b, subscriber: s, name: s.Name(), actions: table,
		queue: make(chan delivery, b.cfg.Queue), closed: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(sub)
	}
	if sub.durable != nil && b.cfg.Positions == nil {
		return nil, fmt.Errorf("durable subscription %q: set event.Config.Positions (event.NewPositions)", sub.durable.name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changeSubscriptions(sub.name, append(slices.Clone(b.byName()[sub.name]), sub))
	if b.running != nil {
		b.start(sub)
	}
	return sub, nil
}

// Close unsubscribes: no further event is handed over, and those still queued
// are refused. An action that is running goes on. It may be called from
// anywhere, also from the subscriber's own actions, and more than once.
func (s *Subscription) Close() {
	s.close.Do(func() {
		b := s.bus
		b.mu.Lock()
		defer b.mu.Unlock()
		rest := slices.DeleteFunc(slices.Clone(b.byName()[s.name]), func(o *Subscription) bool { return o == s })
		b.changeSubscriptions(s.name, rest)
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.closed)
		for _, d := range s.held.releaseAll() {
			d.refuse(closedReason)
		}
	})
}

// changeSubscriptions replaces the table that the listener reads without a
// lock. b.mu is held.
func (b *Bus) changeSubscriptions(name string, subs []*Subscription) {
	table := maps.Clone(b.byName())
	if len(subs) == 0 {
		delete(table, name)
	} else {
		table[name] = subs
	}
	b.subscriptions.Store(&table)
}

func (b *Bus) byName() map[string][]*Subscription { return *b.subscriptions.Load() }

// start runs the subscription's goroutine. b.mu is held, so that Run cannot
// have begun to wait for it.
func (b *Bus) start(s *Subscription) {
	ctx := b.running
	if ctx.Err() != nil {
		return
	}
	if s.durable != nil {
		b.handlers.Go(func() { s.durable.run(ctx, s) })
		return
	}
	b.handlers.Go(func() { s.loop(ctx) })
}

// loop hands over deliveries until the subscription is closed or the bus stops.
// It runs in the one goroutine of the subscription; when an action ends that
// goroutine, another takes over.
func (s *Subscription) loop(ctx context.Context) {
	returned := false
	defer func() {
		if !returned {
			s.bus.handlers.Go(func() { s.loop(ctx) })
		}
	}()
	for {
		s.tellMissed(ctx)
		var d delivery
		select {
		case <-ctx.Done():
		case <-s.closed:
		case d = <-s.queue:
		}
		reason := s.ended(ctx) // which goes before what is queued
		if reason == "" {
			s.handle(ctx, d)
			continue
		}
		d.refuse(reason)
		s.refuseQueued(reason)
		returned = true
		return
	}
}

// ended says why there is an end to deliveries, if there is.
func (s *Subscription) ended(ctx context.Context) string {
	select {
	case <-ctx.Done():
		return "the server is stopping"
	case <-s.closed:
		return closedReason
	default:
		return ""
	}
}

func (s *Subscription) handle(ctx context.Context, d delivery) {
	switch {
	case d.gap != nil:
		s.tellGap(ctx, *d.gap)
	case d.action.concurrent:
		s.bus.handlers.Go(func() { defer d.end(); _ = s.act(ctx, d) })
	default:
		defer d.end()
		_ = s.act(ctx, d) // it has been answered and logged
	}
}

// offer queues a delivery; it never blocks the listener. After Close it refuses:
// nobody would take what is queued. It is false when the queue is full.
func (s *Subscription) offer(d delivery) bool {
	s.mu.Lock() // Close waits, so that its end of the queue is the last
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		d.refuse(closedReason)
		return true
	default:
	}
	if len(s.queue) == cap(s.queue) {
		return false
	}
	d.tellDispatched() // before it can be handled
	s.queue <- d       // there is room: others take from it, none puts into it meanwhile
	return true
}

const closedReason = "the subscriber has been closed"

// act runs one action and answers, whatever the action does: it may panic, or
// end its goroutine.
func (s *Subscription) act(ctx context.Context, d delivery) (err error) {
	e := &d.answer.event
	log := zerolog.Ctx(ctx).With().Str(fieldEvent, e.ID.Hex()).
		Str(fieldSubscriber, s.name).Str(fieldAction, e.Action).Logger()
	ctx, release := d.answer.lease.bind(context.WithValue(log.WithContext(ctx), answerKey{}, d.answer))
	defer release()
	start := time.Now()
	var result any
	err = s.refusal(ctx, d)
	called := err == nil
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: string(debug.Stack())}
		}
		took := time.Since(start)
		d.finish(result, err, called, took)
		logOutcome(&log, err, took)
	}()
	if !called {
		return err
	}
	err = errGoexit // unless the next line returns
	result, err = d.action.handle(ctx, e.Parameters)
	return err
}

var errGoexit = errors.New("the action ended its goroutine (runtime.Goexit)")

func logOutcome(log *zerolog.Logger, err error, took time.Duration) {
	var refused *RefusedError
	switch {
	case err == nil:
		log.Debug().Dur("took_ms", took).Msg("action done")
	case errors.As(err, &refused):
		log.Warn().Str("reason", refused.Reason).Msg("action refused")
	default:
		log.Error().Err(err).Dur("took_ms", took).Msg("action failed")
	}
}

// refusal says why an action is not tried.
func (s *Subscription) refusal(ctx context.Context, d delivery) error {
	if ctx.Err() != nil {
		return Refuse("the server is stopping")
	}
	if d.answer.lease.isOver() {
		return Refuse("%v", ErrCallerGone)
	}
	return d.expired(s.bus.StoreTime())
}

// expired refuses what must not be late.
func (d delivery) expired(now time.Time) error {
	e := &d.answer.event
	at := e.ExpiresAt
	if at.IsZero() && d.action.limit > 0 {
		// ts counts whole seconds: the event may be up to one second younger.
		at = timeOf(e.Time).Add(d.action.limit + time.Second)
	}
	if !now.After(at) || at.IsZero() {
		return nil
	}
	return Refuse("expired %s ago: it was published at %s", now.Sub(at).Round(time.Millisecond),
		timeOf(e.Time).Format(time.RFC3339))
}

func (d delivery) refuse(reason string) {
	d.end()
	if d.answer != nil {
		d.finish(nil, &RefusedError{Reason: reason}, false, 0)
	}
}

func (s *Subscription) refuseQueued(reason string) {
	for {
		select {
		case d := <-s.queue:
			d.refuse(reason)
		default:
			return
		}
	}
}

// overrun notes that an event was lost to this subscriber.
func (s *Subscription) overrun(at time.Time, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed == nil {
		s.missed = &Gap{Since: at, Reason: reason}
	}
	s.missed.Until = at
}

func (s *Subscription) tellMissed(ctx context.Context) {
	s.mu.Lock()
	gap := s.missed
	s.missed = nil
	s.mu.Unlock()
	if gap != nil {
		s.bus.topics.Gaps.Post(GapNotice{Gap: *gap, Subscriber: s.name})
		s.tellGap(ctx, *gap)
	}
}

func (s *Subscription) tellGap(ctx context.Context, gap Gap) {
	h, ok := s.subscriber.(GapHandler)
	if !ok {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			zerolog.Ctx(ctx).Error().Str(fieldSubscriber, s.name).Interface("panic", value).
				Str("stack", string(debug.Stack())).Msg("panic while handling a gap")
		}
	}()
	h.Gap(ctx, gap)
}
