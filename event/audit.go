package event

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// Auditor is implemented by a Directory that keeps a record of what was asked of
// the fleet, by whom, and how it went. Package server implements it by the
// collection "audit". Its methods are safe for concurrent use.
//
// An act that cannot be written down does not happen: Audit comes before the
// event is stored. Events that are not audited cost nothing.
type Auditor interface {
	// Audits reports whether an event is recorded that does not ask for it by
	// itself (Event.Audited). It is called for every event and does no I/O.
	Audits(e Event) bool
	// Audit records an act that is about to be published. A repetition for the
	// same event is harmless: it may be called again after an error.
	Audit(ctx context.Context, act Act) error
	// Conclude records how a recorded act went.
	Conclude(ctx context.Context, act Act, how Conclusion) error
}

// Act is an event on its way, as an Auditor sees it.
type Act struct {
	Event Event
	// Wait is how long the publisher waits for the answers, 0 when it does not.
	Wait time.Duration
	// Expected are the living servers that were meant.
	Expected []Member
}

// Ending says how an act ended for its publisher.
type Ending string

// The endings.
const (
	EndedComplete Ending = "complete"       // every expected server has given its final answer
	EndedWait     Ending = "wait_over"      // the wait was over before that
	EndedGone     Ending = "gone"           // those whose answers are missing are lost, or have left
	EndedLeft     Ending = "left"           // the caller left before that
	EndedUnstored Ending = "publish_failed" // the event could not be stored
)

// Conclusion is how an act went.
type Conclusion struct {
	Ending  Ending
	Err     error   // why it ended so, if that was not in order
	Summary Summary // of a call
}

// Audited makes the bus record events for the action, as it does those for the
// built-in subscribers: who published it, to whom, and how it went. It costs the
// publisher two more writes.
//
// Call knows of it wherever the servers are. Publish, which asks nobody, knows it
// in processes that have the subscriber; in others set Event.Audited.
func Audited() ActionOption { return func(a *Action) { a.audited = true } }

// Trait is what publishers should know of an action.
type Trait struct {
	Subscriber string   `bson:"subscriber"`
	Action     string   `bson:"action"`
	Secret     []string `bson:"secret,omitempty"`  // paths of its secret parameters, see [Secret]
	Audited    bool     `bson:"audited,omitempty"` // see [Audited]
}

// Traits returns the traits of the actions of this process that have any.
func (b *Bus) Traits() []Trait {
	var traits []Trait
	for name, subs := range b.byName() {
		for _, s := range subs {
			for _, action := range sortedNames(s.actions) {
				a := s.actions[action]
				if name != All && (a.audited || len(a.secret) > 0) {
					traits = append(traits, Trait{Subscriber: name, Action: action, Secret: a.secret, Audited: a.audited})
				}
			}
		}
	}
	return traits
}

// Learn takes over what the members say of the event's action: which of its
// parameters are secret, and whether it is audited. Call does so by itself; it
// is for those who use [Bus.Match] and then Publish.
func (e *Event) Learn(members []Member) {
	for _, m := range members {
		for _, t := range m.Traits {
			if t.Subscriber == e.Name && t.Action == e.Action {
				e.hide(t.Secret)
				e.Audited = e.Audited || t.Audited
			}
		}
	}
}

// learnHere is Learn of the subscribers of this process.
func (b *Bus) learnHere(e *Event) {
	for _, s := range b.byName()[e.Name] {
		if a, ok := s.actions[e.Action]; ok {
			e.hide(a.secret)
			e.Audited = e.Audited || a.audited
		}
	}
}

// audits returns the Auditor of an event, nil when it is not recorded.
func (b *Bus) audits(e Event) Auditor {
	if auditor, ok := b.cfg.Directory.(Auditor); ok && (e.Audited || auditor.Audits(e)) {
		return auditor
	}
	return nil
}

// prepareAct completes an act before it is encoded. For an event that is recorded
// and not waited for it reads who is meant; for others it does no I/O.
func (b *Bus) prepareAct(ctx context.Context, act *Act) error {
	act.Event.Publisher = b.publisher(act.Event)
	b.learnHere(&act.Event)
	if b.audits(act.Event) == nil || act.Expected != nil {
		return nil
	}
	members, err := b.cfg.Directory.Members(ctx)
	if err != nil {
		return fmt.Errorf("read who is meant, for the audit: %w", err)
	}
	act.Event.Learn(members)
	act.Expected, err = meant(act.Event, members)
	return err
}

// recorded writes down the acts, calls store, and writes down if that failed.
func (b *Bus) recorded(ctx context.Context, acts []Act, store func() error) error {
	var noted []Act
	var err error
	for _, act := range acts {
		if auditor := b.audits(act.Event); auditor != nil {
			if err = audit(ctx, auditor, act); err != nil {
				break
			}
			noted = append(noted, act)
		}
	}
	if err == nil {
		err = store()
	}
	if err != nil {
		for _, act := range noted {
			b.conclude(ctx, act, Conclusion{Ending: EndedUnstored, Err: err})
		}
	}
	return err
}

// audit tries through a fail-over, as storing the event does.
func audit(ctx context.Context, auditor Auditor, act Act) error {
	err := appendRetrying(ctx, 1, func(int) (int, error) { return 1, auditor.Audit(ctx, act) })
	if err != nil {
		return fmt.Errorf("not published, because it could not be written down: %w", err)
	}
	return nil
}

// concludeTime bounds how long a conclusion may take that is written after the
// caller has left.
const concludeTime = 3 * time.Second

func (b *Bus) conclude(ctx context.Context, act Act, how Conclusion) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), concludeTime)
	defer cancel()
	if err := b.audits(act.Event).Conclude(ctx, act, how); err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Str(fieldEvent, act.Event.ID.Hex()).Msg("the outcome could not be written down")
	}
}

// publish publishes a call's event.
func (c *call) publish(ctx context.Context, members []Member) error {
	c.event.Learn(members)
	acts := []Act{{Event: c.event, Wait: c.wait, Expected: slices.Clip(members)}}
	if err := c.bus.publish(ctx, acts); err != nil {
		return err
	}
	c.act = &acts[0]
	return nil
}

// recorded collects the answers, and writes down how the call went, also when the
// caller has left or panics.
func (c *call) recorded(ctx context.Context, collect func() error) (err error) {
	defer func() {
		if c.bus.audits(c.act.Event) != nil {
			c.bus.conclude(ctx, *c.act, c.conclusion(ctx, err))
		}
	}()
	return collect()
}

func (c *call) conclusion(ctx context.Context, err error) Conclusion {
	how := Conclusion{Ending: EndedWait, Err: err, Summary: c.summary}
	how.Summary.Duration = time.Since(c.start)
	switch {
	case how.Summary.Complete():
		how.Ending = EndedComplete
	case ctx.Err() != nil || how.Summary.Duration < c.wait && c.waits():
		how.Ending = EndedLeft
	case how.Summary.Missing > 0 && how.Summary.Missing == how.Summary.Gone:
		how.Ending = EndedGone
	}
	if errors.Is(how.Err, context.Canceled) {
		how.Err = nil // it says no more than that the caller has left
	}
	return how
}
