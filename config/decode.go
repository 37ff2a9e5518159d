package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"

	"github.com/fleetcast/fleetcast/event"
)

// Decode decodes what is below a path into a struct, which may have defaults; of a map,
// a slice or a pointer the whole is replaced. Fields
// are named by tags `config:"host"`, else by their names in whatever case; those in
// structs within are below that name, those of an embedded struct tagged
// `config:",squash"` are not. Each value is read as [Read] would, so durations, lists
// and environment variables are as everywhere.
//
// A setting that the struct has no field for is an error, as is one that breaks the
// rules of a tag `validate:"…"`; all are told at once, in a [FaultsError], and the
// struct is then as it was.
func (s *Snapshot) Decode(path string, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: Decode wants a pointer to a struct, not %T", into)
	}
	if h := s.values[path]; h.locked != nil { // there may be a tree in it
		return &FaultsError{[]error{h.locked}}
	}
	d := &decoding{top: path, found: s.below(path), fields: fieldsOf(target.Type().Elem(), path, nil)}
	d.addEnv(s)
	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())
	if d.decode(result.Interface()); len(d.faults) > 0 {
		slices.SortStableFunc(d.faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return &FaultsError{d.faults}
	}
	target.Elem().Set(result.Elem())
	return nil
}

// Decode is [Snapshot.Decode] of what is in force at this moment.
func (s *Settings) Decode(path string, into any) error { return s.Snapshot().Decode(path, into) }

// below returns what is below a path.
func (s *Snapshot) below(path string) map[string]held {
	found := map[string]held{}
	for p, h := range s.values {
		if p != path && under(p, path) {
			found[p] = h
		}
	}
	return found
}

// field is where a field of a struct has its value.
type field struct {
	path  string
	group bool // it is a struct, and has fields of its own
}

// fieldsOf are the fields of a struct, those within structs too.
func fieldsOf(t reflect.Type, top string, within []reflect.Type) (list []field) {
	if slices.Contains(within, t) {
		return nil
	}
	within = append(slices.Clip(within), t)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("config"), ",")
		path := join(top, cmp.Or(name, f.Name))
		switch inner := deref(f.Type); {
		case strings.Contains(options, "squash") && inner.Kind() == reflect.Struct:
			list = append(list, fieldsOf(inner, top, within)...)
		case !f.IsExported() || name == "-":
		case inner.Kind() == reflect.Struct && typeOf(inner) == JSON:
			list = append(list, field{path, true})
			list = append(list, fieldsOf(inner, path, within)...)
		default:
			list = append(list, field{path, false})
		}
	}
	return list
}

// deref takes the pointers off a type whose values are not of a pointer's type, as
// regular expressions are.
func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer && typeOf(t) == JSON {
		t = t.Elem()
	}
	return t
}

// decoding is one Decode.
type decoding struct {
	top    string
	found  map[string]held
	fields []field
	faults []error
}

// addEnv adds the environment variables of fields that nothing else is set for.
func (d *decoding) addEnv(s *Snapshot) {
	for _, f := range d.fields {
		if d.has(f.path) {
			continue
		}
		h, ok, err := s.find(f.path)
		if err != nil {
			d.faults = append(d.faults, err)
		}
		if ok {
			d.found[f.path] = h
		}
	}
}

// has reports whether there is a value for a field, in whatever case.
func (d *decoding) has(path string) bool {
	for p := range d.found {
		if strings.EqualFold(p, path) {
			return true
		}
	}
	return false
}

// leaf is a value on its way through mapstructure.
type leaf struct {
	path string
	held held
}

func (d *decoding) decode(into any) {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		ZeroFields: true, // maps and what pointers lead to are the caller's
		TagName:    "config", Result: into, DecodeHook: mapstructure.DecodeHookFuncValue(d.hook),
	})
	if err == nil {
		err = decoder.Decode(d.tree())
	}
	if err != nil {
		d.faults = append(d.faults, d.misfit(err))
	}
	d.findUnknown()
	if len(d.faults) > 0 {
		return
	}
	for _, broken := range unjoin(checkStruct(into)) {
		d.faults = append(d.faults, d.broken(broken))
	}
}

// misfit is of settings below what the struct has as one value. The library's own
// words may have the values in them, which may be secret.
func (d *decoding) misfit(err error) error {
	path := d.top
	if e, ok := errors.AsType[*mapstructure.DecodeError](err); ok && e.Name() != "" {
		path = join(path, strings.ReplaceAll(e.Name(), ".", "/"))
	}
	return fmt.Errorf("%s: one value is expected here, but there are settings below it", path)
}

// tree nests what was found. Where a path has both a value and others below it, the
// latter count.
func (d *decoding) tree() map[string]any {
	tree := map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(d.found)) { // a value comes before what is below it
		at := tree
		names := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, d.top), "/"), "/")
		for _, name := range names[:len(names)-1] {
			below, ok := at[name].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[name] = below
			}
			at = below
		}
		at[names[len(names)-1]] = leaf{path, d.found[path]}
	}
	return tree
}

// hook makes the values of fields. What is wrong is noted, and the field left.
func (d *decoding) hook(from, to reflect.Value) (any, error) {
	l, ok := from.Interface().(leaf)
	if !ok {
		return from.Interface(), nil
	}
	t := deref(to.Type())
	if t.Kind() == reflect.Interface && l.held.locked == nil {
		return l.held.plain, nil
	}
	v, err := l.held.as(Declaration{Path: l.path, Type: typeOf(t), Secret: l.held.secret}, t)
	if err != nil {
		d.faults = append(d.faults, err)
		return reflect.Zero(t).Interface(), nil
	}
	return v.Interface(), nil
}

// findUnknown notes the settings that the struct has no field for: a map takes all
// that is below it.
func (d *decoding) findUnknown() {
	for _, path := range slices.Sorted(maps.Keys(d.found)) {
		known := slices.ContainsFunc(d.fields, func(f field) bool {
			return strings.EqualFold(path, f.path) || !f.group && under(strings.ToLower(path), strings.ToLower(f.path))
		})
		if known {
			continue
		}
		var paths []string
		for _, f := range d.fields {
			paths = append(paths, f.path)
		}
		d.faults = append(d.faults, fmt.Errorf("%s (%s) is unknown%s", path, d.found[path].origin, didYouMean(path, paths)))
	}
}

// broken makes a ValueError of a field that breaks a rule.
func (d *decoding) broken(err error) error {
	f, ok := err.(*fieldError) //nolint:errorlint // made by checkStruct, not wrapped
	if !ok {
		return fmt.Errorf("%s: %w", d.top, err)
	}
	path := join(d.top, f.name)
	h, ok := d.found[path]
	switch {
	case !ok:
		return fmt.Errorf("%s is not set: expected a value %s", path, f.want)
	case h.secret:
		return &ValueError{Path: path, Origin: h.origin, Value: event.Hidden, Want: f.want}
	}
	return &ValueError{Path: path, Origin: h.origin, Value: quote(h.plain), Want: f.want}
}

func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
