package event

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-playground/validator/v10"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// decodeParameters makes a P of an event's parameters: its defaults, then what the
// event has, then the rules of its struct tags. A parameter that P has not, or cannot
// hold, is an error that names it.
func decodeParameters[P any](raw bson.Raw) (P, error) {
	p := withDefaults[P]()
	if same, ok := any(&p).(*bson.Raw); ok {
		*same = raw
		return p, nil
	}
	if raw != nil {
		if err := checkFields(raw, reflect.TypeFor[P](), ""); err != nil {
			return p, err
		}
		if bson.Unmarshal(raw, &p) != nil { // rarely: durations as text are the exception
			p = withDefaults[P]()
			if err := unmarshalTexts(raw, &p); err != nil {
				return p, err
			}
		}
	}
	return p, validate(&p)
}

func withDefaults[P any]() (p P) {
	if d, ok := any(&p).(Defaulter); ok {
		d.SetDefaults()
	}
	return p
}

// registry decodes a time.Duration from text, too: that is how people write it.
var registry = sync.OnceValue(func() *bson.Registry {
	r := bson.NewRegistry()
	r.RegisterTypeDecoder(reflect.TypeFor[time.Duration](), bson.ValueDecoderFunc(decodeDuration))
	return r
})

func decodeDuration(_ bson.DecodeContext, r bson.ValueReader, to reflect.Value) error {
	if r.Type() != bson.TypeString {
		n, err := r.ReadInt64()
		to.SetInt(n)
		return err
	}
	text, err := r.ReadString()
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	to.SetInt(int64(d))
	return err
}

func unmarshalTexts(raw bson.Raw, p any) error {
	d := bson.NewDecoder(bson.NewDocumentReader(bytes.NewReader(raw)))
	d.SetRegistry(registry())
	return d.Decode(p)
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
	shown := shortened
	if len(secretsIn(reflect.TypeOf(p).Elem())) > 0 {
		shown = func(any) string { return Hidden } // it may be the secret: faults go into logs and records
	}
	var faults []error
	for _, f := range found {
		_, name, _ := strings.Cut(f.Namespace(), ".")
		switch {
		case f.Tag() == "required":
			faults = append(faults, fmt.Errorf("parameter %q is missing", name))
		case f.Param() == "":
			faults = append(faults, fmt.Errorf("parameter %q is no valid %s: %v", name, f.Tag(), shown(f.Value())))
		default:
			faults = append(faults, fmt.Errorf("parameter %q is %v: it must be %s %s", name, shown(f.Value()), cmp.Or(ruleWords[f.Tag()], f.Tag()), f.Param()))
		}
	}
	return errors.Join(faults...)
}

// shortened is a value for people.
func shortened(value any) string {
	const most = 100
	text := fmt.Sprint(value)
	if short := fmt.Sprintf("%.*s", most, text); short != text {
		return short + "…"
	}
	return text
}
