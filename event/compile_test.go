package event_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWrongTypesDoNotCompile: the compiler refuses just the lines that are wrong.
func TestWrongTypesDoNotCompile(t *testing.T) {
	const folder = "testdata/wrongtypes"
	source, err := os.ReadFile(folder + "/main.go")
	require.NoError(t, err)
	var want []string
	for i, line := range strings.Split(string(source), "\n") {
		if strings.HasSuffix(line, "// WRONG") {
			want = append(want, fmt.Sprint(i+1))
		}
	}
	require.Len(t, want, 9)
	build := exec.Command("go", "build", "-gcflags=-e", "-o", os.DevNull, "./"+folder)
	output, err := build.CombinedOutput()
	require.Error(t, err)
	var got []string
	for _, found := range regexp.MustCompile(`main\.go:(\d+):`).FindAllStringSubmatch(string(output), -1) {
		if len(got) == 0 || got[len(got)-1] != found[1] { // the compiler may have more to say of a line
			got = append(got, found[1])
		}
	}
	require.Equal(t, want, got, string(output))
}
