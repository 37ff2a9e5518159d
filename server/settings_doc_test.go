package server

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
)

var update = flag.Bool("update", false, "write the table of settings into docs/settings.md")

const (
	settingsDoc = "../docs/settings.md"
	tableBegins = "<!-- go test ./server -run TestSettingsTable -update -->\n"
	tableEnds   = "<!-- end -->\n"
)

// TestSettingsTable holds the table of the server's own settings against the code.
func TestSettingsTable(t *testing.T) {
	text, err := os.ReadFile(settingsDoc)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), tableBegins)
	require.True(t, ok, tableBegins)
	written, after, ok := strings.Cut(rest, tableEnds)
	require.True(t, ok, tableEnds)
	if want := settingsTable(); *update {
		require.NoError(t, os.WriteFile(settingsDoc, []byte(before+tableBegins+want+tableEnds+after), 0o600))
	} else {
		require.Equal(t, want, written, "write it anew with -update")
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("\n| setting | type | default | unit | environment variable | meaning |\n|---|---|---|---|---|---|\n")
	for _, d := range config.Declarations() {
		if name, ok := strings.CutPrefix(d.Path, "fleetcast/"); ok {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` | %s |\n", name, d.Type, written(d.Path, d.Default), d.Unit, config.EnvName("", d.Path), d.Doc)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// noDefaults are those that are nothing, in words.
var noDefaults = map[string]string{
	"fleetcast/stuck_after": "0s", "fleetcast/log_level": "as at the start",
	"fleetcast/include_filter": "all", "fleetcast/exclude_filter": "none", "fleetcast/where_filter": "none",
}

func written(path, value string) string {
	if value == "" {
		return noDefaults[path]
	}
	return "`" + value + "`"
}
