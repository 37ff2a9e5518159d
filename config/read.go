package config

import (
	"fmt"
	"reflect"
)

// Read returns a setting that is not declared: def when it is not set, and a
// [ValueError] that names path, origin and the expected type when it is something
// else; [ErrNoKey] is of a secret that there is no key for. T is as of [New]. Where a
// key can be declared that is better: values are checked before they are in force, and
// reading is faster.
func Read[T any](from Reader, path string, def T) (T, error) {
	if from == nil || from.snapshot() == nil {
		return def, nil
	}
	s := from.snapshot()
	h, ok, err := s.find(path)
	if !ok || err != nil {
		return def, err
	}
	t := reflect.TypeFor[T]()
	d := Declaration{Path: path, Type: typeOf(t), Secret: h.secret}
	if d.Type == "" {
		return def, fmt.Errorf("%s: a %s cannot be a setting", path, t)
	}
	v, err := h.as(d, t)
	if err != nil {
		return def, err
	}
	value, _ := v.Interface().(T)
	return value, nil
}

// find returns what is in force at a path. Of one that no other layer has, the
// environment variable is looked up here.
func (s *Snapshot) find(path string) (h held, ok bool, err error) {
	if h, ok := s.values[path]; ok {
		return h, true, nil
	}
	g, ok := s.env.lookup(s.prefix, path)
	if !ok {
		return held{}, false, nil
	}
	l := &loading{files: map[string]string{}}
	h = held{origin: g.origin}
	if h.plain, h.origin.File, err = l.resolve(g); err != nil {
		return held{}, false, fmt.Errorf("%s (%s): %w", path, g.origin, err)
	}
	h.secret = SecretPath(path) || h.origin.File != ""
	return h, true, nil
}

// as makes of a value one of a Go type.
func (h held) as(d Declaration, t reflect.Type) (v reflect.Value, err error) {
	if h.locked != nil {
		return v, h.locked
	}
	raw := h.plain
	if h.declared != nil { // the default has no plain form
		raw = show(h.parsed)
	}
	parsed, err := d.parse(raw, h.origin, h.secret)
	if err != nil {
		return v, err
	}
	if v, err = fit(t, parsed); err != nil {
		return v, d.fault(raw, h.origin, h.secret, wantOf(t), err)
	}
	return v, nil
}
