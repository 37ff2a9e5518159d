package config

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Bounds of the former versions that a document keeps.
const (
	MaxHistory      = 100       // versions
	maxHistoryBytes = 256 << 10 // without the newest
)

// MaxValue bounds the value of a setting in the collection, in bytes.
const MaxValue = 1 << 20

// Write is a change to a setting.
type Write struct {
	Path  string
	Scope Scope // Default: Global
	// Value is of any type that JSON, YAML or BSON has, a [time.Duration], or text as
	// of an environment variable.
	Value any
	// IfVersion makes the change only if the setting has this version, 0 for one that
	// was never set; else the error is [ErrConflict]. Nil: whatever it has.
	IfVersion *int64
	// Declarations are what servers have declared; the value must be right for all of
	// them that are of this path. A path that is in none is refused with
	// [ErrUndeclared], unless there are none at all or Undeclared is set.
	Declarations []Declaration
	Undeclared   bool
	// Secret encrypts a value that is secret neither by its path nor by a declaration.
	Secret bool
}

// Set changes a setting and returns what is set now. A wrong value is a [ValueError].
func (s *Store) Set(ctx context.Context, w Write) (Setting, error) {
	next, w, err := s.prepare(w)
	if err != nil {
		return Setting{}, err
	}
	return s.change(ctx, w, next)
}

// Unset removes a setting, so that a lower layer counts again. Its history remains.
// It fails with [ErrNotFound] if it is not set.
func (s *Store) Unset(ctx context.Context, path string, scope Scope, ifVersion *int64) (Setting, error) {
	if err := CheckPath(path); err != nil {
		return Setting{}, err
	}
	scope, err := ParseScope(string(scope))
	if err != nil {
		return Setting{}, err
	}
	return s.change(ctx, Write{Path: path, Scope: scope, IfVersion: ifVersion}, content{Unset: true})
}

// prepare checks a write and makes the content of it; the scope is completed.
func (s *Store) prepare(w Write) (content, Write, error) {
	var err error
	if err = CheckPath(w.Path); err != nil {
		return content{}, w, err
	}
	if w.Scope, err = ParseScope(string(w.Scope)); err != nil {
		return content{}, w, err
	}
	value, err := w.check()
	if err != nil {
		return content{}, w, err
	}
	if text, err := encodeJSON(value); err != nil || len(text) > MaxValue {
		return content{}, w, errors.Join(err, fmt.Errorf("the value of %s has %d bytes: at most %d", w.Path, len(text), MaxValue))
	}
	if name, _, _ := splitReference(value); name == "" && w.secret() {
		sealed, err := s.keys.seal(w.Path, w.Scope, value)
		return content{Sealed: &sealed}, w, err
	}
	if !storable(value, false) {
		value = write(value)
	}
	return content{Value: value}, w, nil
}

// storable reports whether every store takes a value as it is: keys with dots, or with
// a dollar in front, and lists in lists not all do.
func storable(v any, inList bool) bool {
	switch v := v.(type) {
	case []any:
		return !inList && !slices.ContainsFunc(v, func(v any) bool { return !storable(v, true) })
	case map[string]any:
		for key, below := range v {
			if key == "" || key[0] == '$' || strings.ContainsAny(key, ".\x00") || !storable(below, false) {
				return false
			}
		}
	}
	return true
}

func (w Write) secret() bool {
	return w.Secret || SecretPath(w.Path) || slices.ContainsFunc(w.declarations(), func(d Declaration) bool { return d.Secret })
}

func (w Write) declarations() []Declaration {
	return slices.DeleteFunc(slices.Clone(w.Declarations), func(d Declaration) bool { return d.Path != w.Path })
}

// check returns the plain value: as declared, so that 10 is no text for a number.
func (w Write) check() (any, error) {
	value, err := plain(w.Value)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("%s: there is no value: unset it instead", w.Path)
	}
	declared := w.declarations()
	if len(declared) == 0 && len(w.Declarations) > 0 && !w.Undeclared {
		var known []string
		for _, d := range w.Declarations {
			known = append(known, d.Path)
		}
		return nil, fmt.Errorf("%s: %w%s", w.Path, ErrUndeclared, didYouMean(w.Path, known))
	}
	name, literal, err := splitReference(value)
	if name != "" || err != nil { // the host that reads the file checks what is in it
		return value, err
	}
	kept := literal
	for _, d := range declared {
		parsed, err := d.parse(literal, Origin{}, w.secret())
		if err != nil {
			return nil, err
		}
		kept = show(parsed)
	}
	return escapeReference(kept), nil
}

// tries bounds how often a change is tried again that others were quicker than.
const tries = 50

// change writes a version behind the newest one, if that is still the newest.
func (s *Store) change(ctx context.Context, w Write, next content) (Setting, error) {
	for range tries {
		old, err := s.read(ctx, w.Path, w.Scope, options.FindOne())
		if err != nil {
			return Setting{}, err
		}
		if w.IfVersion != nil && *w.IfVersion != old.Now.Version {
			return Setting{}, fmt.Errorf("%s for %s has version %d, not %d: %w", w.Path, w.Scope, old.Now.Version, *w.IfVersion, ErrConflict)
		}
		if next.Unset && !old.isSet() {
			return Setting{}, fmt.Errorf("%s for %s: %w", w.Path, w.Scope, ErrNotFound)
		}
		written, err := s.replace(ctx, old, next)
		if err != nil {
			return Setting{}, unavailable("write the setting "+w.Path, err)
		}
		if written {
			return s.written(ctx, w, old.Now.Version+1)
		}
	}
	return Setting{}, fmt.Errorf("%s for %s: others were quicker %d times: %w", w.Path, w.Scope, tries, ErrConflict)
}

// replace writes the next version and files the old one, in one write that happens
// only if the old one is still there.
func (s *Store) replace(ctx context.Context, old stored, next content) (written bool, err error) {
	set := bson.D{
		{Key: "path", Value: old.Path}, {Key: "scope", Value: string(old.Scope)},
		{Key: "version", Value: old.Now.Version + 1}, {Key: "updated_by", Value: s.by},
		{Key: "history", Value: old.filed(next.Sealed != nil)},
	}
	unset := bson.D{}
	fields := bson.D{{Key: "value", Value: next.Value}, {Key: "sealed", Value: next.Sealed}, {Key: "unset", Value: next.Unset}}
	for i, has := range []bool{next.Value != nil, next.Sealed != nil, next.Unset} {
		if has {
			set = append(set, fields[i])
		} else {
			unset = append(unset, bson.E{Key: fields[i].Key, Value: ""})
		}
	}
	update := bson.D{
		{Key: "$set", Value: set}, {Key: "$unset", Value: unset},
		{Key: "$currentDate", Value: bson.D{{Key: "updated_at", Value: true}}},
	}
	is := bson.D{{Key: "_id", Value: old.ID}, {Key: "version", Value: old.Now.Version}}
	if old.exists && old.Now.Version == 0 { // written by hand
		is[1].Value = bson.D{{Key: "$exists", Value: false}}
	}
	result, err := s.coll.UpdateOne(ctx, is, update, options.UpdateOne().SetUpsert(!old.exists))
	if mongo.IsDuplicateKeyError(err) { // another was the first
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return result.MatchedCount+result.UpsertedCount > 0, nil
}

// filed is the history with the newest version added, cut at its bounds. When the
// setting becomes secret, what it was in the clear goes.
func (s stored) filed(sealed bool) []content {
	history := slices.Clone(s.History)
	if s.exists {
		history = append(history, s.Now)
	}
	for i := range history {
		if sealed {
			history[i].Value = nil
		}
	}
	history = history[max(0, len(history)-MaxHistory):]
	size := 0
	for i := len(history) - 1; i >= 0; i-- {
		raw, err := bson.Marshal(history[i])
		if size += len(raw); err != nil || size > maxHistoryBytes && i < len(history)-1 {
			return history[i+1:]
		}
	}
	return history
}

// written reads a setting back, for the time that the database has given it. When
// another has changed it again since, that one's is returned.
func (s *Store) written(ctx context.Context, w Write, version int64) (Setting, error) {
	d, err := s.find(ctx, w.Path, w.Scope)
	if err != nil {
		return Setting{Path: w.Path, Scope: w.Scope, Version: version}, fmt.Errorf("it is written, but cannot be read back: %w", err)
	}
	return d.setting(), nil
}

func inOrder(docs []stored) []stored {
	docs = slices.DeleteFunc(docs, func(d stored) bool { return d.Now.Unset })
	slices.SortFunc(docs, func(a, b stored) int {
		if a.Path != b.Path {
			return strings.Compare(a.Path, b.Path)
		}
		return compareScopes(a.Scope, b.Scope)
	})
	return docs
}
