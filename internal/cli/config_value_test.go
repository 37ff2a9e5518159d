package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/internal/output"
)

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
