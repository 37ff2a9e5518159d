package config

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// DefaultLoadTimeout bounds how long the collection is waited for.
const DefaultLoadTimeout = 10 * time.Second

// Config says where settings come from. The zero value works: the defaults of the
// declared settings, and environment variables.
type Config struct {
	// Keys are the declared settings. Default: those of the process, which [New] has
	// declared.
	Keys *Keys
	// File is a YAML file; empty for none. It must be there unless FileOptional is set.
	File         string
	FileOptional bool
	// Store is the collection of settings; nil for none. Member says which of its
	// scopes are for this process.
	Store  *Store
	Member Member
	// StoreOptional lets Open succeed when the collection is out of reach: its values
	// are then missing until Run, which tries again for ever, has reached it. Default:
	// Open fails, so that no process works with half of its settings.
	StoreOptional bool
	// LoadTimeout bounds each attempt to read the collection. Default 10 s.
	LoadTimeout time.Duration
	// EnvPrefix begins the names of environment variables, see [EnvName]; such as
	// "SHOP_".
	EnvPrefix string
	// Environ are the environment variables, as "NAME=value". Default: the process's,
	// read anew each time.
	Environ []string
	// Flags were given on the command line.
	Flags []Flag
	// Defaults take the places of those that declared settings have, such as the
	// defaults of flags.
	Defaults []Flag
	// SecretDirs are where values in the collection may refer to files by @/path.
	// Default: [DefaultSecretDirs]. Other layers may refer to any file.
	SecretDirs []string
	// Watch is how often Run looks whether the file, or one that a value refers to, has
	// changed; when it looks twice alike, it refreshes. 0 means never.
	Watch time.Duration
	// Check checks settings together, before they are in force; an error refuses them
	// all. It must be quick and have no effects. Default: none.
	Check func(*Snapshot) error
}

// Flag is a value of the command line, or of the program.
type Flag struct {
	Path  string
	Name  string // such as --workers, for people
	Value any
}

func (c Config) withDefaults() Config {
	if c.Keys == nil {
		c.Keys = &process
	}
	if c.SecretDirs == nil {
		c.SecretDirs = DefaultSecretDirs
	}
	if c.LoadTimeout == 0 {
		c.LoadTimeout = DefaultLoadTimeout
	}
	return c
}

// envPrefix is what the name of an environment variable may begin with.
var envPrefix = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)?$`)

func (c Config) check() error {
	if !envPrefix.MatchString(c.EnvPrefix) {
		return fmt.Errorf("config.Config.EnvPrefix is %q: it begins the names of environment variables, as SHOP_ does", c.EnvPrefix)
	}
	if c.LoadTimeout < 0 || c.Watch < 0 {
		return fmt.Errorf("config.Config: LoadTimeout is %s and Watch is %s: neither may be negative", c.LoadTimeout, c.Watch)
	}
	return nil
}

// Settings are the settings of a process. Make them with [Open]. The methods are safe
// for concurrent use.
type Settings struct {
	cfg      Config
	current  atomic.Pointer[Snapshot]
	turn     chan struct{} // holds the token of whoever refreshes
	watchers watchers
	partial  atomic.Bool // the collection has not been read yet
	ran      atomic.Bool
}

// Open loads the settings. All that is wrong with them is in one [FaultsError]; a
// collection that is out of reach is [ErrUnavailable], but see Config.StoreOptional.
func Open(ctx context.Context, cfg Config) (*Settings, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Settings{cfg: cfg, turn: make(chan struct{}, 1), watchers: newWatchers()}
	snapshot, err := s.load(ctx, true)
	if errors.Is(err, ErrUnavailable) && cfg.StoreOptional {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("starting without the settings of the collection; trying again until they can be read")
		s.partial.Store(true)
		snapshot, err = s.load(ctx, false)
	}
	if err != nil {
		return nil, err
	}
	s.current.Store(snapshot)
	snapshot.warn(ctx, &Snapshot{})
	return s, nil
}

func (s *Settings) load(ctx context.Context, withStore bool) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LoadTimeout)
	defer cancel()
	return load(ctx, &s.cfg, withStore)
}

// Snapshot returns what is in force at this moment.
func (s *Settings) Snapshot() *Snapshot { return s.snapshot() }

func (s *Settings) snapshot() *Snapshot {
	if s == nil {
		return nil
	}
	return s.current.Load()
}

// Values returns all settings as they are in force, for people; see [Snapshot.Values].
func (s *Settings) Values() []Value { return s.Snapshot().Values() }

// Partial reports whether the settings are still without those of the collection; see
// Config.StoreOptional.
func (s *Settings) Partial() bool { return s.partial.Load() }

// Declarations returns the declared settings with their environment variables, by
// path.
func (s *Settings) Declarations() []Declaration {
	list := s.cfg.Keys.Declarations()
	for i := range list {
		list[i].Env = EnvName(s.cfg.EnvPrefix, list[i].Path)
	}
	return list
}

// Refresh loads all settings anew, checks them, puts them into force together, and
// returns what has changed; watchers are told after that. On an error nothing changes:
// a [FaultsError] has all that is wrong, [ErrUnavailable] means that the collection
// could not be read. Refreshes come one after another.
func (s *Settings) Refresh(ctx context.Context) (Changes, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	next, err := s.load(ctx, true)
	if err != nil {
		return nil, err
	}
	old := s.current.Swap(next)
	s.partial.Store(false)
	next.warn(ctx, old)
	changes := old.compare(next)
	s.watchers.tell(changes, old, next)
	return changes, nil
}
