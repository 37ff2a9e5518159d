package output

import (
	"fmt"
	"strings"
)

// ScriptOutcome is the result of one script.
type ScriptOutcome struct {
	Script       string `bson:"script" json:"script"`
	ExitCode     int    `bson:"exit_code" json:"exit_code"` // 128 and the signal that has ended it; -1 if it did not start
	Killed       string `bson:"killed,omitempty" json:"killed,omitempty"`
	OutputBytes  int64  `bson:"output_bytes" json:"output_bytes"`
	DroppedBytes int64  `bson:"dropped_bytes,omitempty" json:"dropped_bytes,omitempty"`
	Error        string `bson:"error,omitempty" json:"error,omitempty"` // why it has failed
}

// ScriptOutcomes is the result of an event: of one runner. Where both have run
// scripts, the answer has a list of the two.
type ScriptOutcomes struct {
	Scripts []ScriptOutcome `bson:"scripts"`
}

// String is for people.
func (o ScriptOutcomes) String() string {
	var parts []string
	for _, s := range o.Scripts {
		text := fmt.Sprintf("%s: exit code %d", s.Script, s.ExitCode)
		if s.Error != "" {
			text = s.Script + ": " + s.Error
		}
		if s.DroppedBytes > 0 {
			text += fmt.Sprintf(" (%d of %d bytes of output were not kept, see max-output)", s.DroppedBytes, s.OutputBytes)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}
