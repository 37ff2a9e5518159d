package subscribers

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
)

// LoggerControl is what the logger subscriber acts on: [logging.Levels].
type LoggerControl interface {
	// Set sets the level of a component, or the global one for an empty name, for
	// good when d is 0, else for d; it returns the level that was in force.
	Set(component, level string, d time.Duration) (previous string, err error)
	// List returns the global level, then the components by name.
	List() []logging.Component
}

// LevelParameters are those of logger set.
type LevelParameters struct {
	// Level is trace, debug, info, warn, error, disabled, or default, with which a
	// component follows the global level, and that is as it was at the start.
	// Required.
	Level string `bson:"level" json:"level" validate:"required" doc:"trace, debug, info, warn, error, disabled or default"`
	// Component is whose level it is. Default: the global one.
	Component string `bson:"component,omitempty" json:"component,omitempty" doc:"whose level it is (default: the global one)"`
	// For is how long it stays so, from the publishing on; then it is again what
	// was set for good last. Default: for good.
	For Duration `bson:"for,omitempty" json:"for,omitempty" doc:"how long it stays so (default: for good)"`
}

// LevelChange is the result of logger set.
type LevelChange struct {
	Component string `bson:"component,omitempty" json:"component,omitempty"`
	Level     string `bson:"level" json:"level"`       // in force now
	Previous  string `bson:"previous" json:"previous"` // in force before
	// For is how long it is in force, from now on; nil when it is for good.
	For *Duration `bson:"for,omitempty" json:"for,omitempty"`
	// Until is when it goes back, by the database's clock; zero when it does not.
	Until time.Time `bson:"until,omitempty" json:"until,omitzero"`
	// Absent says that this process has no such component: there was nothing to do.
	// Components are those that it has.
	Absent     bool     `bson:"absent,omitempty" json:"absent,omitempty"`
	Components []string `bson:"components,omitempty" json:"components,omitempty"`
}

// LevelList is the result of logger list.
type LevelList struct {
	Components []ComponentLevel `bson:"components" json:"components"`
}

// ComponentLevel is the level of one component.
type ComponentLevel struct {
	Component string `bson:"component" json:"component"` // empty for the global level
	Level     string `bson:"level" json:"level"`         // in force
	Own       string `bson:"own" json:"own"`             // set for good; default when there is none
	// LeftMS is when the level goes back, in milliseconds; absent when it does not.
	LeftMS int64 `bson:"left_ms,omitempty" json:"left_ms,omitempty"`
}

// Logger is the subscriber "logger". A process that is no server, such as a web
// application, may have it alone.
type Logger struct{ Control LoggerControl }

// Name implements event.Subscriber.
func (l *Logger) Name() string { return "logger" }

// Actions implements event.Subscriber.
func (l *Logger) Actions() []event.Action {
	return []event.Action{
		event.OnResult("set", l.set, event.Doc("set the log level, of all or of a component, for good or for a while")),
		event.OnResult("list", l.list, event.Doc("answer with the log levels of all components")),
		event.OnResult("thread_dump", l.threadDump, event.ExpiresAfter(DefaultExpiry),
			event.Doc("write the stacks of all goroutines to the log, and answer with them")),
	}
}

func (l *Logger) set(ctx context.Context, p LevelParameters) (LevelChange, error) {
	now := event.Now(ctx)
	if err := p.takeRest(ctx, now); err != nil {
		return LevelChange{}, err
	}
	previous, err := l.Control.Set(p.Component, p.Level, time.Duration(p.For))
	if errors.Is(err, logging.ErrUnknownComponent) { // not every program of a fleet has it
		return LevelChange{Component: p.Component, Absent: true, Components: l.components()}, nil
	}
	if err != nil {
		return LevelChange{}, err
	}
	change := LevelChange{Component: p.Component, Previous: previous}
	if p.For > 0 {
		change.For, change.Until = &p.For, now.Add(time.Duration(p.For)).UTC().Truncate(time.Millisecond)
	}
	for _, c := range l.Control.List() {
		if c.Name == p.Component {
			change.Level = c.Level
		}
	}
	return change, nil
}

func (l *Logger) components() (names []string) {
	for _, c := range l.Control.List() {
		if c.Name != "" {
			names = append(names, c.Name)
		}
	}
	return names
}

// takeRest leaves of the time that a level shall hold what has not passed since the
// event was published, and refuses when nothing is left.
func (p *LevelParameters) takeRest(ctx context.Context, now time.Time) error {
	e, ok := event.FromContext(ctx)
	if p.For == 0 || !ok {
		return nil
	}
	// ts counts whole seconds: the event may be up to one second younger.
	late := Duration(now.Sub(time.Unix(int64(e.Time.T), 0).Add(time.Second)))
	if late <= 0 {
		return nil
	}
	if late >= p.For {
		return event.Refuse("level %s was for %s, which was over before the event came", p.Level, p.For)
	}
	p.For -= late
	return nil
}

func (l *Logger) list(context.Context, event.None) (LevelList, error) {
	var list LevelList
	for _, c := range l.Control.List() {
		list.Components = append(list.Components, ComponentLevel{Component: c.Name, Level: c.Level, Own: c.Own, LeftMS: c.Left.Milliseconds()})
	}
	return list, nil
}

func (l *Logger) threadDump(ctx context.Context, _ event.None) (ProcessStacks, error) {
	p := TakeStacks()
	zerolog.Ctx(ctx).Log().Int("goroutines", p.Goroutines).Msg(p.Log())
	return p, nil
}
