package event

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// None is the parameter type of an action that takes none.
type None struct{}

// Defaulter is implemented by (pointers to) parameter structs whose fields have
// defaults other than zero. SetDefaults is called before the event's parameters
// are decoded into the struct. A field whose default is not zero must not be tagged
// omitempty, or a zero that is published comes as the default.
type Defaulter interface{ SetDefaults() }

// All is the name of a subscriber that sees every event which is meant for this
// process, whatever subscriber and action it is for. Its one action has this
// name, too, and takes the parameters as a [bson.Raw]; [FromContext] has the
// rest. It answers nothing. Nobody can publish to it.
const All = "*"

// Subscriber is a named struct with a table of actions.
type Subscriber interface {
	// Name is what an Event's Name is compared with.
	Name() string
	// Actions is called once, by Subscribe.
	Actions() []Action
}

// GapHandler is implemented by subscribers that want to know of events that
// they can never receive. Gap is called in order with the subscriber's events.
type GapHandler interface {
	Gap(ctx context.Context, gap Gap)
}

// Action is one thing a subscriber can do. Make one with [On] or [OnResult].
type Action struct {
	name       string
	doc        string
	limit      time.Duration
	concurrent bool
	coalesceBy string
	parameters reflect.Type
	audited    bool
	secret     []string // paths of secret parameters
	handle     handler
}

// handler decodes the parameters and runs the action.
type handler func(ctx context.Context, parameters bson.Raw) (result any, err error)

// ActionOption changes an Action.
type ActionOption func(*Action)

// Doc describes the action in one line for people.
func Doc(text string) ActionOption { return func(a *Action) { a.doc = text } }

// ExpiresAfter makes the action refuse an event that reaches it later than d
// after its publishing, by the database's clock. Default: no limit.
func ExpiresAfter(d time.Duration) ActionOption { return func(a *Action) { a.limit = d } }

// Concurrent lets the action run in a goroutine of its own, so that it holds up
// none of the subscriber's later events: for actions that wait, such as stop.
func Concurrent() ActionOption { return func(a *Action) { a.concurrent = true } }

// On makes an action of a method value that takes typed parameters. The
// parameters of the event are decoded into a P; see [Defaulter].
//
// An error makes the answer failed, one made by [Refuse] makes it refused. The
// context ends when the Bus stops; it carries the Bus's logger and the event,
// see [FromContext].
func On[P any](name string, do func(context.Context, P) error, opts ...ActionOption) Action {
	if do == nil {
		return Action{name: name}
	}
	return OnResult(name, func(ctx context.Context, p P) (any, error) { return nil, do(ctx, p) }, opts...)
}

// OnResult is On for an action with a result, which travels back in the answer; beside
// an error, too, unless it is the zero value.
func OnResult[P, R any](name string, do func(context.Context, P) (R, error), opts ...ActionOption) Action {
	if do == nil {
		return Action{name: name} // Subscribe says so
	}
	a := Action{name: name, parameters: reflect.TypeFor[P](), secret: secretsIn(reflect.TypeFor[P]()), handle: func(ctx context.Context, raw bson.Raw) (any, error) {
		parameters, err := decodeParameters[P](raw)
		if err != nil {
			e, _ := FromContext(ctx)
			return nil, &ParametersError{Subscriber: e.Name, Action: e.Action, Err: err}
		}
		result, err := do(ctx, parameters)
		if err != nil && reflect.ValueOf(&result).Elem().IsZero() {
			return nil, err
		}
		return result, err
	}}
	for _, opt := range opts {
		opt(&a)
	}
	return a
}

// Name returns the action's name.
func (a Action) Name() string { return a.name }

// Description returns the line given with [Doc].
func (a Action) Description() string { return a.doc }

// actionTable checks a subscriber's actions and makes them a map.
func actionTable(s Subscriber) (map[string]Action, error) {
	all := s.Name() == All
	if s.Name() == callSubscriber {
		return nil, fmt.Errorf("the subscriber name %q is taken by the bus itself: choose another one", callSubscriber)
	}
	if fault := nameFault("subscriber", s.Name()); fault != nil && !all {
		return nil, fault
	}
	table := map[string]Action{}
	var faults []error
	for _, a := range s.Actions() {
		if all != (a.name == All) {
			faults = append(faults, fmt.Errorf("action %q: a subscriber of all events has the one action %q, others have none of that name", a.name, All))
		} else if fault := nameFault("action", a.name); fault != nil && !all {
			faults = append(faults, fault)
		}
		if a.handle == nil {
			faults = append(faults, fmt.Errorf("action %q has no function", a.name))
		}
		if _, twice := table[a.name]; twice {
			faults = append(faults, fmt.Errorf("action %q is there twice", a.name))
		}
		table[a.name] = a
	}
	if len(table) == 0 {
		faults = append(faults, errors.New("it has no actions"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("subscriber %q: %w", s.Name(), err)
	}
	return table, nil
}

func sortedNames(table map[string]Action) []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
