package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

// rules knows the tags `validate:"…"`; its cache makes it worth keeping.
var rules = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		for _, tag := range []string{"config", "json"} {
			if name, _, _ := strings.Cut(f.Tag.Get(tag), ","); name != "" {
				return name
			}
		}
		return f.Name
	})
	return v
})

// ruleWords are the commonest rules in words.
var ruleWords = map[string]string{
	"min": "at least", "gte": "at least", "max": "at most", "lte": "at most", "gt": "more than", "lt": "less than",
	"oneof": "one of", "len": "of length", "required": "not empty",
}

// checkRules checks a parsed value and returns the rule that it breaks, in words.
// There are no rules for what is no number, text, list or duration.
func checkRules(rule string, v any) (broken string, err error) {
	if rule == "" {
		return "", nil
	}
	defer func() { // it does so with a rule that it does not know
		if fault := recover(); fault != nil {
			err = fmt.Errorf("rules %q: %v", rule, fault)
		}
	}()
	found, ok := errors.AsType[validator.ValidationErrors](rules().Var(v, rule))
	if !ok {
		return "", nil
	}
	return ruleInWords(found[0]), nil
}

func ruleInWords(f validator.FieldError) string {
	return strings.TrimSpace(cmp.Or(ruleWords[f.Tag()], f.Tag()) + " " + f.Param())
}

// checkStruct checks the rules of a struct's tags.
func checkStruct(p any) error {
	v := reflect.ValueOf(p)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	found, ok := errors.AsType[validator.ValidationErrors](rules().Struct(p))
	if !ok {
		return nil
	}
	var faults []error
	for _, f := range found {
		name := f.Namespace()
		if v.Type().Name() != "" { // it comes first
			_, name, _ = strings.Cut(name, ".")
		}
		faults = append(faults, &fieldError{name: strings.ReplaceAll(name, ".", "/"), want: ruleInWords(f)})
	}
	return errors.Join(faults...)
}

// fieldError is of a field that breaks a rule of its tag. The value is not in it: it
// may be secret.
type fieldError struct{ name, want string }

func (e *fieldError) Error() string { return fmt.Sprintf("%s must be %s", e.name, e.want) }
