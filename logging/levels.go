// Package logging holds log levels that can be changed while a program runs: one
// for all of it, and one for each component that shall differ, for good or for a
// while. It works for zerolog by [Levels.Logger], and for log/slog by
// [Levels.Bind]; package subscribers changes them by events.
//
//	                Set(c, level, 0)                Set(c, level, d)
//	follows the ────────────────────► level of its ─────────────────► level for d
//	global level ◄─────────────────── own          ◄───────────────── (goes back)
//	                Set(c, Default, 0)              d is over
package logging

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Default is the level of a component that follows the global one, and of the
// global one as it was at the start.
const Default = "default"

// levelNames are the levels that can be set, as zerolog names them.
const levelNames = "trace, debug, info, warn, error, disabled"

// ErrUnknownComponent is of a component that this process has not.
var ErrUnknownComponent = errors.New("unknown component")

// Levels are the log levels of a process. Make them with [New]. The methods are safe
// for concurrent use, and so are the loggers while levels change.
type Levels struct {
	initial zerolog.Level

	mu         sync.Mutex
	all        *setting
	components map[string]*setting
}

// setting is the level of one component, or the global one.
type setting struct {
	inForce atomic.Int32 // what loggers read

	// The mutex of Levels guards the rest.
	own     *zerolog.Level // nil follows the global one
	passing *passing
	vars    []*slog.LevelVar
}

// passing is a level that goes back by itself.
type passing struct {
	level zerolog.Level
	until time.Time
	timer *time.Timer
}

// Component is the state of one component.
type Component struct {
	Name  string // empty for the global level
	Level string // in force
	Own   string // its own lasting one; Default if it has none
	// Passing is whether the level in force goes back to the lasting one, and Left
	// when.
	Passing bool
	Left    time.Duration
}

// New returns levels that begin with this global one.
func New(level string) (*Levels, error) {
	initial, err := parse(level)
	if err != nil {
		return nil, err
	}
	l := &Levels{initial: initial, all: &setting{own: &initial}, components: map[string]*setting{}}
	l.refresh()
	return l, nil
}

func parse(name string) (zerolog.Level, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	level, err := zerolog.ParseLevel(name)
	if err != nil || !slices.Contains(strings.Split(levelNames, ", "), name) {
		return level, fmt.Errorf("%q is not a log level: choose one of %s, or %s", name, levelNames, Default)
	}
	return level, nil
}

// Check reports what is wrong with the name of a level; [Default] is one.
func Check(level string) error {
	if strings.ToLower(strings.TrimSpace(level)) == Default {
		return nil
	}
	_, err := parse(level)
	return err
}

// componentName is what a component may be called; the names are keys in the
// registry.
var componentName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Logger returns log with the field component, following the component's level in
// place of any of its own. An empty name means the global level, and no field. It
// becomes the logger's sampler, in place of any of the user's, and without effect after
// zerolog.DisableSampling(true). It panics on names of other characters than letters,
// digits, _ and -, or of more than 64.
//
// A component is there from its first Logger or Bind on: make all of them when the
// program starts, so that they are listed.
func (l *Levels) Logger(log zerolog.Logger, component string) zerolog.Logger {
	s := l.component(component)
	if component != "" {
		log = log.With().Str("component", component).Logger()
	}
	return log.Level(zerolog.TraceLevel).Sample(s)
}

// Bind keeps v at the component's level, for handlers of log/slog. The names are as
// for [Levels.Logger].
func (l *Levels) Bind(component string, v *slog.LevelVar) {
	s := l.component(component)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.vars = append(s.vars, v)
	l.refresh()
}

// component returns a component's setting, which it makes when it is new.
func (l *Levels) component(name string) *setting {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name == "" {
		return l.all
	}
	if !componentName.MatchString(name) {
		panic(fmt.Sprintf("logging: %q is no name of a component", name))
	}
	s := l.components[name]
	if s == nil {
		s = &setting{}
		l.components[name] = s
		l.refresh()
	}
	return s
}

// Sample implements zerolog.Sampler: it is asked before a line is made, so that one
// that is dropped costs next to nothing. Lines without a level, such as thread dumps
// that somebody has asked for, are dropped by disabled alone.
func (s *setting) Sample(level zerolog.Level) bool {
	now := zerolog.Level(s.inForce.Load())
	return now != zerolog.Disabled && level >= now
}

// Set sets the level of a component, or the global one for an empty name: for good
// when d is 0, which ends what was set for a while; else for d, after which it goes
// back to what was set for good last. [Default] gives up the component's own level.
// It returns the level that was in force. Unknown components and levels are errors.
func (l *Levels) Set(component, level string, d time.Duration) (previous string, err error) {
	level = strings.ToLower(strings.TrimSpace(level))
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(component)
	if err != nil {
		return "", err
	}
	previous = s.name()
	wanted, err := l.wanted(component, level)
	switch {
	case err != nil:
		return previous, err
	case d < 0:
		return previous, fmt.Errorf("a log level for %s: a positive duration", d)
	case d > 0 && level == Default:
		return previous, fmt.Errorf("log level %s for %s: it is for good only", Default, d)
	}
	if s.passing != nil {
		s.passing.timer.Stop()
		s.passing = nil
	}
	if d > 0 {
		p := &passing{level: *wanted, until: time.Now().Add(d)}
		p.timer = time.AfterFunc(d, func() { l.goBack(s, p) })
		s.passing = p
	} else {
		s.own = wanted
	}
	l.refresh()
	return previous, nil
}

// wanted reads a level; nil follows the global one.
func (l *Levels) wanted(component, level string) (*zerolog.Level, error) {
	switch {
	case level == Default && component == "":
		return &l.initial, nil
	case level == Default:
		return nil, nil
	}
	parsed, err := parse(level)
	return &parsed, err
}

func (l *Levels) known(component string) (*setting, error) {
	if component == "" {
		return l.all, nil
	}
	if s := l.components[component]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w %q: there are %s", ErrUnknownComponent, component, cmp.Or(strings.Join(l.names(), ", "), "none"))
}

func (l *Levels) names() []string {
	var names []string
	for name := range l.components {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// goBack ends what was set for a while, unless something else has been set since.
func (l *Levels) goBack(s *setting, p *passing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.passing == p {
		s.passing = nil
		l.refresh()
	}
}

// refresh puts the levels in force. The mutex is held.
func (l *Levels) refresh() {
	l.all.put(l.all.level(l.initial))
	for _, s := range l.components {
		s.put(s.level(zerolog.Level(l.all.inForce.Load())))
	}
}

func (s *setting) level(global zerolog.Level) zerolog.Level {
	switch {
	case s.passing != nil:
		return s.passing.level
	case s.own != nil:
		return *s.own
	}
	return global
}

func (s *setting) put(level zerolog.Level) {
	s.inForce.Store(int32(level))
	for _, v := range s.vars {
		v.Set(slogLevel(level))
	}
}

// slogLevel is the level of log/slog of the same meaning.
func slogLevel(level zerolog.Level) slog.Level {
	if level == zerolog.Disabled {
		return math.MaxInt
	}
	return slog.Level(4 * (level - zerolog.InfoLevel))
}

func (s *setting) name() string { return zerolog.Level(s.inForce.Load()).String() }

// List returns the global level, then the components by name.
func (l *Levels) List() []Component {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []Component{l.all.state("")}
	for _, name := range l.names() {
		list = append(list, l.components[name].state(name))
	}
	return list
}

func (s *setting) state(name string) Component {
	c := Component{Name: name, Level: s.name(), Own: Default}
	if s.own != nil {
		c.Own = s.own.String()
	}
	if s.passing != nil {
		c.Passing, c.Left = true, max(0, time.Until(s.passing.until))
	}
	return c
}
