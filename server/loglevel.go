package server

import (
	"cmp"
	"context"
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
	if p.For > 0 && p.Level == logging.Default {
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

// makeComponents makes the components that this server has, so that they are
// listed before they log.
func (s *Server) makeComponents() {
	names := []string{componentEvent, componentServer}
	if s.pool != nil {
		names = append(names, componentWorker)
	}
	for _, name := range names {
		s.cfg.Logger.Logger(zerolog.Nop(), name)
	}
}

// component returns a context whose logger follows the level of a component.
func (s *Server) component(ctx context.Context, name string) context.Context {
	if s.cfg.Logger == nil || zerolog.Ctx(ctx).GetLevel() == zerolog.Disabled { // there is none
		return ctx
	}
	log := s.cfg.Logger.Logger(*zerolog.Ctx(ctx), name)
	return log.WithContext(ctx)
}

// ownLogger returns ctx with the logger of the component server, in place of that of
// the bus, which hands over its own to actions. The fields of the event stay.
func (s *Server) ownLogger(ctx context.Context) context.Context {
	if s.cfg.Logger == nil {
		return ctx
	}
	fields := zerolog.Ctx(s.context()).With().Str("server_id", s.bus.Identity().ServerID.Hex())
	if e, ok := event.FromContext(ctx); ok {
		fields = fields.Str("event_id", e.ID.Hex()).Str("subscriber", e.Name).Str("action", e.Action)
	}
	log := fields.Logger()
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

// loggerSubscriber is the subscriber "logger" that comes to the desired levels after
// a gap.
type loggerSubscriber struct {
	subscribers.Logger
	server *Server
}

// Gap implements event.GapHandler.
func (l *loggerSubscriber) Gap(ctx context.Context, gap event.Gap) {
	l.server.reconcile(ctx, gap, func(ctx context.Context, want Desired) error {
		l.server.reconcileLevels(ctx, want.LogLevels)
		return nil
	})
}

// reconcileLevels applies the levels that are desired and not so. What cannot be
// applied, such as a level of a later version, is logged and left: trying it again
// would only keep the server from its events.
func (s *Server) reconcileLevels(ctx context.Context, want map[string]DesiredLevel) {
	now := s.bus.StoreTime()
	for _, have := range s.cfg.Logger.List() {
		w, ok := want[levelKey(have.Name)]
		if !ok || w.metBy(have, now) {
			continue
		}
		log := zerolog.Ctx(ctx).With().Str("of", levelKey(have.Name)).Str("for_a_while", w.Passing).Logger()
		if err := s.applyLevel(have, w, now); err != nil {
			log.Error().Err(err).Msg("the desired log level cannot be applied; set it again")
			continue
		}
		log.Info().Str("level", cmp.Or(w.Level, have.Own)).Msg("log level made up for after a gap")
	}
}

// metBy reports whether a component's level is as desired; ends within a second of
// each other are the same, as events have whole seconds.
func (w DesiredLevel) metBy(have logging.Component, now time.Time) bool {
	left := w.Until.Sub(now)
	if w.Level != "" && w.Level != have.Own {
		return false
	}
	if w.Passing == "" || left <= 0 {
		return !have.Passing
	}
	return have.Passing && have.Level == w.Passing && (have.Left-left).Abs() <= time.Second
}

func (s *Server) applyLevel(have logging.Component, w DesiredLevel, now time.Time) error {
	levels := s.cfg.Logger
	if _, err := levels.Set(have.Name, cmp.Or(w.Level, have.Own), 0); err != nil {
		return err
	}
	left := w.Until.Sub(now)
	if w.Passing == "" || left <= 0 {
		return nil
	}
	_, err := levels.Set(have.Name, w.Passing, left)
	return err
}
