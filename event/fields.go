package event

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// The driver's decoder passes over what a struct has no field for, and makes 1 of
// true, text of an ObjectID, and the zero value of null. Here a parameter that is
// misspelt, or of another type, is a mistake that is told: what an action gets is what
// its publisher has written.

// field is a field of a struct that parameters are decoded into.
type field struct {
	name string
	typ  reflect.Type
}

// fields caches what fieldsOf finds, by reflect.Type.
var fields sync.Map

type foundFields struct {
	list []field
	all  bool
}

// fieldsOf returns the fields that a struct is decoded into; all is false when there
// may be others.
func fieldsOf(t reflect.Type) (list []field, all bool) {
	if found, ok := fields.Load(t); ok {
		return found.(foundFields).list, found.(foundFields).all
	}
	list, all = findFields(t)
	fields.Store(t, foundFields{list, all})
	return list, all
}

func findFields(t reflect.Type) (list []field, all bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || encodesItself(t) || decodesItself(t) {
		return nil, false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("bson"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case slices.Contains(strings.Split(options, ","), "inline"):
			inner, whole := fieldsOf(f.Type)
			if !whole {
				return nil, false
			}
			list = append(list, inner...)
		case name == "":
			list = append(list, field{strings.ToLower(f.Name), f.Type})
		default:
			list = append(list, field{name, f.Type})
		}
	}
	return list, true
}

// findField finds the field that the driver decodes a key into.
func findField(list []field, key string) (field, bool) {
	for _, name := range []string{key, strings.ToLower(key)} {
		if i := slices.IndexFunc(list, func(f field) bool { return f.name == name }); i >= 0 {
			return list[i], true
		}
	}
	return field{}, false
}

// checkFields refuses parameters that the type has no field for, or cannot hold.
func checkFields(doc []byte, t reflect.Type, path string) (fault error) {
	list, all := fieldsOf(t)
	if !all {
		return nil
	}
	eachElement(doc, func(elem bsoncore.Element) bool {
		f, known := findField(list, elem.Key())
		if known {
			fault = checkValue(elem.Value(), f.typ, join(path, elem.Key()))
		} else {
			fault = unknownParameter(elem.Key(), list, path)
		}
		return fault == nil
	})
	return fault
}

func unknownParameter(key string, list []field, path string) error {
	var known []string
	for _, f := range list {
		known = append(known, join(path, f.name))
	}
	key = join(path, key)
	switch guess := nearest(key, known); {
	case len(known) == 0 && path == "":
		return fmt.Errorf("unknown parameter %q: the action takes none", key)
	case guess != "":
		return fmt.Errorf("unknown parameter %q; did you mean %q? (known: %s)", key, guess, strings.Join(known, ", "))
	default:
		return fmt.Errorf("unknown parameter %q (known: %s)", key, strings.Join(known, ", "))
	}
}

// checkValue refuses what is of another type, or does not fit. It does not show the
// value, which may be secret.
func checkValue(v bsoncore.Value, t reflect.Type, path string) error {
	null := v.Type == bsoncore.TypeNull
	if t.Kind() == reflect.Pointer && !decodesItself(t) {
		if null {
			return nil
		}
		return checkValue(v, t.Elem(), path)
	}
	kind, ok := t.Kind(), true
	switch {
	case kind == reflect.Interface, decodesItself(t), t == reflect.TypeFor[bson.RawValue](), t == reflect.TypeFor[bson.Null](),
		null && (kind == reflect.Slice || kind == reflect.Map):
	case null:
		ok = false
	case t == reflect.TypeFor[time.Duration]():
		return checkDuration(v, path)
	case isDrivers(t), isBytes(t): // the driver is strict with these
	case kind == reflect.String:
		ok = v.Type == bsoncore.TypeString || v.Type == bsoncore.TypeSymbol
	case kind == reflect.Bool:
		ok = v.Type == bsoncore.TypeBoolean
	case kind >= reflect.Int && kind <= reflect.Float64:
		return checkNumber(v, t, path)
	case kind == reflect.Slice, kind == reflect.Array:
		return checkElements(v, bsoncore.TypeArray, t, path)
	case kind == reflect.Map:
		return checkElements(v, bsoncore.TypeEmbeddedDocument, t, path)
	case kind == reflect.Struct && v.Type != bsoncore.TypeEmbeddedDocument:
		ok = false
	case kind == reflect.Struct:
		return checkFields(v.Data, t, path)
	}
	if !ok {
		return wrongType(v, t, path)
	}
	return nil
}

func wrongType(v bsoncore.Value, t reflect.Type, path string) error {
	return fmt.Errorf("parameter %q is a BSON %s: it must be of type %s", path, v.Type, typeWord(t))
}

// checkDuration wants text, as people write it, or the nanoseconds that a Go program
// has encoded: a small number is neither, and was probably meant as seconds.
func checkDuration(v bsoncore.Value, path string) error {
	text, isText := v.StringValueOK()
	_, err := time.ParseDuration(text)
	if v.Type == bsoncore.TypeInt64 || isText && err == nil {
		return nil
	}
	return fmt.Errorf("parameter %q is no duration: write it as text, such as 30s or 1m30s", path)
}

// checkNumber refuses what is no number, and numbers that the type cannot hold as
// they are.
func checkNumber(v bsoncore.Value, t reflect.Type, path string) error {
	n, f := int64(0), float64(0)
	switch v.Type {
	case bsoncore.TypeInt32, bsoncore.TypeInt64:
		n, _ = v.AsInt64OK()
		f = float64(n)
	case bsoncore.TypeDouble:
		f = v.Double()
		if f >= math.MinInt64 && f < math.MaxInt64 { // the latter is rounded up to a number that is too large
			n = int64(f)
		}
	default:
		return wrongType(v, t, path)
	}
	zero := reflect.Zero(t)
	whole := float64(n) == f && (f < math.MaxInt64 || v.Type != bsoncore.TypeDouble)
	fits := false
	switch {
	case zero.CanFloat():
		fits = v.Type == bsoncore.TypeDouble || f < math.MaxInt64 && int64(f) == n
	case zero.CanUint():
		fits = whole && n >= 0 && !zero.OverflowUint(uint64(n))
	default:
		fits = whole && !zero.OverflowInt(n)
	}
	if !fits {
		return fmt.Errorf("parameter %q is a number that does not fit: it must be of type %s (%s)", path, typeWord(t), t.Kind())
	}
	return nil
}

// checkElements checks those of an array or of a map's document.
func checkElements(v bsoncore.Value, want bsoncore.Type, t reflect.Type, path string) (fault error) {
	if v.Type != want {
		return wrongType(v, t, path)
	}
	eachElement(v.Data, func(elem bsoncore.Element) bool {
		fault = checkValue(elem.Value(), t.Elem(), join(path, elem.Key()))
		return fault == nil
	})
	return fault
}

// isDrivers reports whether the driver has a decoder of its own for the type.
func isDrivers(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[json.Number](), reflect.TypeFor[url.URL]():
		return true
	}
	return t.PkgPath() == reflect.TypeFor[bson.D]().PkgPath()
}

func isBytes(t reflect.Type) bool {
	return (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t.Elem().Kind() == reflect.Uint8
}

var (
	unmarshaler      = reflect.TypeFor[bson.Unmarshaler]()
	valueUnmarshaler = reflect.TypeFor[bson.ValueUnmarshaler]()
)

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshaler) || p.Implements(valueUnmarshaler)
}
