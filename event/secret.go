package event

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Hidden is what readers of events show in place of a secret value.
const Hidden = "****"

// Secret names parameters whose values are for the subscriber's eyes alone: those
// who list events show [Hidden] in their place, and the audit does not keep them.
// It is for parameters that are no struct; fields of a struct are tagged
// `fleetcast:"secret"` in place of this.
//
// A path is the keys from the top on, joined by dots, such as "db.password"; an
// array is passed through, and * is any key. The event itself carries the values
// as they are.
func Secret(paths ...string) Option { return func(e *Event) { e.hide(paths) } }

func (e *Event) hide(paths []string) {
	for _, p := range paths {
		if !slices.Contains(e.Secret, p) {
			e.Secret = append(slices.Clip(e.Secret), p)
		}
	}
}

// Redacted returns the parameters with [Hidden] in place of secret values, for
// people and for records. It is nil for parameters that cannot be read.
func (e Event) Redacted() bson.Raw {
	if len(e.Secret) == 0 || len(e.Parameters) == 0 {
		return e.Parameters
	}
	doc, ok := redact(e.Parameters, e.Secret, false)
	if !ok {
		return nil
	}
	return bson.Raw(doc)
}

// redact copies a document or an array, whose keys are no part of the paths.
func redact(doc []byte, paths []string, array bool) ([]byte, bool) {
	at, out := bsoncore.AppendDocumentStart(nil)
	ok := eachElement(doc, func(elem bsoncore.Element) bool {
		v, below, hidden := elem.Value(), paths, false
		if !array {
			below, hidden = within(elem.Key(), paths)
		}
		switch inner, isArray := v.Type == bsoncore.TypeEmbeddedDocument, v.Type == bsoncore.TypeArray; {
		case hidden:
			out = bsoncore.AppendStringElement(out, elem.Key(), Hidden)
			return true
		case len(below) > 0 && (inner || isArray):
			data, ok := redact(v.Data, below, isArray)
			v.Data = data
			out = bsoncore.AppendValueElement(out, elem.Key(), v)
			return ok
		}
		out = append(out, elem...)
		return true
	})
	if !ok {
		return nil, false
	}
	out, err := bsoncore.AppendDocumentEnd(out, at)
	return out, err == nil
}

// within returns the rest of the paths that lead through a key, and whether one
// of them ends there. Decoding takes a key in other letters for that of a field, too.
func within(key string, paths []string) (below []string, ends bool) {
	for _, p := range paths {
		for _, name := range slices.Compact([]string{key, strings.ToLower(key), "*"}) {
			if p == name {
				return nil, true
			}
			if rest, ok := strings.CutPrefix(p, name+"."); ok {
				below = append(below, rest)
			}
		}
	}
	return below, false
}

// secretPaths caches what secretsIn finds, by reflect.Type.
var secretPaths sync.Map

// secretsIn returns the paths of the fields that are tagged `fleetcast:"secret"`
// in parameters of this type.
func secretsIn(t reflect.Type) []string {
	if t == nil {
		return nil
	}
	if paths, ok := secretPaths.Load(t); ok {
		return paths.([]string)
	}
	var w secretWalk
	w.walk(t, "")
	if len(w.found) > 0 {
		w.found = append(w.found, w.cycles...)
	}
	slices.Sort(w.found)
	paths, _ := secretPaths.LoadOrStore(t, slices.Clip(slices.Compact(w.found)))
	return paths.([]string)
}

// secretWalk goes through a type as the driver's encoder does.
type secretWalk struct {
	found  []string
	cycles []string       // where a type contains itself: secret as a whole, if anything is
	open   []reflect.Type // the types on the way to here
}

func (w *secretWalk) walk(t reflect.Type, path string) {
	if slices.Contains(w.open, t) {
		w.cycles = append(w.cycles, orAll(path))
		return
	}
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	before := len(w.found)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		w.walk(t.Elem(), path)
	case reflect.Map:
		w.walk(t.Elem(), join(path, "*"))
	case reflect.Struct:
		for i := range t.NumField() {
			w.field(t.Field(i), path)
		}
	}
	if len(w.found) > before && encodesItself(t) { // nobody knows under which keys
		w.found = append(w.found[:before], orAll(path))
	}
}

func (w *secretWalk) field(f reflect.StructField, path string) {
	tag := f.Tag.Get("bson")
	if !f.IsExported() || tag == "-" {
		return
	}
	words := strings.Split(tag, ",")
	name := words[0]
	if name == "" {
		name = strings.ToLower(f.Name)
	}
	if !slices.Contains(words[1:], "inline") {
		path = join(path, name)
	} else if f.Type.Kind() == reflect.Map && f.Tag.Get("fleetcast") == "secret" {
		path = join(path, "*")
	}
	if f.Tag.Get("fleetcast") == "secret" {
		w.found = append(w.found, orAll(path))
		return
	}
	w.walk(f.Type, path)
}

var (
	marshaler      = reflect.TypeFor[bson.Marshaler]()
	valueMarshaler = reflect.TypeFor[bson.ValueMarshaler]()
)

func encodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(marshaler) || p.Implements(valueMarshaler)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// orAll is the path, or every key where it is the top.
func orAll(path string) string {
	if path == "" {
		return "*"
	}
	return path
}
