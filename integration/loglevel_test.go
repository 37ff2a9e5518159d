package integration

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
)

// TestLogLevelOfAWebApplication: a process without workers that logs with log/slog is
// a member of the fleet, and the command line knows it by name.
func TestLogLevelOfAWebApplication(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	levels, err := logging.New("info")
	require.NoError(t, err)
	var http slog.LevelVar
	levels.Bind("http", &http)
	web, err := server.Open(t.Context(), e.db, nil, server.Config{
		Bus: event.Config{Identity: event.Identity{Name: "web-1"}}, Logger: levels,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.Run(ctx) }()
	defer func() { stop(); require.NoError(t, <-done) }()
	e.await("the web application in the registry", func() bool { return e.servers()["web-1"].Name != "" })
	e.server("worker-1", "--workers", "1")

	r := e.run("log-level", "debug", "--component", "http", "--server", "web-*", "--for", "1h")
	require.Zero(t, r.code, r.stdout+r.stderr)
	require.Regexp(t, `^web-1 +done .* http: info → debug for 1h0m0s, until \d{4}-`, r.stdout)
	require.Equal(t, slog.LevelDebug, http.Level())

	r = e.run("log-level", "--list")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `(?m)^web-1 +http +debug +default +(59m|1h0m)`, r.stdout)
	require.NotRegexp(t, `(?m)^web-1 +worker `, r.stdout, "it has no workers")
	require.Less(t, strings.Index(r.stdout, "web-1"), strings.Index(r.stdout, "worker-1"), "by name")

	r = e.run("log-level", "default", "--component", "http")
	require.Zero(t, r.code, "the worker has no such component, which is in order")
	require.Regexp(t, `(?m)^web-1 +done .* http: debug → info$`, r.stdout)
	require.Regexp(t, `(?m)^worker-1 +done .* no component http here, nothing to do \(there are event, server, worker\)$`, r.stdout)
	require.Contains(t, r.stderr, "1 server without the component http, left alone: worker-1\n")
	require.Equal(t, slog.LevelInfo, http.Level())
	require.Zero(t, e.call(0, "log-level", "warn", "--component", "http", "--batch", "1").Refused)
	require.Equal(t, slog.LevelWarn, http.Level())
}

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
	r = e.run("log-level", "debug", "--component", "evnt")
	require.Equal(t, 3, r.code)
	require.Contains(t, r.stderr, `no server that is meant has the component "evnt"; there are event, server, worker`)

	// For a while, over one that is for good.
	r = e.run("log-level", "warn", "--component", "event", "--for", "200ms", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, `"for": "200ms"`)
	require.Regexp(t, `"until": "\d{4}-\d\d-\d\dT[0-9:.]+Z"`, r.stdout)
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

	// Its lines are gone, too: those of the next event come after those of this.
	quiet := e.call(0, "publish", "server", "refresh").EventID
	require.Zero(t, e.run("log-level", "debug", "--component", "event").code)
	loud := e.call(0, "publish", "server", "refresh").EventID
	e.awaitText("the bus at debug again", a.stderr, loud)
	require.NotContains(t, a.stderr.String(), quiet)

	// The server's own lines are not the bus's.
	require.Zero(t, e.run("log-level", "disabled", "--component", "event").code)
	require.Zero(t, e.run("pause").code)
	e.awaitText("the server's line", a.stderr, "server paused")
	require.Regexp(t, `server paused .*component=server`, a.stderr.String())

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
