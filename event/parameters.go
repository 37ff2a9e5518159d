package event

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// decodeParameters makes a P of an event's parameters: its defaults, then what the
// event has, then the rules of its struct tags. A parameter that P has not is an
// error: it may be a misspelt one.
func decodeParameters[P any](raw bson.Raw) (P, error) {
	var p P
	if d, ok := any(&p).(Defaulter); ok {
		d.SetDefaults()
	}
	if same, ok := any(&p).(*bson.Raw); ok {
		*same = raw
		return p, nil
	}
	if raw != nil {
		if err := checkKnown(raw, reflect.TypeFor[P]()); err != nil {
			return p, err
		}
		if err := bson.Unmarshal(raw, &p); err != nil {
			return p, err
		}
	}
	return p, validate(&p)
}

// checkKnown refuses parameters that the type has no field for.
func checkKnown(raw bson.Raw, t reflect.Type) error {
	known, all := fieldNames(t)
	if !all {
		return nil
	}
	var fault error
	eachElement(raw, func(elem bsoncore.Element) bool {
		key := elem.Key()
		if slices.ContainsFunc(known, func(name string) bool { return strings.EqualFold(name, key) }) {
			return true
		}
		fault = unknownParameter(key, known)
		return false
	})
	return fault
}

func unknownParameter(key string, known []string) error {
	switch guess := nearest(key, known); {
	case len(known) == 0:
		return fmt.Errorf("unknown parameter %q: the action takes none", key)
	case guess != "":
		return fmt.Errorf("unknown parameter %q; did you mean %q? (known: %s)", key, guess, strings.Join(known, ", "))
	default:
		return fmt.Errorf("unknown parameter %q (known: %s)", key, strings.Join(known, ", "))
	}
}

// fieldNames returns the keys that a struct is decoded from; all is false when there
// may be others.
func fieldNames(t reflect.Type) (names []string, all bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || encodesItself(t) {
		return nil, false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("bson"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case slices.Contains(strings.Split(options, ","), "inline"):
			inner, whole := fieldNames(f.Type)
			if !whole {
				return nil, false
			}
			names = append(names, inner...)
		case name == "":
			names = append(names, strings.ToLower(f.Name))
		default:
			names = append(names, name)
		}
	}
	return names, true
}

// rules knows the tags `validate:"…"`; its cache makes it worth keeping.
var rules = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		if name, _, _ := strings.Cut(f.Tag.Get("bson"), ","); name != "" {
			return name
		}
		return strings.ToLower(f.Name)
	})
	return v
})

// ruleWords are the commonest rules in words.
var ruleWords = map[string]string{"min": "at least", "gte": "at least", "max": "at most", "lte": "at most", "oneof": "one of", "gt": "more than", "lt": "less than"}

// validate checks the rules of a struct's tags.
func validate(p any) error {
	if t := reflect.TypeOf(p).Elem(); t.Kind() != reflect.Struct {
		return nil
	}
	err := rules().Struct(p)
	found, ok := errors.AsType[validator.ValidationErrors](err)
	if !ok {
		return err
	}
	var faults []error
	for _, f := range found {
		_, name, _ := strings.Cut(f.Namespace(), ".")
		switch {
		case f.Tag() == "required":
			faults = append(faults, fmt.Errorf("parameter %q is missing", name))
		case f.Param() == "":
			faults = append(faults, fmt.Errorf("parameter %q is no valid %s: %v", name, f.Tag(), f.Value()))
		default:
			faults = append(faults, fmt.Errorf("parameter %q is %v: it must be %s %s", name, f.Value(), cmp.Or(ruleWords[f.Tag()], f.Tag()), f.Param()))
		}
	}
	return errors.Join(faults...)
}
