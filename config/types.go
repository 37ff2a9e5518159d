package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The types of settings, as [Declaration.Type] names them; a list is "list of" one of
// the others, but for JSON.
const (
	Text     = "text"
	Integer  = "integer"
	Number   = "number"
	Boolean  = "boolean"
	Duration = "duration" // text such as 1m30s, or a number of seconds
	Regexp   = "regexp"   // as of package regexp; an empty text is none
	JSON     = "json"     // anything; in text it is JSON

	listOf = "list of "
)

// parsers make of a plain value that of a type: string, int64, float64, bool,
// time.Duration, *regexp.Regexp, json.RawMessage.
var parsers = map[string]func(any) (any, error){
	Text: parseText, Integer: parseInteger, Number: parseNumber, Boolean: parseBoolean,
	Duration: parseDuration, Regexp: parseRegexp, JSON: parseJSON,
}

// wants says what a value of a type is.
var wants = map[string]string{
	Text: "a text", Integer: "an integer", Number: "a number", Boolean: "true or false",
	Duration: "a duration such as 1m30s, or a number of seconds", Regexp: "a regular expression", JSON: "JSON",
}

// want says what a value of a type is, in words.
func want(typ string) string {
	if elem, ok := strings.CutPrefix(typ, listOf); ok {
		return "a list, each " + wants[elem]
	}
	return wants[typ]
}

// wantOf says what a value of a Go type is, in words.
func wantOf(t reflect.Type) string {
	if isText(t) {
		return "a text that is a " + t.String()
	}
	return want(typeOf(t))
}

// knownType reports whether there is such a type.
func knownType(typ string) bool {
	elem, isList := strings.CutPrefix(typ, listOf)
	_, ok := parsers[elem]
	return ok && (!isList || elem != JSON)
}

// errEncoding is of a text that neither BSON nor JSON can have.
var errEncoding = errors.New("it is not encoded in UTF-8")

// errKind is of a value of another kind, of which there is nothing more to say.
var errKind = errors.New("")

// parse makes of a plain value that of a type; a list is a []any of such values.
func parse(typ string, v any) (any, error) {
	elem, ok := strings.CutPrefix(typ, listOf)
	if !ok {
		return parsers[typ](v)
	}
	raw, err := splitList(v)
	if err != nil {
		return nil, err
	}
	list := make([]any, len(raw))
	for i := range raw {
		if list[i], err = parsers[elem](raw[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// splitList takes a list, or its text: a JSON array, or parts between commas.
func splitList(v any) ([]any, error) {
	if list, ok := v.([]any); ok {
		return list, nil
	}
	text, ok := v.(string)
	if text = strings.TrimSpace(text); !ok {
		return nil, errKind
	}
	if text == "" {
		return []any{}, nil
	}
	if text[0] == '[' {
		decoded, err := plainJSON(json.RawMessage(text))
		if list, ok := decoded.([]any); ok && err == nil {
			return list, nil
		}
		return nil, errors.New("what begins with [ is a JSON array")
	}
	var list []any
	for part := range strings.SplitSeq(text, ",") {
		list = append(list, strings.TrimSpace(part))
	}
	return list, nil
}

func parseText(v any) (any, error) {
	s, ok := v.(string)
	switch {
	case !ok:
		return nil, errors.New("put it in quotes if it is one")
	case !utf8.ValidString(s):
		return nil, errEncoding
	}
	return s, nil
}

func parseInteger(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64: // the mongo shell writes all numbers so
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	case string:
		i, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return nil, errors.New("it is too large")
		}
		if err == nil {
			return i, nil
		}
	}
	return nil, errKind
}

func parseNumber(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return float64(v), nil
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v, nil
		}
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			return parseNumber(f)
		}
	}
	return nil, errKind
}

func parseBoolean(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
	}
	return nil, errKind
}

func parseDuration(v any) (any, error) {
	text, ok := v.(string)
	if d, err := time.ParseDuration(strings.TrimSpace(text)); ok && err == nil {
		return d, nil
	}
	seconds, err := parseNumber(v)
	if err != nil {
		return nil, errKind
	}
	if i, ok := v.(int64); ok && i == i*int64(time.Second)/int64(time.Second) {
		return time.Duration(i) * time.Second, nil
	}
	ns := seconds.(float64) * float64(time.Second)
	if math.Abs(ns) >= math.MaxInt64 {
		return nil, errors.New("it is too long")
	}
	return time.Duration(math.Round(ns)), nil
}

func parseRegexp(v any) (any, error) {
	text, ok := v.(string)
	if !ok {
		return nil, errKind
	}
	if text == "" {
		return (*regexp.Regexp)(nil), nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return re, nil
}

// parseJSON returns compact JSON with sorted keys, so that equal values are equal.
func parseJSON(v any) (any, error) {
	if text, ok := v.(string); ok {
		var err error
		if v, err = decodeJSON([]byte(text)); err != nil {
			return nil, err
		}
	}
	return jsonOf(v)
}

func jsonOf(v any) (any, error) {
	text, err := encodeJSON(v)
	return json.RawMessage(text), err
}

// show makes of a parsed value a plain one for people: durations, regular
// expressions and JSON are text.
func show(v any) any {
	switch v := v.(type) {
	case json.RawMessage:
		return string(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = show(v[i])
		}
		return list
	}
	shown, _ := plain(v) // what has been parsed has a plain form
	return shown
}

// write is a plain value in one line of text, as it could be given again.
func write(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	text, err := encodeJSON(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return text
}

var durationType = reflect.TypeFor[time.Duration]()

// typeOf returns the name of the type that a Go type has as a setting; empty if it
// cannot be one.
func typeOf(t reflect.Type) string {
	switch name := scalarOf(t); {
	case name != "":
		return name
	case t == reflect.TypeFor[json.RawMessage]():
		return JSON
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "" // bytes: nobody knows how they are written
	case t.Kind() == reflect.Slice && scalarOf(t.Elem()) != "":
		return listOf + scalarOf(t.Elem())
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return ""
	}
	return JSON
}

func scalarOf(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == durationType:
		return Duration
	case t == reflect.TypeFor[*regexp.Regexp]():
		return Regexp
	case isText(t):
		return Text
	case k == reflect.String:
		return Text
	case k == reflect.Bool:
		return Boolean
	case k >= reflect.Int && k <= reflect.Uint64:
		return Integer
	case k == reflect.Float32 || k == reflect.Float64:
		return Number
	}
	return ""
}

var (
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isText reports whether a type writes and reads itself as text, as netip.Addr does.
func isText(t reflect.Type) bool {
	return t.Implements(textMarshaler) && reflect.PointerTo(t).Implements(textUnmarshaler)
}

// fit makes of a parsed value one of a Go type of which it has the type.
func fit(t reflect.Type, v any) (reflect.Value, error) {
	to := reflect.New(t).Elem()
	from := reflect.ValueOf(v)
	switch x := v.(type) {
	case json.RawMessage:
		return fitJSON(t, x)
	case string:
		if isText(t) {
			return to, to.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(x))
		}
	case []any:
		to.Set(reflect.MakeSlice(t, len(x), len(x)))
		for i := range x {
			elem, err := fit(t.Elem(), x[i])
			if err != nil {
				return to, err
			}
			to.Index(i).Set(elem)
		}
		return to, nil
	case int64:
		if to.CanInt() && to.OverflowInt(x) || to.CanUint() && (x < 0 || to.OverflowUint(uint64(x))) {
			return to, fmt.Errorf("it does not fit into %s", t)
		}
	case float64:
		if to.OverflowFloat(x) {
			return to, fmt.Errorf("it does not fit into %s", t)
		}
	}
	return from.Convert(t), nil
}

// fitJSON decodes JSON. A struct has all fields that are given.
func fitJSON(t reflect.Type, text json.RawMessage) (reflect.Value, error) {
	to := reflect.New(t)
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(to.Interface()); err != nil {
		return to.Elem(), err
	}
	return to.Elem(), checkStruct(to.Interface())
}
