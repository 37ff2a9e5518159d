package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

// The settings that a server with Config.Settings follows while it runs. Where no
// layer has a value, that of its Config counts.
var (
	maxWorkers = config.New("fleetcast/max_workers", 10, config.Unit("workers"), config.Min(1),
		config.Doc("how many workers are live at a time"))
	heartbeatSeconds = config.New("fleetcast/heartbeat_seconds", DefaultHeartbeat, config.Unit("seconds"), config.Min(100*time.Millisecond),
		config.Doc("time between two heartbeats; a server is lost after four of them"))
	maxPollSeconds = config.New("fleetcast/max_poll_seconds", 5*time.Second, config.Unit("seconds"), config.Min(time.Millisecond),
		config.Doc("how long a worker that found no work waits before it asks again"))
	reCheckSeconds = config.New("fleetcast/re_check_seconds", time.Minute, config.Unit("seconds"), config.Min(time.Millisecond),
		config.Doc("how long work of many parts goes on before it looks for something more urgent, if its source does so"))
	includeFilter = config.New[[]string]("fleetcast/include_filter", nil, config.Check(checkPatterns),
		config.Doc("kinds of work to take, as patterns such as mail-*; none means all"))
	excludeFilter = config.New[[]string]("fleetcast/exclude_filter", nil, config.Check(checkPatterns),
		config.Doc("kinds of work to leave to others, as patterns; not together with include_filter"))
	whereFilter = config.New[map[string]any]("fleetcast/where_filter", nil,
		config.Doc("a query that the source of work merges with its own, if it has queries"))
	shutdownTimeoutKey = config.New("fleetcast/shutdown_timeout", DefaultShutdownTimeout, config.Min(time.Duration(0)),
		config.Doc("how long current work may go on after a stop before it is cancelled; 0 means without limit"))
	stuckAfter = config.New("fleetcast/stuck_after", time.Duration(0), config.Min(time.Duration(0)),
		config.Doc("flag a worker that is busy for longer than this; 0 means never"))
	logLevel = config.New("fleetcast/log_level", "", config.Check(checkLevel),
		config.Doc("the global log level; default is the one of the start"))
)

func init() { config.Together(checkFilters) }

func checkPatterns(patterns []string) error { return worker.Filter{Include: patterns}.Validate() }

func checkLevel(level string) error {
	if level == "" {
		return nil
	}
	return logging.Check(level)
}

func checkFilters(s *config.Snapshot) error {
	if len(includeFilter.Get(s)) > 0 && len(excludeFilter.Get(s)) > 0 {
		return fmt.Errorf("%s and %s are both set: unset one of them", includeFilter.Path(), excludeFilter.Path())
	}
	return nil
}

// followed is what a server takes of its settings.
type followed struct {
	heartbeat, shutdownTimeout time.Duration
	pool                       worker.Config
	level                      string // empty as of the start
}

// follow returns what the settings say, and c where they say nothing.
func (c Config) follow(s *config.Snapshot) followed {
	f := followed{heartbeat: c.Heartbeat, shutdownTimeout: c.ShutdownTimeout, pool: c.Pool}
	take(s, maxWorkers, &f.pool.Workers)
	take(s, heartbeatSeconds, &f.heartbeat)
	take(s, maxPollSeconds, &f.pool.PollInterval)
	take(s, reCheckSeconds, &f.pool.Recheck)
	take(s, stuckAfter, &f.pool.StuckAfter)
	if include, exclude := isSet(s, includeFilter.Path()), isSet(s, excludeFilter.Path()); include || exclude {
		f.pool.Filter.Include, f.pool.Filter.Exclude = includeFilter.Get(s), excludeFilter.Get(s)
	}
	take(s, whereFilter, &f.pool.Filter.Where)
	if take(s, shutdownTimeoutKey, &f.shutdownTimeout) && f.shutdownTimeout == 0 {
		f.shutdownTimeout = -1 // without limit, in a Config
	}
	take(s, logLevel, &f.level)
	return f
}

// take sets to to the value of a key, if any layer has one.
func take[T any](s *config.Snapshot, key *config.Key[T], to *T) bool {
	set := isSet(s, key.Path())
	if set {
		*to = key.Get(s)
	}
	return set
}

func isSet(s *config.Snapshot, path string) bool {
	v, ok := s.Value(path)
	return ok && v.Origin.Layer != config.LayerDefault
}

// withSettings returns the Config as its settings have it at the start.
func (c Config) withSettings() Config {
	if c.Settings == nil {
		return c
	}
	f := c.follow(c.Settings.Snapshot())
	c.Heartbeat, c.ShutdownTimeout, c.Pool = f.heartbeat, f.shutdownTimeout, f.pool
	return c
}

// followSettings puts into force what has changed in the settings since the last
// time. What was changed otherwise, such as the number of workers by an event, stays.
func (s *Server) followSettings() error {
	s.following.Lock()
	defer s.following.Unlock()
	was, is := s.followed, s.given.follow(s.given.Settings.Snapshot())
	do := func() (bool, error) { return s.configureFrom(was, is) }
	var err error
	if s.pool != nil && was.pool.Workers != is.pool.Workers {
		_, err = s.perform(request{change: ChangeResize, by: BySettings}, do)
	} else {
		_, err = do()
	}
	if err == nil && was.level != is.level {
		err = s.setLevel(is.level)
	}
	if err != nil {
		return fmt.Errorf("the settings are loaded, but the server cannot follow them: %w", err)
	}
	s.followed = is
	return nil
}

// configureFrom changes what is different.
func (s *Server) configureFrom(was, is followed) (changed bool, err error) {
	return s.Configure(func(c *Config) {
		put(&c.Heartbeat, was.heartbeat, is.heartbeat)
		put(&c.ShutdownTimeout, was.shutdownTimeout, is.shutdownTimeout)
		put(&c.Pool.Workers, was.pool.Workers, is.pool.Workers)
		put(&c.Pool.PollInterval, was.pool.PollInterval, is.pool.PollInterval)
		put(&c.Pool.Recheck, was.pool.Recheck, is.pool.Recheck)
		put(&c.Pool.StuckAfter, was.pool.StuckAfter, is.pool.StuckAfter)
		put(&c.Pool.Filter, was.pool.Filter, is.pool.Filter)
	})
}

// warnUnknown names settings in fleetcast/ that this version does not know: of a later
// one, or mistyped.
func (s *Server) warnUnknown(ctx context.Context) {
	for _, v := range s.given.Settings.Values() {
		if strings.HasPrefix(v.Path, "fleetcast/") && !v.Declared {
			zerolog.Ctx(ctx).Warn().Str("path", v.Path).Stringer("origin", v.Origin).Msg("this version knows no such setting: it has no effect")
		}
	}
}

func put[T any](to *T, was, is T) {
	if !reflect.DeepEqual(was, is) {
		*to = is
	}
}

// setLevel sets the global log level; an empty one is that of the start.
func (s *Server) setLevel(level string) error {
	if s.cfg.Logger == nil {
		return nil
	}
	if level == "" {
		level = logging.Default
	}
	_, err := s.cfg.Logger.Set("", level, 0)
	return err
}

// startSettings puts the log level into force, and prepares to follow.
func (s *Server) startSettings() error {
	if s.given.Settings == nil {
		return nil
	}
	s.followed = s.given.follow(s.given.Settings.Snapshot())
	if s.followed.level == "" {
		return nil
	}
	return s.setLevel(s.followed.level)
}

// runSettings runs the settings until ctx ends, and follows them whatever has
// refreshed them.
func (s *Server) runSettings(ctx context.Context) {
	if s.given.Settings == nil {
		return
	}
	follow := func() {
		if err := s.followSettings(); err != nil {
			zerolog.Ctx(ctx).Error().Err(err).Send()
		}
		s.warnUnknown(ctx)
	}
	defer s.given.Settings.OnChange("fleetcast", func(string, any, any) { follow() })()
	follow()                                                                 // what was refreshed before
	if err := s.given.Settings.Run(ctx); errors.Is(err, config.ErrRunning) { // the user runs them
		<-ctx.Done()
	}
}

// liveSettings are the settings as the subscriber config sees them: when it answers,
// the server follows.
type liveSettings struct {
	*config.Settings
	server *Server
}

var _ subscribers.Refresher[config.Changes, []config.Value] = liveSettings{}

// Refresh implements subscribers.Refresher.
func (l liveSettings) Refresh(ctx context.Context) (config.Changes, error) {
	changes, err := l.Settings.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.server.followSettings(); err != nil {
		return changes, err
	}
	l.server.beats.show(ctx)
	return changes, nil
}
