package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// TestPayloads is what goes with "fleetcast event NAME PAYLOAD".
func TestPayloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "payload")
	binary := string([]byte{0xff, 0, 0xfe})
	for name, test := range map[string]struct {
		text, stdin, file string
		json              bool
		want              any
	}{
		"text":             {text: "1.7.3", want: "1.7.3"},
		"no text":          {text: "", want: ""},
		"a number as text": {text: "7", want: "7"},
		"a file":           {text: "@" + file, file: "from a file\n", want: "from a file\n"},
		"a binary file":    {text: "@" + file, file: binary, want: []byte(binary)},
		"stdin":            {text: "-", stdin: "from stdin\n", want: "from stdin\n"},
		"binary stdin":     {text: "-", stdin: binary, want: []byte(binary)},
		"JSON":             {text: `{"a": [1, true]}`, json: true, want: `{"a":[1,true]}`},
		"a JSON file":      {text: "@" + file, file: `[1]`, json: true, want: `[1]`},
		"JSON of stdin":    {text: "-", stdin: `"x"`, json: true, want: `"x"`},
		"a JSON number":    {text: "7", json: true, want: `7`},
	} {
		require.NoError(t, os.WriteFile(file, []byte(test.file), 0o600))
		a := &app{Process: Process{Stdin: strings.NewReader(test.stdin)}}
		got, err := a.payload(test.text, test.json)
		require.NoError(t, err, name)
		if raw, ok := got.(bson.RawValue); ok {
			got = string(output.JSON(raw))
		}
		require.Equal(t, test.want, got, name)
	}
	for _, wrong := range []string{"", "{", "{} {}", `{"a": 1}, "b": {"c": 2}`, "nonsense"} {
		_, err := (&app{}).payload(wrong, true)
		require.ErrorContains(t, err, "PAYLOAD is not JSON", wrong)
		require.Equal(t, exitUsage, exitCode(t.Context(), err))
	}
	_, err := (&app{}).payload("@/no/such", false)
	require.ErrorContains(t, err, "PAYLOAD: open /no/such")
}

// TestUserEventInWords is how the answers to a user event show.
func TestUserEventInWords(t *testing.T) {
	id := bson.ObjectID{1}
	one := output.ScriptOutcomes{Scripts: []output.ScriptOutcome{{Script: "./a.sh"}, {Script: "./b.sh", ExitCode: 3, Error: "exit code 3"}}}
	for want, payload := range map[string]any{
		"merged with a later one: 010000000000000000000000": event.Superseded{By: id},
		"./a.sh: exit code 0; ./b.sh: exit code 3":          one,
		"./a.sh: exit code 0; ./b.sh: exit code 3; ./c.sh: exit code 0 (5 of 9 bytes of output were not kept, see max-output)": []output.ScriptOutcomes{
			one, {Scripts: []output.ScriptOutcome{{Script: "./c.sh", OutputBytes: 9, DroppedBytes: 5}}},
		},
		`{"other":true}`: bson.M{"other": true},
		"text":           "text",
	} {
		typ, data, err := bson.MarshalValue(payload)
		require.NoError(t, err)
		require.Equal(t, want, output.Says(event.Reply{Kind: event.Done, Payload: bson.RawValue{Type: typ, Value: data}}))
	}
}
