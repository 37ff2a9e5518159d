package event

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Fields of log lines.
const (
	fieldServer     = "server_id"
	fieldEvent      = "event_id"
	fieldSubscriber = "subscriber"
	fieldAction     = "action"
)

// ErrStopped is the cause with which the context of running actions ends.
var ErrStopped = errors.New("the bus has stopped")

// Run listens, and hands events to the subscribers, until ctx ends. It takes
// its start position first, trying for ever if the database cannot be reached.
// When ctx ends it refuses what is queued, ends the context of running actions,
// waits for them up to Config.DrainTime and stores the answers. It returns nil
// after a clean stop, and an error when actions did not return. A Bus runs once.
func (b *Bus) Run(ctx context.Context) error {
	log := zerolog.Ctx(ctx).With().Str(fieldServer, b.cfg.Identity.ServerID.Hex()).Logger()
	ctx = log.WithContext(ctx)
	l := &listener{bus: b, log: &log, malformed: map[string]bool{}}
	acting, stopActions := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopActions(nil)
	if err := b.begin(acting); err != nil {
		return err
	}
	b.calls.linger(true)
	defer b.calls.linger(false)
	stopAnswers, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answered)
		b.answers.run(ctx, stopAnswers)
	}()

	if from, ok := b.startPosition(ctx, l); ok {
		b.health.started(from)
		b.awaitDurable(ctx)
		close(b.listening)
		b.handlers.Go(func() { b.keepTime(acting) })
		_ = b.events.Read(ctx, from, l) // returns only when ctx has ended
	}

	b.flush()
	b.mu.Lock() // no subscription is started from here on
	stopActions(ErrStopped)
	b.mu.Unlock()
	err := b.drain()
	close(stopAnswers)
	<-answered
	b.topics.close()
	return err
}

// begin starts the goroutines of the subscriptions that are there already.
func (b *Bus) begin(acting context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		return ErrRunning
	}
	b.running = acting
	for _, subs := range b.byName() {
		for _, s := range subs {
			b.start(s)
		}
	}
	return nil
}

// startPosition marks the place from which on events are acted upon.
func (b *Bus) startPosition(ctx context.Context, l *listener) (from Position, ok bool) {
	if !l.persist(ctx, func() error { return b.askTime(ctx) }) {
		return from, false
	}
	close(b.timed)
	ok = l.persist(ctx, func() (err error) {
		from, err = markSoon(ctx, b.events)
		return err
	})
	return from, ok
}

// persist tries until it succeeds, which it reports, or ctx ends.
func (l *listener) persist(ctx context.Context, try func() error) bool {
	for delays := (backoff{}); ctx.Err() == nil; delays.wait(ctx) {
		err := try()
		if err == nil {
			return true
		}
		l.State(StateConnecting, Position{}, err)
	}
	return false
}

// awaitDurable waits until the durable subscriptions have their positions, too.
func (b *Bus) awaitDurable(ctx context.Context) {
	for _, subs := range b.byName() {
		for _, s := range subs {
			if s.durable == nil {
				continue
			}
			select {
			case <-ctx.Done():
			case <-s.durable.ready:
			}
		}
	}
}

// clockInterval is how often the database is asked for its time: this process's
// clock may be set meanwhile.
const clockInterval = 30 * time.Second

// keepTime knows the database's time until ctx ends.
func (b *Bus) keepTime(ctx context.Context) {
	tick := time.NewTicker(clockInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = b.askTime(ctx) // the last known difference is the best there is
		}
	}
}

// askTime compares this process's clock with the database's.
func (b *Bus) askTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	before := time.Now()
	at, err := b.events.Time(ctx)
	if err != nil {
		return err
	}
	b.health.setClock(at, before.Add(time.Since(before)/2))
	return nil
}

// drain waits for the running actions.
func (b *Bus) drain() error {
	done := make(chan struct{})
	go func() { b.handlers.Wait(); close(done) }()
	timer := time.NewTimer(b.cfg.DrainTime)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("actions did not return within %s after the bus was stopped; they go on unattended", b.cfg.DrainTime)
	}
}

// listener is the bus's Reader. Its methods run in Run's goroutine alone.
type listener struct {
	bus       *Bus
	log       *zerolog.Logger
	head      header
	malformed map[string]bool // kinds that have been logged
}

// Entry decides on one document, and queues it for the subscribers it is for.
func (l *listener) Entry(raw bson.Raw, _ Position) {
	b := l.bus
	meant, err := l.meant(raw)
	b.health.received(err)
	if err != nil {
		l.skip(err)
		return
	}
	if !meant {
		return
	}
	e, err := Decode(slices.Clone(raw)) // raw is valid only during this call
	if err != nil {
		b.health.update(func(h *Health) { h.Malformed++ })
		l.skip(err)
		return
	}
	b.tellReceived(&e, "")
	table := b.byName()
	if subs := table[e.Name]; len(subs) > 0 {
		l.dispatch(e, subs)
	}
	l.show(e, table[All])
}

// meant reports whether the event is for subscribers of this process.
func (l *listener) meant(raw bson.Raw) (bool, error) {
	h := &l.head
	if err := h.parse(raw); err != nil {
		return false, err
	}
	if string(h.name) == callSubscriber {
		l.bus.leases.heard(h)
		return false, nil
	}
	table := l.bus.byName()
	if len(table[string(h.name)])+len(table[All]) == 0 {
		return false, nil
	}
	if h.target == nil {
		return true, nil
	}
	return matchTarget(h.target, &l.bus.cfg.Identity)
}

// show hands the event to those who see all; they answer nothing.
func (l *listener) show(e Event, subs []*Subscription) {
	if len(subs) == 0 {
		return
	}
	e.Reply = false
	answer := l.bus.newAnswer(e, len(subs))
	for _, s := range subs {
		if s.durable == nil {
			l.hand(s, answer, s.actions[All])
		}
	}
}

// hand queues an event for one subscriber.
func (l *listener) hand(s *Subscription, answer *answer, action Action) {
	d := delivery{sub: s, answer: answer, action: action}
	if answer.event.Coalesce && action.name != All {
		l.bus.health.update(func(h *Health) { h.Delivered++ })
		s.held.hold(d, l.bus.cfg.CoalesceQuiet, l.bus.cfg.CoalesceMax, func(d delivery) {
			if !s.offer(d) {
				l.overrun(d)
			}
		})
		return
	}
	if s.offer(d) {
		l.bus.health.update(func(h *Health) { h.Delivered++ })
		return
	}
	l.overrun(d)
}

func (l *listener) dispatch(e Event, subs []*Subscription) {
	able := make([]*Subscription, 0, len(subs))
	elsewhere := false // a durable subscription reads, and answers, by itself
	for _, s := range subs {
		switch _, can := s.actions[e.Action]; {
		case can && s.durable != nil:
			elsewhere = true
		case can:
			able = append(able, s)
		}
	}
	answer := l.bus.newAnswer(e, max(1, len(able)))
	switch {
	case len(able) > 0:
		answer.ack()
	case !elsewhere:
		unknown := &UnknownError{Subscriber: e.Name, Action: e.Action, Known: sortedNames(subs[0].actions)}
		answer.finish(nil, &RefusedError{Reason: unknown.Error()}, 0)
		l.log.Warn().Str(fieldEvent, e.ID.Hex()).Err(unknown).Msg("event refused")
	}
	for _, s := range able {
		l.hand(s, answer, s.actions[e.Action])
	}
}

func (l *listener) overrun(d delivery) {
	s, e := d.sub, &d.answer.event
	reason := fmt.Sprintf("overrun: %d events wait for subscriber %q already", cap(s.queue), s.name)
	s.overrun(timeOf(e.Time), reason)
	d.finish(nil, errors.New(reason), false, 0)
	first := false
	l.bus.health.update(func(h *Health) { first = h.Overruns == 0; h.Overruns++ })
	if first {
		l.log.Warn().Str(fieldSubscriber, s.name).Str(fieldEvent, e.ID.Hex()).
			Msg(reason + "; this one is lost to it (further ones are counted, not logged)")
	}
}

// skip logs each kind of malformed document once.
func (l *listener) skip(err error) {
	kind := err.Error()
	var malformed *MalformedError
	if errors.As(err, &malformed) {
		kind = malformed.Kind
	}
	if l.malformed[kind] || len(l.malformed) >= 100 {
		return
	}
	l.malformed[kind] = true
	l.log.Warn().Err(err).Str(fieldEvent, l.head.id.Hex()).
		Msg("skipped a document in the events collection (further ones of this kind are counted, not logged)")
}

// Gap tells everybody who wants to know.
func (l *listener) Gap(gap Gap) {
	b := l.bus
	b.health.update(func(h *Health) { h.Gaps++ })
	l.log.Warn().Time("since", gap.Since).Time("until", gap.Until).Msg("gap: " + gap.Reason)
	b.topics.Gaps.Post(GapNotice{Gap: gap})
	for _, subs := range b.byName() {
		for _, s := range subs {
			if s.durable == nil && !s.offer(delivery{sub: s, gap: &gap}) {
				s.overrun(gap.Since, gap.Reason)
			}
		}
	}
}

// State keeps the health, and logs when the listener loses and finds the store.
func (l *listener) State(s State, pos Position, err error) {
	changed := l.bus.health.state(s, pos, err)
	switch {
	case !changed && err == nil:
	case s == StateListening:
		l.log.Debug().Stringer("position", pos).Msg("listening")
	case err != nil && changed:
		l.log.Warn().Err(err).Msg("the events collection cannot be read; trying again until it can")
	}
}
