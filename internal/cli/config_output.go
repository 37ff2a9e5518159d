package cli

import (
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// The structs of this file are JSON output; the rules of output.go hold. Values are as
// they are set: texts, numbers, booleans, lists of them; durations, regular expressions
// and JSON are texts; secret ones are "****".

type settingOutput struct {
	Path      string          `json:"path"`
	Scope     config.Scope    `json:"scope"` // global, environment:NAME, label:KEY=VALUE or server:NAME
	Value     any             `json:"value"`
	Secret    bool            `json:"secret"`
	Version   int64           `json:"version"`
	UpdatedAt time.Time       `json:"updated_at"`
	UpdatedBy event.Publisher `json:"updated_by"`
}

// changedOutput is of set and unset.
type changedOutput struct {
	Type string `json:"type,omitempty"` // "change", of -o jsonl
	settingOutput
	Old     any         `json:"old"`               // null: it was not set
	Changed bool        `json:"changed"`           // false: it was so already
	Refresh *callOutput `json:"refresh,omitempty"` // with --refresh
}

type recordOutput struct {
	Path    string          `json:"path"`
	Scope   config.Scope    `json:"scope"`
	Version int64           `json:"version"`
	Old     any             `json:"old"` // null: it was not set, or is on record no more
	New     any             `json:"new"` // null: it was unset
	Secret  bool            `json:"secret"`
	At      time.Time       `json:"at"`
	By      event.Publisher `json:"by"`
}

type effectiveOutput struct {
	ServerID string         `json:"server_id"`
	Server   string         `json:"server"`
	Path     string         `json:"path"`
	Value    any            `json:"value"`
	Type     string         `json:"type"`
	Unit     string         `json:"unit"`
	Secret   bool           `json:"secret"`
	Declared bool           `json:"declared"`
	From     originOutput   `json:"from"`
	Over     []originOutput `json:"over"` // where else it is set, the highest first
}

type originOutput struct {
	Layer config.Layer `json:"layer"` // default, file, settings, environment or flag
	Name  string       `json:"name"`  // the place in the layer: a file and line, a scope, a variable, a flag
	File  string       `json:"file"`  // that the value was read from, of @/run/secrets/smtp
}

func toSettingOutput(s config.Setting) settingOutput {
	return settingOutput{s.Path, s.Scope, s.Value, s.Secret, s.Version, s.UpdatedAt.UTC(), s.UpdatedBy}
}

func toChangedOutput(c changed) *changedOutput {
	return &changedOutput{settingOutput: toSettingOutput(c.setting), Old: c.old, Changed: c.done}
}

func (c *changedOutput) refreshed(call *callOutput) { c.Refresh = call }
func (c *changedOutput) typed(word string)          { c.Type = word }

func toRecordOutput(r config.Record) recordOutput {
	return recordOutput{r.Path, r.Scope, r.Version, r.Old, r.New, r.Secret, r.At.UTC(), r.By}
}

func toEffectiveOutput(r event.Reply, v config.Value) effectiveOutput {
	out := effectiveOutput{
		ServerID: r.ServerID.Hex(), Server: r.Server, Path: v.Path, Value: v.Value, Type: v.Type, Unit: v.Unit,
		Secret: v.Secret, Declared: v.Declared, From: originOutput(v.Origin), Over: []originOutput{},
	}
	for _, o := range v.Over {
		out.Over = append(out.Over, originOutput(o))
	}
	return out
}

func (v effectiveOutput) fromWords() string {
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

// refreshWords say what a server has answered to config refresh; false of any other
// answer.
func refreshWords(r event.Reply) (string, bool) {
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
			parts = append(parts, c.Path+" "+change(c.Old, c.New))
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

func versionWords(s config.Setting) string { return fmt.Sprintf("version %d", s.Version) }
