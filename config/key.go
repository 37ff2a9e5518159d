package config

import (
	"fmt"
	"reflect"
)

// Key is a declared setting of type T. Make it with [New].
type Key[T any] struct {
	entry *entry
	def   T
}

// New declares a setting with its default, as package flag does, in a variable of a
// package:
//
//	var maxWorkers = config.New("app/max_workers", 10, config.Unit("workers"), config.Min(1))
//
// T is a string, a boolean, an integer, a floating-point number, a [time.Duration], a
// *[regexp.Regexp], what writes and reads itself as text, such as a [netip.Addr], a
// slice of one of these, or anything that encoding/json decodes: a struct, a map, a
// [json.RawMessage].
//
// It panics if the path is declared twice or is none, if T cannot be a setting, and if
// the default breaks the rules.
func New[T any](path string, def T, opts ...Option) *Key[T] {
	e := &entry{keys: &process, typ: reflect.TypeFor[T](), def: def, Declaration: Declaration{Path: path}}
	e.Type = typeOf(e.typ)
	for _, opt := range opts {
		opt(e)
	}
	if err := e.complete(); err != nil {
		panic("config: " + err.Error())
	}
	e.keys.add(e)
	return &Key[T]{e, def}
}

// complete checks a declaration and takes the default over.
func (e *entry) complete() error {
	if err := CheckPath(e.Path); err != nil {
		return err
	}
	e.Secret = e.Secret || SecretPath(e.Path)
	if e.Type == "" {
		return fmt.Errorf("%s: a %s cannot be a setting", e.Path, e.typ)
	}
	if e.Rules != "" && (e.Type == JSON || e.Type == Regexp) {
		return fmt.Errorf("%s: there are no rules for the type %s; see config.Check, and tags of structs", e.Path, e.Type)
	}
	return e.takeDefault()
}

// takeDefault writes the default down. One that is JSON is the program's own matter.
func (e *entry) takeDefault() error {
	raw, err := plain(e.def)
	if err != nil {
		return err
	}
	if e.Type == JSON { // a text would be taken for JSON
		if e.defRaw, err = jsonOf(raw); err != nil {
			return err
		}
	} else if _, e.defRaw, err = e.value(raw, Origin{Layer: LayerDefault}, false); err != nil {
		return err
	}
	if e.def != nil && !reflect.ValueOf(e.def).IsZero() && !e.Secret {
		e.Default = write(escapeReference(show(e.defRaw)))
	}
	return nil
}

// Path returns the path.
func (k *Key[T]) Path() string { return k.entry.Path }

// Default returns the default.
func (k *Key[T]) Default() T { return k.def }

// Declaration describes the key.
func (k *Key[T]) Declaration() Declaration { return k.entry.Declaration }

// Reader is what settings are read from: [Settings], for what is in force at this
// moment, or a [Snapshot], for values that belong together.
type Reader interface{ snapshot() *Snapshot }

// Get returns the value: the default where nothing else is set, and also when from is
// nil or was loaded before the key was declared. It takes some nanoseconds and
// allocates nothing. What it returns is shared: do not change slices and maps.
//
// It panics if from has other [Keys].
func (k *Key[T]) Get(from Reader) T {
	if from == nil {
		return k.def
	}
	s := from.snapshot()
	if s == nil {
		return k.def
	}
	if s.keys != k.entry.keys {
		panic("config: " + k.entry.Path + " is read from settings with other Keys: see config.In and Config.Keys")
	}
	if k.entry.index >= len(s.typed) {
		return k.def
	}
	value, _ := s.typed[k.entry.index].(T)
	return value
}

// OnChange calls f after each change of the value; see [Settings.OnChange].
func (k *Key[T]) OnChange(s *Settings, f func(old, new T)) (stop func()) {
	return s.OnChange(k.entry.Path, func(_ string, old, new any) {
		was, _ := old.(T)
		is, _ := new.(T)
		f(was, is)
	})
}
