package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/internal/output"
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
		require.Equal(t, want, scalar(text), text)
	}
}

func FuzzScalar(f *testing.F) {
	for _, seed := range []string{"10", `"x"`, "007", "a: b", "|", "--- x", "'", "1.5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		switch v := scalar(text).(type) {
		case string:
			if v != text {
				require.Contains(t, `'"`, strings.TrimSpace(text)[:1], "only quotes are taken off")
			}
		default: // as it would be written
			require.Equal(t, text, output.ValueText(v))
		}
	})
}

func TestValueOfSet(t *testing.T) {
	file := filepath.Join(t.TempDir(), "value")
	require.NoError(t, os.WriteFile(file, []byte("@home\r\nline 2\r\n"), 0o600))
	for name, test := range map[string]struct {
		file, in string
		args     []string
		declared bool
		want     any
	}{
		"declared":                {args: []string{"10"}, declared: true, want: "10"},
		"undeclared":              {args: []string{"10"}, want: int64(10)},
		"a reference":             {args: []string{"@/run/secrets/x"}, want: "@/run/secrets/x"},
		"empty":                   {args: []string{""}, want: ""},
		"standard input":          {args: []string{"-"}, in: "10\n", want: "10"},
		"no line end":             {args: []string{"-"}, in: "10", want: "10"},
		"one line end":            {args: []string{"-"}, in: "10\n\n", want: "10\n"},
		"content is no reference": {args: []string{"-"}, in: "@/etc/passwd", want: "@@/etc/passwd"},
		"a file":                  {file: file, declared: true, want: "@@home\r\nline 2"},
		"the file -":              {file: "-", in: "x", want: "x"},
	} {
		v := &valueFlags{app: &app{Process: Process{Stdin: strings.NewReader(test.in)}}, file: test.file}
		require.NoError(t, v.read(test.args), name)
		require.Equal(t, test.want, v.value(test.declared), name)
	}
	for says, v := range map[string]*valueFlags{
		"there is no VALUE": {},
		"no such file":      {file: filepath.Join(t.TempDir(), "none")},
		"no standard input": {file: "-"},
	} {
		v.app = &app{}
		require.ErrorContains(t, v.read(nil), says)
	}
	require.ErrorContains(t, (&valueFlags{file: file}).read([]string{"x"}), "give one of them")
	_, err := readAtMost(strings.NewReader("12345"), 4)
	require.ErrorContains(t, err, "longer than 4 bytes")
}

func TestCell(t *testing.T) {
	for want, v := range map[string]any{
		"(not set)": nil, "x y": "x y", `""`: "", `"x  y"`: "x  y", `"a\nb"`: "a\nb", `"\x1b[2J"`: "\x1b[2J",
		"5": int64(5), "true": true, `["a<b",1]`: []any{"a<b", 1}, strings.Repeat("x", 59) + "…": strings.Repeat("x", 61),
	} {
		require.Equal(t, want, output.Cell(v))
	}
}
