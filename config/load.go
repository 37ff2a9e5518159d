package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// loading is one attempt to make a snapshot of all sources.
type loading struct {
	cfg      *Config
	entries  []*entry
	declared map[string]*entry
	env      environ
	paths    map[string][]given // the lowest layer first
	files    map[string]string
	faults   []error
}

// load makes a snapshot, or says all that is wrong.
func load(ctx context.Context, cfg *Config, withStore bool) (*Snapshot, error) {
	l := &loading{
		cfg: cfg, entries: cfg.Keys.list(), declared: map[string]*entry{}, env: readEnviron(cfg.Environ),
		paths: map[string][]given{}, files: map[string]string{},
	}
	for _, e := range l.entries {
		l.declared[e.Path] = e
	}
	l.checkEnvNames()
	l.readFile()
	if cfg.Store != nil && withStore {
		if err := l.readStore(ctx); err != nil {
			return nil, err
		}
	}
	l.readEnv()
	l.readFlags()
	s := l.snapshot()
	l.checkTogether(s)
	if len(l.faults) > 0 {
		return nil, &FaultsError{l.faults}
	}
	return s, nil
}

// checkTogether checks settings that are right one by one.
func (l *loading) checkTogether(s *Snapshot) {
	if len(l.faults) > 0 {
		return
	}
	for _, check := range append(l.cfg.Keys.together(), l.cfg.Check) {
		if check == nil {
			continue
		}
		if err := check(s); err != nil {
			l.fault(err)
		}
	}
}

func (l *loading) fault(err error) { l.faults = append(l.faults, err) }

func (l *loading) add(g given) { l.paths[g.path] = append(l.paths[g.path], g) }

// saw notes what was in a file, so that a change can be found.
func (l *loading) saw(name string, text []byte) {
	sum := sha256.Sum256(text)
	l.files[name] = string(sum[:])
}

// readStore adds what the collection has for this process. A secret that cannot be
// decrypted is a fault, but for a process that has no key at all and has not declared
// it: that is another's, and stays locked. A database that is away is another error.
func (l *loading) readStore(ctx context.Context) error {
	settings, err := l.cfg.Store.load(ctx, l.cfg.Member.Scopes())
	if err != nil {
		return err
	}
	slices.SortStableFunc(settings, func(a, b stored) int { return compareScopes(a.Scope, b.Scope) })
	for _, s := range settings {
		origin := Origin{Layer: LayerSettings, Name: string(s.Scope)}
		value, err := l.cfg.Store.open(s)
		if err == nil {
			err = CheckPath(s.Path)
		}
		if err != nil {
			err = fmt.Errorf("%s (%s): %w", s.Path, origin, err)
			if errors.Is(err, ErrNoKey) && !l.declaresUnder(s.Path) {
				l.add(given{path: s.Path, origin: origin, sealed: true, locked: err})
				continue
			}
			l.fault(err)
			continue
		}
		l.walk(s.Path, value, func(path string, value any) given {
			return given{path: path, value: value, origin: origin, sealed: s.Now.Sealed != nil}
		})
	}
	return nil
}

// declaresUnder reports whether a path, or one below it, is declared.
func (l *loading) declaresUnder(path string) bool {
	return slices.ContainsFunc(l.entries, func(e *entry) bool { return under(e.Path, path) })
}

// readEnv adds the environment variables of all paths that are known so far.
func (l *loading) readEnv() {
	for _, path := range slices.Sorted(maps.Keys(l.known())) {
		if g, ok := l.env.lookup(l.cfg.EnvPrefix, path); ok {
			l.add(g)
		}
	}
}

// known are the paths that are declared or set.
func (l *loading) known() map[string]bool {
	known := map[string]bool{}
	for path := range l.declared {
		known[path] = true
	}
	for path := range l.paths {
		known[path] = true
	}
	return known
}

// checkEnvNames finds declared settings that have one variable.
func (l *loading) checkEnvNames() {
	names := map[string]string{}
	for _, e := range l.entries {
		name := EnvName(l.cfg.EnvPrefix, e.Path)
		if other := names[name]; other != "" && name != "" {
			l.fault(fmt.Errorf("%s and %s have the same environment variable %s: rename one of them", other, e.Path, name))
		}
		names[name] = e.Path
	}
}

func (l *loading) readFlags() {
	for _, f := range l.cfg.Flags {
		origin := Origin{Layer: LayerFlag, Name: f.Name}
		v, err := plain(f.Value)
		if err == nil {
			err = CheckPath(f.Path)
		}
		if err != nil {
			l.fault(fmt.Errorf("%s: %w", origin, err))
			continue
		}
		l.add(given{path: f.Path, value: v, origin: origin})
	}
}

// snapshot checks all values of all layers and takes the highest of each path.
func (l *loading) snapshot() *Snapshot {
	s := &Snapshot{keys: l.cfg.Keys, prefix: l.cfg.EnvPrefix, typed: make([]any, len(l.entries)), values: map[string]held{}, env: l.env, files: l.files}
	for _, e := range l.entries {
		s.typed[e.index] = e.def
		s.values[e.Path] = held{parsed: e.defRaw, origin: Origin{Layer: LayerDefault}, secret: e.Secret, declared: e}
	}
	l.takeDefaults(s)
	for _, path := range slices.Sorted(maps.Keys(l.paths)) {
		l.take(s, path)
	}
	return s
}

// takeDefaults puts the program's defaults into the places of the declared ones.
func (l *loading) takeDefaults(s *Snapshot) {
	for _, d := range l.cfg.Defaults {
		e, origin := l.declared[d.Path], Origin{Layer: LayerDefault, Name: d.Name}
		if e == nil {
			l.fault(fmt.Errorf("%s (%s): %w", d.Path, origin, ErrUndeclared))
			continue
		}
		typed, parsed, err := e.value(d.Value, origin, e.Secret)
		if err != nil {
			l.fault(err)
			continue
		}
		s.typed[e.index] = typed
		s.values[d.Path] = held{parsed: parsed, origin: origin, secret: e.Secret, declared: e}
	}
}

// take checks the values of a path, the lowest first, so that the highest remains.
func (l *loading) take(s *Snapshot, path string) {
	e := l.declared[path]
	var over []Origin
	for i, g := range l.paths[path] {
		if file, _, _ := splitReference(g.value); file != "" && i < len(l.paths[path])-1 { // it need not be on this host
			over = slices.Insert(over, 0, g.origin)
			continue
		}
		h := held{origin: g.origin, declared: e, over: slices.Clone(over), secret: g.sealed || SecretPath(path) || e != nil && e.Secret, locked: g.locked}
		var err error
		if h.plain, h.origin.File, err = l.resolve(g); err != nil {
			l.fault(fmt.Errorf("%s (%s): %w", path, g.origin, err))
			continue
		}
		h.clear = h.secret && !g.sealed && h.origin.File == "" && h.origin.Layer == LayerSettings
		h.secret = h.secret || h.origin.File != ""
		if e != nil {
			var typed any
			if typed, h.parsed, err = e.value(h.plain, h.origin, h.secret); err != nil {
				l.fault(err)
				continue
			}
			s.typed[e.index] = typed
		}
		s.values[path] = h
		over = slices.Insert(over, 0, h.origin)
	}
}

// environ are the environment variables at one moment.
type environ map[string]string

// readEnviron takes those of the process when list is nil.
func readEnviron(list []string) environ {
	if list == nil {
		list = os.Environ()
	}
	env := environ{}
	for _, pair := range list {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

// lookup returns the variable of a path. An empty one is as good as none.
func (e environ) lookup(prefix, path string) (given, bool) {
	name := EnvName(prefix, path)
	value := e[name]
	return given{path: path, value: value, origin: Origin{Layer: LayerEnv, Name: name}}, name != "" && value != ""
}
