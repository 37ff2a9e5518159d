package event

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Directory knows the servers of the fleet. Package server implements it by the
// registry.
type Directory interface {
	// Members returns the living servers. It is safe for concurrent use. Calls that
	// wait for long ask again: who is not there any more is not waited for.
	Members(ctx context.Context) ([]Member, error)
}

// Recorder is implemented by a Directory that notes lasting states, such as a
// pause, beside their events: a server that cannot read the event any more comes
// to the state all the same. Publish calls Desire before it stores the event.
type Recorder interface {
	Desire(ctx context.Context, e Event) error
}

// Member is a living server, as the Directory knows it.
type Member struct {
	ServerID bson.ObjectID
	Name     string
	Host     string
	PID      int
	Labels   map[string]string
	Workers  []int               // the numbers of its workers
	Actions  map[string][]string // by subscriber; nil when not known
	Deaf     bool                // it beats, but does not hear
	Traits   []Trait             // of its actions, those that have any
}

// Identity returns what the target of an event is compared with.
func (m Member) Identity() *Identity {
	return &Identity{
		ServerID: m.ServerID, Name: m.Name, Host: m.Host, PID: m.PID, Labels: m.Labels,
		HasWorker: func(id int) bool { return slices.Contains(m.Workers, id) },
	}
}

// Match returns the living servers that the event is meant for and that have
// its subscriber: those that Call would wait for. It publishes nothing. An
// event whose subscriber or action nobody has gives an [*UnknownError].
func (b *Bus) Match(ctx context.Context, e Event) ([]Member, error) {
	if b.cfg.Directory == nil {
		return nil, ErrNoDirectory
	}
	if err := errors.Join(e.validate(b.cfg.MaxParameters), b.checkLocal(e)); err != nil {
		return nil, err
	}
	members, err := b.cfg.Directory.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("read who should answer: %w", err)
	}
	if err := known(e, members); err != nil {
		return nil, err
	}
	return meant(e, members)
}

// meant returns the members that the event is for.
func meant(e Event, members []Member) ([]Member, error) {
	var matching []Member
	for _, m := range members {
		if m.Actions != nil && m.Actions[e.Name] == nil {
			continue
		}
		ok, err := e.Target.Matches(m.Identity())
		if err != nil {
			return nil, err
		}
		if ok {
			matching = append(matching, m)
		}
	}
	return matching, nil
}

// known reports a subscriber or action that no member has. It cannot tell when
// there are no members, or when one does not say what it has.
func known(e Event, members []Member) error {
	var subscribers, actions []string
	for _, m := range members {
		if m.Actions == nil {
			return nil
		}
		for name := range m.Actions {
			subscribers = append(subscribers, name)
		}
		actions = append(actions, m.Actions[e.Name]...)
	}
	switch {
	case len(members) == 0, slices.Contains(actions, e.Action):
		return nil
	case len(actions) == 0:
		slices.Sort(subscribers)
		return &UnknownError{Subscriber: e.Name, Known: slices.Compact(subscribers)}
	}
	slices.Sort(actions)
	return &UnknownError{Subscriber: e.Name, Action: e.Action, Known: slices.Compact(actions)}
}
