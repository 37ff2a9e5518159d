package cli

import (
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
)

// The structs of this file are JSON output; the rules of output.go hold. Values are as
// they are set: texts, numbers, booleans, lists of them; durations, regular expressions
// and JSON are texts; secret ones are "****".

// changedOutput is of set and unset.
type changedOutput struct {
	Type string `json:"type,omitempty"` // "change", of -o jsonl
	output.Setting
	Old     any          `json:"old"`               // null: it was not set
	Changed bool         `json:"changed"`           // false: it was so already
	Refresh *output.Call `json:"refresh,omitempty"` // with --refresh
}

func toChangedOutput(c settings.Changed) *changedOutput {
	return &changedOutput{Setting: output.ToSetting(c.Setting), Old: c.Old, Changed: c.Done}
}

func (c *changedOutput) refreshed(call *output.Call) { c.Refresh = call }
func (c *changedOutput) typed(word string)           { c.Type = word }
