package output

import (
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// Declaration is a declared setting in JSON; the rules of output.go hold.
type Declaration struct {
	Path    string   `json:"path"`
	Type    string   `json:"type"` // text, integer, number, boolean, duration, regexp, json, or list of one of them
	Default string   `json:"default"`
	Unit    string   `json:"unit"`
	Doc     string   `json:"doc"`
	Rules   string   `json:"rules"` // as min=1,max=9
	Secret  bool     `json:"secret"`
	Env     string   `json:"env"`     // the environment variable that wins over the collection
	Servers []string `json:"servers"` // that have declared it so
}

// ToDeclaration returns what servers have declared.
func ToDeclaration(d config.Declaration, servers []string) Declaration {
	return Declaration{d.Path, d.Type, d.Default, d.Unit, d.Doc, d.Rules, d.Secret, d.Env, servers}
}

// TypeWords say what its values are.
func (d Declaration) TypeWords() string {
	text := d.Type
	if d.Unit != "" && d.Type != config.Duration {
		text += " of " + d.Unit
	}
	if d.Secret {
		text += ", secret"
	}
	return text
}

// RecordWords say what was changed.
func RecordWords(r config.Record) string {
	switch {
	case r.Old == nil: // it was not set, or is on record no more
		return "set to " + Cell(r.New)
	case r.New == nil:
		return "unset, was " + Cell(r.Old)
	}
	return Change(r.Old, r.New)
}

// Setting is a setting in the collection.
type Setting struct {
	Path      string          `json:"path"`
	Scope     config.Scope    `json:"scope"` // global, environment:NAME, label:KEY=VALUE or server:NAME
	Value     any             `json:"value"`
	Secret    bool            `json:"secret"`
	Version   int64           `json:"version"`
	UpdatedAt time.Time       `json:"updated_at"`
	UpdatedBy event.Publisher `json:"updated_by"`
}

// Record is a change to a setting.
type Record struct {
	Path    string          `json:"path"`
	Scope   config.Scope    `json:"scope"`
	Version int64           `json:"version"`
	Old     any             `json:"old"` // null: it was not set, or is on record no more
	New     any             `json:"new"` // null: it was unset
	Secret  bool            `json:"secret"`
	At      time.Time       `json:"at"`
	By      event.Publisher `json:"by"`
}

// Effective is a setting in force on a server.
type Effective struct {
	ServerID string   `json:"server_id"`
	Server   string   `json:"server"`
	Path     string   `json:"path"`
	Value    any      `json:"value"`
	Type     string   `json:"type"`
	Unit     string   `json:"unit"`
	Secret   bool     `json:"secret"`
	Declared bool     `json:"declared"`
	From     Origin   `json:"from"`
	Over     []Origin `json:"over"` // where else it is set, the highest first
}

// Origin is where a value comes from.
type Origin struct {
	Layer config.Layer `json:"layer"` // default, file, settings, environment or flag
	Name  string       `json:"name"`  // the place in the layer: a file and line, a scope, a variable, a flag
	File  string       `json:"file"`  // that the value was read from, of @/run/secrets/smtp
}

// ToSetting returns a setting.
func ToSetting(s config.Setting) Setting {
	return Setting{s.Path, s.Scope, s.Value, s.Secret, s.Version, s.UpdatedAt.UTC(), s.UpdatedBy}
}

// ToRecord returns a change.
func ToRecord(r config.Record) Record {
	return Record{r.Path, r.Scope, r.Version, r.Old, r.New, r.Secret, r.At.UTC(), r.By}
}

// ToEffective returns a setting as a server has answered it.
func ToEffective(r event.Reply, v config.Value) Effective {
	out := Effective{
		ServerID: r.ServerID.Hex(), Server: r.Server, Path: v.Path, Value: v.Value, Type: v.Type, Unit: v.Unit,
		Secret: v.Secret, Declared: v.Declared, From: Origin(v.Origin), Over: []Origin{},
	}
	for _, o := range v.Over {
		out.Over = append(out.Over, Origin(o))
	}
	return out
}

// FromWords says where the value comes from.
func (v Effective) FromWords() string {
	text := config.Origin(v.From).String()
	var over []string
	for _, o := range v.Over {
		over = append(over, config.Origin(o).String())
	}
	if len(over) > 0 {
		text += ", over " + strings.Join(over, ", ")
	}
	if !v.Declared {
		text += " (not declared)"
	}
	return text
}

// shownChanges bounds how many changes of a server are named in its line.
const shownChanges = 5

// RefreshWords say what a server has answered to config refresh; false of any other
// answer.
func RefreshWords(r event.Reply) (string, bool) {
	doc, isDoc := r.Payload.DocumentOK()
	if !isDoc || doc.Lookup("changed").Type != bson.TypeArray {
		return "", false
	}
	var result subscribers.Refreshed[config.Changes]
	if r.Result(&result) != nil {
		return "", false
	}
	var parts []string
	for i, c := range result.Changed {
		if c.Path == "" {
			return "", false
		}
		if i < shownChanges {
			parts = append(parts, c.Path+" "+Change(c.Old, c.New))
		}
	}
	if more := len(result.Changed) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	if len(parts) == 0 {
		return "nothing has changed", true
	}
	return strings.Join(parts, ", "), true
}

// VersionWords says which version a setting has.
func VersionWords(s config.Setting) string { return fmt.Sprintf("version %d", s.Version) }

// ScopeWords says for whom a scope is.
func ScopeWords(scope config.Scope) string {
	if scope == config.Global {
		return "all servers"
	}
	kind, name, _ := strings.Cut(string(scope), ":")
	return kind + " " + name
}
