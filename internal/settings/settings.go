// Package settings changes the live settings of a fleet as command line and console do:
// checked against what the servers declare, and on record in the audit.
package settings

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// Editor changes the settings of a database.
type Editor struct {
	*config.Store
	Registry  *server.Registry
	publisher event.Publisher
}

// NewEditor returns an Editor that acts for a publisher; the zero one is this process. It
// is for one request: what servers have declared secret is read once, with ctx.
func NewEditor(ctx context.Context, db *mongo.Database, keys *config.Keyring, publisher event.Publisher) *Editor {
	e := &Editor{Registry: server.NewRegistry(db), publisher: publisher}
	e.Store = config.NewStore(db, config.StoreConfig{Keyring: keys, Secret: e.secrets(ctx), By: publisher})
	return e
}

// Declared is a setting as some servers have declared it.
type Declared struct {
	config.Declaration
	Servers []string
}

// Declarations returns what the living servers have declared, by path; what the lost
// ones have, if none is living.
func (e *Editor) Declarations(ctx context.Context) ([]Declared, error) {
	entries, err := e.Registry.ListTables(ctx)
	return declaredByAny(entries), err
}

// secrets tells which paths servers have declared secret. When that cannot be read,
// all are.
func (e *Editor) secrets(ctx context.Context) func(path string) bool {
	read := sync.OnceValues(func() ([]Declared, error) { return e.Declarations(ctx) })
	return func(path string) bool {
		list, err := read()
		return err != nil || slices.ContainsFunc(list, func(d Declared) bool { return d.Path == path && d.Secret })
	}
}

func declaredByAny(entries []server.Entry) []Declared {
	if list := declaredBy(entries, false); len(list) > 0 {
		return list
	}
	return declaredBy(entries, true)
}

// DeclaredByLiving returns what the living of the servers have declared, by path.
func DeclaredByLiving(entries []server.Entry) []Declared { return declaredBy(entries, false) }

func declaredBy(entries []server.Entry, lost bool) []Declared {
	var list []Declared
	for _, e := range entries {
		if e.Lost() != lost {
			continue
		}
		for _, d := range e.Settings {
			i := slices.IndexFunc(list, func(other Declared) bool { return other.Declaration == d })
			if i < 0 {
				i = len(list)
				list = append(list, Declared{Declaration: d})
			}
			list[i].Servers = append(list[i].Servers, e.Name)
		}
	}
	slices.SortStableFunc(list, func(x, y Declared) int { return strings.Compare(x.Path, y.Path) })
	return list
}

// Rules are what a value is checked against.
type Rules struct {
	Entries      []server.Entry // of the registry
	Declarations []config.Declaration
	Unchecked    bool // nobody has declared anything: what is no setting of fleetcast's own is not checked
}

// Rules returns what servers have declared. Without any, there are still the settings
// of every server.
func (e *Editor) Rules(ctx context.Context) (Rules, error) {
	entries, err := e.Registry.ListTables(ctx)
	list := declaredByAny(entries)
	r := Rules{Entries: entries, Unchecked: len(list) == 0}
	for _, d := range list {
		r.Declarations = append(r.Declarations, d.Declaration)
	}
	if r.Unchecked {
		r.Declarations = config.Declarations()
	}
	return r, err
}

// Free reports whether a path may be set though it is not declared.
func (r Rules) Free(path string) bool { return r.Unchecked && !strings.HasPrefix(path, "fleetcast/") }

// Knows reports whether a path is declared.
func (r Rules) Knows(path string) bool {
	return slices.ContainsFunc(r.Declarations, func(d config.Declaration) bool { return d.Path == path })
}

// Nobody reports whether a scope is for no server of the registry: one may start that it
// is for, or it is mistyped.
func (r Rules) Nobody(scope config.Scope) bool {
	target := Concerned(scope)
	return !target.IsZero() && !slices.ContainsFunc(r.Entries, func(e server.Entry) bool {
		meant, err := target.Matches(e.Identity())
		return meant || err != nil
	})
}

// Changed is a setting that was set or unset.
type Changed struct {
	Setting config.Setting
	Old     any  // nil when it was not set
	Done    bool // false: it was so already
}

// Change checks a write, and does it on record unless it is so already.
func (e *Editor) Change(ctx context.Context, rules Rules, w config.Write) (c Changed, err error) {
	w.Declarations = rules.Declarations
	is, err := e.Get(ctx, w.Path, w.Scope)
	if err != nil && !errors.Is(err, config.ErrNotFound) {
		return c, err
	}
	w.Secret = w.Secret || is.Secret // what was secret once stays so
	plan, err := e.check(ctx, w)
	if err != nil {
		return c, err
	}
	c = Changed{is, plan.Old, false}
	if !plan.Changed && w.IfVersion == nil && w.Secret == is.Secret {
		return c, nil
	}
	parameters := bson.D{{Key: "path", Value: w.Path}, {Key: "value", Value: OnRecord(plan.New)}}
	if plan.Old != nil {
		parameters = append(parameters, bson.E{Key: "old", Value: OnRecord(plan.Old)})
	}
	c.Done = true
	err = e.Perform(ctx, "set", w.Scope, parameters, func(ctx context.Context) (err error) {
		c.Setting, err = e.Set(ctx, w)
		return err
	})
	return c, err
}

// check finds out what is wrong with a write, and what it would change.
func (e *Editor) check(ctx context.Context, w config.Write) (config.Imported, error) {
	plan, err := e.Import(ctx, []config.Exported{{Path: w.Path, Scope: w.Scope, Value: w.Value}},
		config.Import{Declarations: w.Declarations, Undeclared: w.Undeclared, DryRun: true})
	var faults *config.FaultsError
	switch {
	case errors.As(err, &faults) && len(faults.Faults) == 1:
		return config.Imported{}, faults.Faults[0]
	case err != nil:
		return config.Imported{}, err
	}
	if w.Secret {
		plan[0].New = event.Hidden
	}
	if plan[0].New == event.Hidden && plan[0].Old != nil { // what becomes secret is so already
		plan[0].Old = event.Hidden
	}
	return plan[0], nil
}

// Remove unsets a setting, on record. The error is [config.ErrNotFound] when it is not set.
func (e *Editor) Remove(ctx context.Context, path string, scope config.Scope, ifVersion *int64) (c Changed, err error) {
	is, err := e.Get(ctx, path, scope)
	if err != nil {
		return c, err
	}
	c = Changed{Old: is.Value, Done: true}
	parameters := bson.D{{Key: "path", Value: path}, {Key: "old", Value: OnRecord(is.Value)}}
	err = e.Perform(ctx, "unset", scope, parameters, func(ctx context.Context) (err error) {
		c.Setting, err = e.Unset(ctx, path, scope, ifVersion)
		return err
	})
	return c, err
}

// Perform does what changes or reveals settings, on record in the audit. Values in the
// parameters are hidden already where they are secret.
func (e *Editor) Perform(ctx context.Context, action string, scope config.Scope, parameters bson.D, do func(context.Context) error) error {
	if scope != "" {
		parameters = append(parameters, bson.E{Key: "scope", Value: string(scope)})
	}
	return e.Registry.Perform(ctx, server.Deed{
		Subscriber: "config", Action: action, Parameters: parameters, Target: Concerned(scope), Publisher: e.publisher,
	}, do)
}

// maxRecordedValue bounds a value in the audit, in bytes.
const maxRecordedValue = 1 << 10

// OnRecord is a value as the audit has it.
func OnRecord(v any) any {
	if text := output.ValueText(v); len(text) > maxRecordedValue {
		return strings.ToValidUTF8(text[:maxRecordedValue], "") + "…"
	}
	return v
}

// Concerned is the target of those whom a scope is for. Events know no environments:
// one of those is for everybody, whom a refresh does no harm.
func Concerned(scope config.Scope) event.Target {
	switch kind, name, _ := strings.Cut(string(scope), ":"); kind {
	case "server":
		return event.Target{Names: []string{literally(name)}}
	case "label":
		key, value, _ := strings.Cut(name, "=")
		return event.Target{Labels: map[string]string{key: literally(value)}}
	}
	return event.Target{}
}

// literally is a pattern that only this text matches.
func literally(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}
