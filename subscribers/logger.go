package subscribers

import (
	"context"

	"github.com/fleetcast/fleetcast/event"
)

// LoggerControl is what the logger subscriber acts on; [Level] is one for
// zerolog.
type LoggerControl interface {
	// Level returns the present level by its name.
	Level() string
	// SetLevel sets the level; it fails for a name that it does not know.
	SetLevel(name string) error
	// ThreadDump writes the stacks of all goroutines of the process to the log.
	ThreadDump(ctx context.Context) (goroutines int, err error)
}

// LevelParameters are those of logger set.
type LevelParameters struct {
	// Level is trace, debug, info, warn, error or disabled. Required.
	Level string `bson:"level" json:"level"`
}

// LevelChange is the result of logger set.
type LevelChange struct {
	Level    string `bson:"level" json:"level"`
	Previous string `bson:"previous" json:"previous"`
}

// Logger is the subscriber "logger". A process that is no server, such as a web
// application, may have it alone.
type Logger struct{ Control LoggerControl }

// Name implements event.Subscriber.
func (l *Logger) Name() string { return "logger" }

// Actions implements event.Subscriber.
func (l *Logger) Actions() []event.Action {
	return []event.Action{
		event.OnResult("set", l.set, event.Doc("set the log level")),
		event.OnResult("thread_dump", l.threadDump, event.ExpiresAfter(DefaultExpiry),
			event.Doc("write the stacks of all goroutines to the log, and answer with them")),
	}
}

func (l *Logger) set(_ context.Context, p LevelParameters) (LevelChange, error) {
	previous := l.Control.Level()
	if err := l.Control.SetLevel(p.Level); err != nil {
		return LevelChange{}, err
	}
	return LevelChange{Level: l.Control.Level(), Previous: previous}, nil
}

func (l *Logger) threadDump(ctx context.Context, _ event.None) (ProcessStacks, error) {
	if _, err := l.Control.ThreadDump(ctx); err != nil {
		return ProcessStacks{}, err
	}
	return TakeStacks(), nil
}
