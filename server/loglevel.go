package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/subscribers"
)

// The components whose log levels a server has, and its Config.Logger knows.
const (
	componentEvent  = "event"  // the bus: listening, actions
	componentServer = "server" // registry, heartbeat, life cycle
	componentWorker = "worker" // the pool, and what child processes print
)

// DesiredLevel is the log level that somebody has asked of a component.
type DesiredLevel struct {
	Level string `bson:"level,omitempty"` // for good; empty as it was
	// Passing is in force until then, by the database's clock.
	Passing string    `bson:"passing,omitempty"`
	Until   time.Time `bson:"until,omitempty"`
}

// allComponents is the key of the global level.
const allComponents = "*"

func levelKey(component string) string {
	if component == "" {
		return allComponents
	}
	return component
}

// componentKey is what can be a key, and a component's name.
var componentKey = regexp.MustCompile(`^[A-Za-z0-9_-]{0,64}$`)

// desiredLevel returns what logger set asks for. What the logger will refuse is not
// noted.
func (r *Registry) desiredLevel(ctx context.Context, e event.Event) (bson.D, error) {
	var p subscribers.LevelParameters
	if bson.Unmarshal(e.Parameters, &p) != nil || logging.Check(p.Level) != nil || !componentKey.MatchString(p.Component) {
		return nil, nil
	}
	key := "desired.log_levels." + levelKey(p.Component)
	if p.For == 0 {
		return bson.D{{Key: key, Value: DesiredLevel{Level: p.Level}}}, nil
	}
	now, err := event.StoreTime(ctx, r.coll.Database())
	if err != nil {
		return nil, err
	}
	until := now.Add(time.Duration(p.For))
	return bson.D{{Key: key + ".passing", Value: p.Level}, {Key: key + ".until", Value: until}}, nil
}

// component returns a context whose logger follows the level of a component.
func (s *Server) component(ctx context.Context, name string) context.Context {
	if s.cfg.Logger == nil {
		return ctx
	}
	log := s.cfg.Logger.Logger(*zerolog.Ctx(ctx), name)
	return log.WithContext(ctx)
}

// levelControl notes as desired what level an event has set: what a publisher has
// noted may be of another moment.
type levelControl struct {
	*logging.Levels
	server *Server
}

func (l levelControl) Set(component, level string, d time.Duration) (previous string, err error) {
	if previous, err = l.Levels.Set(component, level, d); err != nil {
		return previous, err
	}
	s := l.server
	told := DesiredLevel{}
	for _, c := range l.List() {
		if c.Name == component {
			told.Level = c.Own
			if c.Passing {
				told.Passing, told.Until = c.Level, s.bus.StoreTime().Add(c.Left).UTC().Truncate(time.Millisecond)
			}
		}
	}
	s.mu.Lock()
	levels := maps.Clone(s.told.LogLevels)
	if levels == nil {
		levels = map[string]DesiredLevel{}
	}
	levels[levelKey(component)] = told
	s.told.LogLevels = levels
	s.mu.Unlock()
	s.beats.now()
	return previous, nil
}

// reconcileLevels applies the levels that are desired and not so.
func (s *Server) reconcileLevels(ctx context.Context, want map[string]DesiredLevel) error {
	levels := s.cfg.Logger
	if levels == nil {
		return nil
	}
	var faults []error
	now := s.bus.StoreTime()
	for _, have := range levels.List() {
		w, ok := want[levelKey(have.Name)]
		if !ok {
			continue
		}
		left := w.Until.Sub(now)
		passes := w.Passing != "" && left > 0
		if (w.Level == "" || w.Level == have.Own) && (passes && have.Level == w.Passing && have.Passing || !passes && !have.Passing) {
			continue
		}
		own := have.Own
		if w.Level != "" {
			own = w.Level
		}
		_, err := levels.Set(have.Name, own, 0)
		if passes && err == nil {
			_, err = levels.Set(have.Name, w.Passing, left)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("the desired log level of %q: %w", levelKey(have.Name), err))
			continue
		}
		zerolog.Ctx(ctx).Info().Str("of", levelKey(have.Name)).Str("level", own).Str("for_a_while", w.Passing).Msg("log level made up for after a gap")
	}
	return errors.Join(faults...)
}
