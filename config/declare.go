package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/fleetcast/fleetcast/event"
)

// Declaration describes a declared setting for people and for those who set it from
// afar. It is in the registry.
type Declaration struct {
	Path string `bson:"path" json:"path"`
	// Type is one of [Text], [Integer] and so on, or "list of" one of them.
	Type    string `bson:"type" json:"type"`
	Default string `bson:"default,omitempty" json:"default,omitempty"` // as it would be written
	Unit    string `bson:"unit,omitempty" json:"unit,omitempty"`
	Doc     string `bson:"doc,omitempty" json:"doc,omitempty"`
	Rules   string `bson:"rules,omitempty" json:"rules,omitempty"` // see [Rules]
	Secret  bool   `bson:"secret,omitempty" json:"secret,omitempty"`
	// Env is the environment variable, where that is known: see [Settings.Declarations].
	Env string `bson:"env,omitempty" json:"env,omitempty"`
}

// Check reports what is wrong with a value for the setting, as a [ValueError]. It is
// of any type that JSON, YAML or BSON has, or text; what only the declaring process
// can check, such as the fields of a struct, it does not.
func (d Declaration) Check(value any) error {
	_, err := d.parse(value, Origin{}, false)
	return err
}

// parse makes of a value one of the declared type.
func (d Declaration) parse(value any, from Origin, secret bool) (any, error) {
	if !knownType(d.Type) {
		return nil, fmt.Errorf("%s has the type %q, of which this version knows nothing", d.Path, d.Type)
	}
	value, err := plain(value)
	if err != nil {
		return nil, d.fault(value, from, secret, want(d.Type), err)
	}
	parsed, err := parse(d.Type, value)
	if err != nil {
		return nil, d.fault(value, from, secret, want(d.Type), err)
	}
	broken, err := checkRules(d.Rules, parsed)
	if broken != "" || err != nil {
		return nil, d.fault(value, from, secret, broken, err)
	}
	return parsed, nil
}

// fault makes a ValueError that tells nothing of a secret value.
func (d Declaration) fault(value any, from Origin, secret bool, want string, err error) error {
	e := &ValueError{Path: d.Path, Origin: from, Value: quote(value), Want: want}
	if err != nil && err.Error() != "" {
		e.Err = err
	}
	if secret || d.Secret || SecretPath(d.Path) {
		e.Value, e.Err = event.Hidden, nil
	}
	return e
}

// maxQuoted bounds the value in an error, in bytes.
const maxQuoted = 200

func quote(value any) string {
	text := write(value)
	if _, ok := value.(string); ok {
		text = fmt.Sprintf("%q", text)
	}
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "") + "…"
	}
	return text
}

// Option completes a declaration.
type Option func(*entry)

// Doc describes the setting in one line for people.
func Doc(text string) Option { return func(e *entry) { e.Doc = text } }

// Unit is what a number counts, such as "workers" or "seconds".
func Unit(name string) Option { return func(e *entry) { e.Unit = name } }

// Rules are what a text, a number, a duration, a list must comply with, as
// github.com/go-playground/validator knows them: "min=1,max=100", "oneof=red green",
// "hostname_port". min and max are the value of a number or a duration, and the length
// of a text or a list. Fields of a struct have tags `validate:"…"` instead.
func Rules(text string) Option {
	return func(e *entry) {
		if e.Rules != "" {
			text = e.Rules + "," + text
		}
		e.Rules = text
	}
}

// Min is the rule "min".
func Min(n any) Option { return Rules(fmt.Sprintf("min=%v", n)) }

// Max is the rule "max".
func Max(n any) Option { return Rules(fmt.Sprintf("max=%v", n)) }

// OneOf is the rule "oneof": texts without blanks.
func OneOf(texts ...string) Option { return Rules("oneof=" + strings.Join(texts, " ")) }

// Secret keeps the values from being shown anywhere, and encrypts them in the
// collection. Paths with an element secret or secrets are so by themselves.
func Secret() Option { return func(e *entry) { e.Secret = true } }

// Check adds a check of one's own, of values of the key's type. What it says is shown,
// unless the setting is secret. It must be quick and have no effects: values are
// checked before it is known whether they will be in force.
func Check[T any](check func(T) error) Option {
	return func(e *entry) {
		e.checks = append(e.checks, func(v any) error {
			typed, ok := v.(T)
			if !ok {
				panic(fmt.Sprintf("config: %s: a check of %s for a key of type %T", e.Path, reflect.TypeFor[T](), v))
			}
			return check(typed)
		})
	}
}

// In declares the key in a set of its own, in place of the process's.
func In(keys *Keys) Option { return func(e *entry) { e.keys = keys } }

// entry is what a set knows of a key, whatever its type.
type entry struct {
	Declaration
	keys   *Keys
	index  int // in keys
	typ    reflect.Type
	def    any // of the key's type
	defRaw any // parsed
	checks []func(any) error
}

// value makes a value of the key's type; parsed is what it was made of.
func (e *entry) value(v any, from Origin, secret bool) (typed, parsed any, err error) {
	if parsed, err = e.parse(v, from, secret); err != nil {
		return nil, nil, err
	}
	fitted, err := fit(e.typ, parsed)
	if err != nil {
		return nil, nil, e.fault(v, from, secret, wantOf(e.typ), err)
	}
	typed = fitted.Interface()
	for _, check := range e.checks {
		if err := check(typed); err != nil {
			return nil, nil, e.fault(v, from, secret, "another value", err)
		}
	}
	return typed, parsed, nil
}

// Keys is a set of declared settings. The zero value is an empty one. It is safe for
// concurrent use.
type Keys struct {
	mu      sync.Mutex
	entries []*entry
	checks  []func(*Snapshot) error
}

// process has the keys that New declares without In.
var process Keys

// Declarations returns the settings that this process has declared with [New], by
// path.
func Declarations() []Declaration { return process.Declarations() }

// Declarations returns the declared settings, by path.
func (k *Keys) Declarations() []Declaration {
	list := []Declaration{}
	for _, e := range k.list() {
		list = append(list, e.Declaration)
	}
	slices.SortFunc(list, func(a, b Declaration) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func (k *Keys) list() []*entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.entries)
}

// add declares a key. It panics if that is declared already.
func (k *Keys) add(e *entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, other := range k.entries {
		if other.Path == e.Path {
			panic(fmt.Sprintf("config: %s is declared twice", e.Path))
		}
	}
	e.index = len(k.entries)
	k.entries = append(k.entries, e)
}
