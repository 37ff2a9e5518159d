package config

import (
	"maps"
	"reflect"
	"slices"

	"github.com/fleetcast/fleetcast/event"
)

// Snapshot is all settings at one moment. It never changes, and is safe for concurrent
// use.
type Snapshot struct {
	keys   *Keys
	typed  []any // by the index of the key
	values map[string]held
	prefix string // of environment variables
	env    environ
	files  map[string]string // what was read, and the hash of what was in it
}

// held is the value of a path that is in force.
type held struct {
	plain    any // as its source has it
	parsed   any // nil for a path that is not declared
	origin   Origin
	secret   bool
	clear    bool // a secret that is not encrypted in the collection
	declared *entry
	over     []Origin
	locked   error // why there is no value: it could not be decrypted
}

func (s *Snapshot) snapshot() *Snapshot { return s }

// Value is one setting as it is in force, for people. A secret one is ****.
type Value struct {
	Path string `bson:"path" json:"path"`
	// Value is a string, a bool, an int64, a float64, or a list of them; durations,
	// regular expressions and JSON are text.
	Value    any    `bson:"value" json:"value"`
	Type     string `bson:"type,omitempty" json:"type,omitempty"` // of a declared one
	Unit     string `bson:"unit,omitempty" json:"unit,omitempty"`
	Secret   bool   `bson:"secret,omitempty" json:"secret,omitempty"`
	Declared bool   `bson:"declared" json:"declared"`
	Origin   Origin `bson:"origin" json:"origin"`
	// Over is where else a value was given, that this one has taken the place of; the
	// highest layer first, without the default.
	Over []Origin `bson:"over,omitempty" json:"over,omitempty"`
}

// Values returns all settings, the declared ones that have their defaults too, by
// path. A secret that there is no key for is none.
func (s *Snapshot) Values() []Value {
	list := make([]Value, 0, len(s.values))
	for _, path := range slices.Sorted(maps.Keys(s.values)) {
		if v, ok := s.Value(path); ok {
			list = append(list, v)
		}
	}
	return list
}

// Value returns one setting; ok is false when it is neither set nor declared.
func (s *Snapshot) Value(path string) (v Value, ok bool) {
	h, ok := s.values[path]
	return h.value(path), ok && h.locked == nil
}

func (h held) value(path string) Value {
	v := Value{Path: path, Value: h.shown(), Secret: h.secret, Origin: h.origin, Over: h.over}
	if d := h.declared; d != nil {
		v.Type, v.Unit, v.Declared = d.Type, d.Unit, true
	}
	return v
}

// shown is the value for people.
func (h held) shown() any {
	switch {
	case h.secret:
		return event.Hidden
	case h.declared != nil:
		return show(h.parsed)
	case isTree(h.plain):
		return write(h.plain)
	}
	return h.plain
}

// isTree reports whether a plain value needs JSON to be written.
func isTree(v any) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool { _, inner := v.([]any); return inner || isTree(v) })
	}
	_, ok := v.(map[string]any)
	return ok
}

// told is the value for watchers: of the key's type, or plain.
func (s *Snapshot) told(path string) any {
	h, ok := s.values[path]
	switch {
	case !ok:
		return nil
	case h.declared != nil:
		return s.typed[h.declared.index]
	}
	return h.plain
}

// Change is a setting that another value is in force of, for people. Secret values
// are ****.
type Change struct {
	Path string `bson:"path" json:"path"`
	// Old and New are as [Value.Value]; nil where there is none.
	Old    any    `bson:"old" json:"old"`
	New    any    `bson:"new" json:"new"`
	Secret bool   `bson:"secret,omitempty" json:"secret,omitempty"`
	From   Origin `bson:"from" json:"from"` // of the old value
	Origin Origin `bson:"origin" json:"origin"`
}

// Changes are what a refresh has changed, by path.
type Changes []Change

// Paths returns the paths.
func (c Changes) Paths() []string {
	paths := make([]string, 0, len(c))
	for _, change := range c {
		paths = append(paths, change.Path)
	}
	return paths
}

// compare returns what is different in a later snapshot.
func (s *Snapshot) compare(later *Snapshot) Changes {
	all := maps.Clone(s.values)
	maps.Copy(all, later.values)
	changes := Changes{}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		old, now := s.values[path], later.values[path]
		_, had := s.Value(path)
		_, has := later.Value(path)
		if had == has && (!has || old.same(now)) || !had && now.origin.Layer == LayerDefault { // declared since
			continue
		}
		c := Change{Path: path, Secret: old.secret || now.secret, From: old.origin, Origin: now.origin}
		if had {
			c.Old = masked(c.Secret, old)
		}
		if has {
			c.New = masked(c.Secret, now)
		}
		changes = append(changes, c)
	}
	return changes
}

func masked(secret bool, h held) any {
	if secret {
		return event.Hidden
	}
	return h.shown()
}

// same compares what has been parsed, so that 60s is 1m; a regular expression is its
// text.
func (h held) same(other held) bool {
	if h.declared == nil || other.declared == nil {
		return h.declared == other.declared && reflect.DeepEqual(h.plain, other.plain)
	}
	return reflect.DeepEqual(show(h.parsed), show(other.parsed))
}
