package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ActionInfo describes an action for people and forms.
type ActionInfo struct {
	Subscriber string          `bson:"subscriber" json:"subscriber"`
	Action     string          `bson:"action" json:"action"`
	Doc        string          `bson:"doc,omitempty" json:"doc"`                                 // see [Doc]
	ExpiresMS  int64           `bson:"expires_ms,omitempty" json:"expires_after_ms"`             // see [ExpiresAfter]; 0 for never
	Parameters []ParameterInfo `bson:"parameters,omitempty" json:"parameters"`                   // in the order of the struct
	Free       bool            `bson:"free,omitempty" json:"other_parameters_allowed,omitempty"` // there may be others
}

// ParameterInfo describes a parameter of an action.
type ParameterInfo struct {
	Name string `bson:"name" json:"name"`
	// Type is text, integer, number, boolean, duration, time, id, binary, document, any,
	// or "list of" one of them.
	Type     string `bson:"type" json:"type"`
	Default  string `bson:"default,omitempty" json:"default,omitempty"` // as it would be written
	Required bool   `bson:"required,omitempty" json:"required"`
	Rules    string `bson:"rules,omitempty" json:"rules,omitempty"` // the tag validate
	Doc      string `bson:"doc,omitempty" json:"doc,omitempty"`     // the tag doc
	Secret   bool   `bson:"secret,omitempty" json:"secret,omitempty"`
}

// Table describes the actions of this process, by subscriber and action.
func (b *Bus) Table() []ActionInfo {
	var table []ActionInfo
	for name, subs := range b.byName() {
		if name == All {
			continue
		}
		for _, s := range subs {
			for _, action := range sortedNames(s.actions) {
				info := s.actions[action].info(name)
				if !slices.ContainsFunc(table, func(o ActionInfo) bool { return o.Subscriber == name && o.Action == action }) {
					table = append(table, info)
				}
			}
		}
	}
	slices.SortFunc(table, func(x, y ActionInfo) int {
		return strings.Compare(x.Subscriber+" "+x.Action, y.Subscriber+" "+y.Action)
	})
	return table
}

func (a Action) info(subscriber string) ActionInfo {
	info := ActionInfo{Subscriber: subscriber, Action: a.name, Doc: a.doc, ExpiresMS: a.limit.Milliseconds()}
	if a.parameters == nil {
		return info
	}
	value := reflect.New(a.parameters)
	if d, ok := value.Interface().(Defaulter); ok {
		d.SetDefaults()
	}
	info.Parameters, info.Free = describeFields(value.Elem())
	return info
}

// describeFields describes the fields of a struct that parameters are decoded into;
// free says that there may be others.
func describeFields(v reflect.Value) (list []ParameterInfo, free bool) {
	t := v.Type()
	if _, all := fieldsOf(t); !all {
		return nil, true
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("bson"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case slices.Contains(strings.Split(options, ","), "inline") && f.Type.Kind() == reflect.Struct:
			inner, _ := describeFields(v.Field(i))
			list = append(list, inner...)
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			list = append(list, describe(name, f, v.Field(i)))
		}
	}
	return list, false
}

func describe(name string, f reflect.StructField, v reflect.Value) ParameterInfo {
	rules := f.Tag.Get("validate")
	p := ParameterInfo{
		Name: name, Type: typeWord(f.Type), Doc: f.Tag.Get("doc"), Rules: rules,
		Required: slices.Contains(strings.Split(rules, ","), "required"),
		Secret:   len(secretsIn(reflect.StructOf([]reflect.StructField{{Name: "X", Type: f.Type, Tag: f.Tag}}))) > 0,
	}
	if !v.IsZero() && !p.Secret {
		p.Default = written(v.Interface())
	}
	return p
}

// written is a default as people would write it.
func written(v any) string {
	if s, ok := v.(fmt.Stringer); ok {
		return s.String()
	}
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// typeWords are the types that are not told by their kind.
var typeWords = map[reflect.Type]string{
	reflect.TypeFor[time.Duration](): "duration", reflect.TypeFor[time.Time](): "time", reflect.TypeFor[bson.ObjectID](): "id",
	reflect.TypeFor[bson.Binary](): "binary", reflect.TypeFor[[]byte](): "binary", reflect.TypeFor[bson.RawValue](): "any",
	reflect.TypeFor[bson.D](): "document", reflect.TypeFor[bson.Raw](): "document",
}

func typeWord(t reflect.Type) string {
	if word, ok := typeWords[t]; ok {
		return word
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWord(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice, reflect.Array:
		return "list of " + typeWord(t.Elem())
	case reflect.Struct, reflect.Map:
		return "document"
	case reflect.Interface:
		return "any"
	}
	switch {
	case t.ConvertibleTo(reflect.TypeFor[time.Duration]()) && t.Name() == "Duration":
		return "duration"
	case t.ConvertibleTo(reflect.TypeFor[int64]()):
		return "integer"
	}
	return "any"
}
