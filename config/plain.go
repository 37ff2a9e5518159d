package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// plain reduces a value of any source to nil, string, bool, int64, float64, []any or
// map[string]any.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, errEncoding
		}
		return v, nil
	case time.Duration:
		return v.String(), nil
	case *regexp.Regexp:
		if v == nil {
			return "", nil
		}
		return v.String(), nil
	case time.Time:
		return plainTime(v), nil
	case bson.DateTime:
		return plainTime(v.Time()), nil
	case bson.D:
		return plainDocument(v)
	case json.RawMessage:
		if len(v) == 0 {
			return nil, nil
		}
		return plainJSON(v)
	case encoding.TextMarshaler:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return nil, nil
		}
		text, err := v.MarshalText()
		return string(text), err
	}
	switch r := reflect.ValueOf(v); {
	case r.Kind() == reflect.String && !hasJSON(v):
		return r.String(), nil
	case r.CanInt() && !hasJSON(v):
		return r.Int(), nil
	case r.CanUint() && r.Uint() <= math.MaxInt64:
		return int64(r.Uint()), nil
	case r.CanFloat():
		return r.Float(), nil
	case r.Kind() == reflect.Slice && r.Type().Elem().Kind() != reflect.Uint8:
		return plainList(r)
	case r.Kind() == reflect.Map && !hasJSON(v):
		return plainMap(r)
	}
	return plainJSON(v)
}

func hasJSON(v any) bool {
	_, ok := v.(json.Marshaler)
	return ok
}

// plainTime writes a time as YAML would: a date alone where it is one.
func plainTime(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

func plainDocument(d bson.D) (any, error) {
	m := map[string]any{}
	for _, e := range d {
		v, err := plain(e.Value)
		if err != nil {
			return nil, err
		}
		m[e.Key] = v
	}
	return m, nil
}

func plainList(r reflect.Value) (any, error) {
	list := make([]any, r.Len())
	for i := range list {
		v, err := plain(r.Index(i).Interface())
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

func plainMap(r reflect.Value) (any, error) {
	m := map[string]any{}
	for it := r.MapRange(); it.Next(); {
		v, err := plain(it.Value().Interface())
		if err != nil {
			return nil, err
		}
		m[fmt.Sprint(it.Key())] = v // YAML has numbers as keys
	}
	return m, nil
}

// plainJSON takes the way by JSON, for structs and for JSON itself.
func plainJSON(v any) (any, error) {
	text, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if text, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("a value of type %T cannot be a setting: %w", v, err)
		}
	}
	decoded, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	return numbers(decoded)
}

// encodeJSON is compact JSON, with < and > as they are.
func encodeJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// decodeJSON decodes one JSON value. Its numbers stay as they are written.
func decodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the JSON value")
	}
	return v, nil
}

// numbers replaces each json.Number by an int64 or a float64.
func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range v {
			if v[key], err = numbers(v[key]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
