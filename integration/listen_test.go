package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// scriptFile writes an executable script.
func scriptFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "script.sh")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	return path
}

func TestListenRunsScripts(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	deploy := scriptFile(t, `echo "$FLEETCAST_EVENT $FLEETCAST_SERVER $FLEETCAST_LABEL_ZONE_A"; cat`)
	all := scriptFile(t, `echo all`)
	l := e.start("listen", "--no-color", "--name", "l", "--label", "zone-a=x y", "--on", "deploy="+deploy, "--on", "*="+all)
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })

	r := e.run("event", "deploy", "1.7.3", "--wait", "20s", "--coalesce=false", "-o", "jsonl")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, `"kind":"output"`)
	require.Contains(t, r.stdout, `"exit_code":0`)
	require.Regexp(t, `INF deploy l x y .*script=`, l.stderr.String())
	require.Regexp(t, `INF 1.7.3 .*stream=stdout`, l.stderr.String())
	require.Contains(t, l.stderr.String(), "INF all ")

	r = e.run("event", "deploy", "1.7.4", "--wait", "20s", "--coalesce=false")
	require.Regexp(t, `l +output +deploy l x y`, r.stdout)

	// It returns at once; several of one name are one, the last.
	ids := map[string]bool{}
	for n := range 5 {
		r = e.run("event", "other", fmt.Sprintf("number %d", n))
		require.Zero(t, r.code, r.stderr)
		ids[strings.TrimSpace(r.stdout)] = true
	}
	require.Len(t, ids, 5)
	e.awaitText("the script", l.stderr, "event=other")

	// Payloads: a file, JSON, binary data.
	file := filepath.Join(t.TempDir(), "payload")
	require.NoError(t, os.WriteFile(file, []byte("from a file\n"), 0o600))
	require.Zero(t, e.run("event", "deploy", "@"+file, "--coalesce=false", "--wait", "20s").code)
	require.Contains(t, l.stderr.String(), "INF from a file ")
	require.Zero(t, e.run("event", "deploy", `{"a": [1, true]}`, "--json", "--coalesce=false", "--wait", "20s").code)
	require.Contains(t, l.stderr.String(), `INF {"a":[1,true]} `)
	require.Equal(t, 2, e.run("event", "deploy", `{"a"`, "--json").code)
	require.Equal(t, 2, e.run("event", "deploy", "@/no/such").code)
	require.Zero(t, l.end(syscall.SIGTERM))
}

func TestListenUsage(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, wrong := range [][]string{nil, {"--on", "x"}, {"--on", "=true"}, {"--on", "x=true", "--from", "now"}, {"--on", "x=true", "--durable", "a", "--parallel"}} {
		require.Equal(t, 2, e.run(append([]string{"listen"}, wrong...)...).code, wrong)
	}
	e.start("listen", "--name", "l", "--on", "x=true")
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	r := e.run("event", "nobody-wants-it", "--wait", "20s", "--coalesce=false")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "no script is for event")
}

func TestDurableListener(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	script := scriptFile(t, "cat")
	args := []string{"listen", "--no-color", "--name", "l", "--durable", "mailer", "--on", "*=" + script}
	l := e.start(args...)
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	require.Zero(t, e.run("event", "a", "before", "--wait", "20s").code)
	require.Zero(t, l.end(syscall.SIGTERM))
	require.Zero(t, e.run("event", "b", "while it was away").code)
	l = e.start(args...)
	e.awaitText("what came meanwhile", l.stderr, "INF while it was away ")
	require.NotContains(t, l.stderr.String(), "INF before ")
}

func TestActionsOfTheFleet(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--workers", "1")
	e.server("b", "--workers", "1", "--allow-exec")
	r := e.run("actions")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `(?m)^server +pause +\[sticky\] +2 +take no new work`, r.stdout)
	require.Regexp(t, `(?m)^exec +run +.*\[wait\].* +1 +run a command`, r.stdout)
	r = e.run("actions", "logger", "set")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `--param level=… +text +trace, debug.*; required`, r.stdout)
	require.Regexp(t, `--param for=… +duration +how long`, r.stdout)
	require.Contains(t, r.stdout, "servers: a, b")
	r = e.run("actions", "server", "kill", "--server", "b", "-o", "json")
	require.Contains(t, r.stdout, `"default": "5s"`)
	require.Contains(t, r.stdout, `"expires_after_ms": 60000`)
	require.Equal(t, 3, e.run("actions", "nobody").code)
	r = e.run("__complete", "publish", "server", "kill", "--param", "wa")
	require.Contains(t, r.stdout, "wait_timeout=\thow long")
	r = e.run("publish", "server", "pause", "--param", "stikcy=true")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stdout, `did you mean "sticky"?`)
}
