package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogLevelOfAComponent(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "1")
	r := e.run("log-level", "--list")
	require.Zero(t, r.code, r.stderr)
	for _, component := range []string{`\(all\)`, "event", "server", "worker"} {
		require.Regexp(t, `(?m)^a +`+component+` +info +(info|default) *$`, r.stdout)
	}

	r = e.run("log-level", "debug", "--component", "event")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "event: info → debug\n")
	require.Zero(t, e.run("publish", "server", "refresh").code)
	e.awaitText("a debug line of the bus", a.stderr, "DBG action done")
	require.Regexp(t, `DBG action done .*component=event`, a.stderr.String())
	for line := range strings.Lines(a.stderr.String()) {
		if strings.Contains(line, " DBG ") {
			require.Contains(t, line, "component=event", "and of nothing else")
		}
	}
	require.Equal(t, 1, e.run("log-level", "debug", "--component", "evnt").code)
	require.Contains(t, e.run("log-level", "debug", "--component", "evnt").stdout, "there are event, server, worker")

	// For a while, over one that is for good.
	r = e.run("log-level", "warn", "--component", "event", "--for", "200ms", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, `"for": "200ms"`)
	level := func() (of struct{ Component, Level, Own string }) {
		s := e.call(0, "log-level", "--list")
		var list struct {
			Components []struct{ Component, Level, Own string }
		}
		require.NoError(t, json.Unmarshal(s.Replies[0].Payload, &list))
		return list.Components[1]
	}
	e.await("the level to go back", func() bool { return level().Level == "debug" })
	require.Zero(t, e.run("log-level", "default", "--component", "event").code)
	require.Equal(t, struct{ Component, Level, Own string }{"event", "info", "default"}, level())

	for _, wrong := range []string{"", "loud", "debug --for -1s", "default --for 1s", "--list info", "--list --for 1s"} {
		require.Equal(t, 2, e.run(append([]string{"log-level"}, strings.Fields(wrong)...)...).code, wrong)
	}
}

// TestLinesOfTheServerAreItsOwn: what the server does because of an event is not the
// bus's to log.
func TestLinesOfTheServerAreItsOwn(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "1")
	require.Zero(t, e.run("log-level", "error", "--component", "event").code)
	require.Zero(t, e.run("pause").code)
	e.awaitText("the pause", a.stderr, "server paused")
	require.Regexp(t, `server paused .*component=server`, a.stderr.String())
	require.Zero(t, e.run("log-level", "error", "--component", "server").code)
	require.Zero(t, e.run("resume").code)
	require.NotContains(t, a.stderr.String(), "server resumed")
}
