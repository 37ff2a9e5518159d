package config

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"reflect"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.yaml.in/yaml/v3"
)

// Exported is one setting in an export. A secret is in it as it is stored: encrypted.
type Exported struct {
	Path   string  `json:"path" yaml:"path"`
	Scope  Scope   `json:"scope" yaml:"scope"`
	Value  any     `json:"value,omitempty" yaml:"value,omitempty"`
	Sealed *Sealed `json:"sealed,omitempty" yaml:"sealed,omitempty"`
}

// MarshalYAML writes the encrypted value in base64.
func (s Sealed) MarshalYAML() (any, error) {
	return map[string]string{"key": s.Key, "data": base64.StdEncoding.EncodeToString(s.Data)}, nil
}

// UnmarshalYAML reads what MarshalYAML has written.
func (s *Sealed) UnmarshalYAML(node *yaml.Node) error {
	var text struct{ Key, Data string }
	if err := node.Decode(&text); err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(text.Data)
	*s = Sealed{text.Key, data}
	return err
}

// Export returns the settings that match, by path and scope. Of a secret that is in the
// collection in the clear it returns an error: [Store.Reseal] encrypts it.
func (s *Store) Export(ctx context.Context, f Filter) ([]Exported, error) {
	docs, err := s.query(ctx, f.query())
	if err != nil {
		return nil, err
	}
	list := make([]Exported, 0, len(docs))
	for _, d := range docs {
		e := Exported{Path: d.Path, Scope: d.Scope, Sealed: d.Now.Sealed}
		if e.Sealed == nil {
			if e.Value, err = plain(d.Now.Value); err != nil {
				return nil, fmt.Errorf("%s for %s: %w", d.Path, d.Scope, err)
			}
			if file, _, _ := splitReference(e.Value); file == "" && d.hidden {
				return nil, fmt.Errorf("%s for %s is secret, and in the collection in the clear: encrypt it first, by `fleetcast config reseal`", d.Path, d.Scope)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// ParseExport reads what was exported, in YAML or JSON: a list of settings. Values may
// be added by hand.
func ParseExport(text []byte) ([]Exported, error) {
	var list []Exported
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("a list of settings is expected, each with path, scope and value: %w", err)
	}
	return list, nil
}

// Import is how settings are imported.
type Import struct {
	// Declarations, Undeclared are as of [Write].
	Declarations []Declaration
	Undeclared   bool
	// DryRun changes nothing.
	DryRun bool
}

// Imported is what became, or with DryRun would become, of an imported setting.
type Imported struct {
	Path    string `json:"path"`
	Scope   Scope  `json:"scope"`
	Old     any    `json:"old"` // as [Setting.Value]; nil when it was not set
	New     any    `json:"new"`
	Changed bool   `json:"changed"` // false: it is so already, or an error came before
}

// Import sets what was exported. All is checked before anything is written: a
// [FaultsError] has all that is wrong, also secrets that the keys here cannot decrypt.
// The settings are then written one by one; after an error those before it are
// changed, which the result says. What is not in the list is left alone.
func (s *Store) Import(ctx context.Context, list []Exported, how Import) ([]Imported, error) {
	writes, err := s.prepareAll(list, how)
	if err != nil {
		return nil, err
	}
	result := make([]Imported, len(list))
	for i, w := range writes {
		result[i] = Imported{Path: w.Path, Scope: w.Scope}
	}
	for i, w := range writes {
		if err := s.importOne(ctx, w, how.DryRun, &result[i]); err != nil {
			return result, fmt.Errorf("%d of %d settings are imported: %w", i, len(list), err)
		}
	}
	return result, nil
}

// planned is a write that has been checked.
type planned struct {
	Write
	content content
}

func (s *Store) prepareAll(list []Exported, how Import) ([]planned, error) {
	var plan []planned
	var faults []error
	for _, e := range list {
		p, err := s.plan(e, how)
		if err != nil {
			faults = append(faults, err)
		}
		plan = append(plan, p)
	}
	if len(faults) > 0 {
		return nil, &FaultsError{faults}
	}
	return plan, nil
}

func (s *Store) plan(e Exported, how Import) (p planned, err error) {
	w := Write{Path: e.Path, Scope: e.Scope, Value: e.Value, Declarations: how.Declarations, Undeclared: how.Undeclared}
	if e.Sealed != nil {
		if e.Value != nil {
			return p, fmt.Errorf("%s has both a value and a sealed one", e.Path)
		}
		w.Secret = true
		if w.Value, err = s.keys.open(e.Path, e.Scope, *e.Sealed); err != nil {
			return p, fmt.Errorf("%s for %s: %w", e.Path, e.Scope, err)
		}
	}
	p.content, p.Write, err = s.prepare(w)
	return p, err
}

// importOne leaves alone what is so already, so that its history tells nothing of it.
func (s *Store) importOne(ctx context.Context, w planned, dry bool, result *Imported) error {
	old, err := s.find(ctx, w.Path, w.Scope)
	if err != nil {
		return err
	}
	if old.exists {
		result.Old = old.shown(old.Now)
	}
	next := stored{Path: w.Path, Scope: w.Scope, Now: w.content, hidden: s.secret(w.Path)}
	result.New = next.shown(next.Now)
	if s.equal(old, next) {
		return nil
	}
	result.Changed = true
	if dry {
		return nil
	}
	version := old.Now.Version
	w.IfVersion = &version
	_, err = s.change(ctx, w.Write, w.content)
	result.Changed = err == nil
	return err
}

func (s *Store) equal(a, b stored) bool {
	if !a.isSet() || (a.Now.Sealed == nil) != (b.Now.Sealed == nil) {
		return false
	}
	is, errIs := s.open(a)
	want, errWant := s.open(b)
	return errIs == nil && errWant == nil && reflect.DeepEqual(is, want)
}

// Reseal encrypts all secrets with the first key that were encrypted with another, and
// those in the clear that are secret by their path or a declaration. It returns how
// many. Former versions stay as they are.
func (s *Store) Reseal(ctx context.Context, declared []Declaration) (int, error) {
	docs, err := s.query(ctx, bson.D{})
	if err != nil {
		return 0, err
	}
	count := 0
	for _, d := range docs {
		w := Write{Path: d.Path, Scope: d.Scope, IfVersion: &d.Now.Version, Undeclared: true, Secret: d.Now.Sealed != nil, Declarations: declared}
		if ids := s.keys.IDs(); !w.secret() || d.Now.Sealed != nil && len(ids) > 0 && d.Now.Sealed.Key == ids[0] {
			continue
		}
		w.Value, err = s.open(d)
		if file, _, _ := splitReference(w.Value); file != "" { // which tells nothing
			continue
		}
		if err == nil {
			_, err = s.Set(ctx, w)
		}
		if err != nil {
			return count, fmt.Errorf("%s for %s: %w", d.Path, d.Scope, err)
		}
		count++
	}
	return count, nil
}
