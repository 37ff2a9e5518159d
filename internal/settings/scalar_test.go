package settings

import (
	"strings"
	"testing"

	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/stretchr/testify/require"
)

func TestScalar(t *testing.T) {
	for text, want := range map[string]any{
		"10": int64(10), "-3": int64(-3), "1.5": 1.5, "true": true, "false": false,
		`"10"`: "10", `'true'`: "true", `"a\nb"`: "a\nb",
		"007": "007", "1.10": "1.10", "+5": "+5", "1_000": "1_000", "0x1F": "0x1F", "1e3": "1e3", "1.0": "1.0",
		"99999999999999999999": "99999999999999999999", "": "", " 5": " 5",
		"yes": "yes", "True": "True", "null": "null", "~": "~", "2030-01-02": "2030-01-02",
		"[1, 2]": "[1, 2]", `{"a":1}`: `{"a":1}`, "a: b": "a: b", "- x": "- x", "# no": "# no", `"5" # five`: `"5" # five`,
		"*x": "*x", "&a b": "&a b", "!!int 5": "!!int 5", "NaN": "NaN", ".inf": ".inf", "@/run/secrets/x": "@/run/secrets/x",
		"smtp.example.com:25": "smtp.example.com:25", "a\tb": "a\tb", "%": "%",
	} {
		require.Equal(t, want, Scalar(text), text)
	}
}

func FuzzScalar(f *testing.F) {
	for _, seed := range []string{"10", `"x"`, "007", "a: b", "|", "--- x", "'", "1.5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		switch v := Scalar(text).(type) {
		case string:
			if v != text {
				require.Contains(t, `'"`, strings.TrimSpace(text)[:1], "only quotes are taken off")
			}
		default: // as it would be written
			require.Equal(t, text, output.ValueText(v))
		}
	})
}
