package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
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
	for _, name := range []string{"", strings.Repeat("ü", 129)} {
		r := e.run("event", name)
		require.Equal(t, 2, r.code)
		require.Contains(t, r.stderr, "it may have 1 to 128")
	}
	e.server("other", "--workers", "1")
	r := e.run("event", "x", "--wait", "5s")
	require.Equal(t, 3, r.code)
	require.Contains(t, r.stderr, "nobody listens for events of one's own; nothing was published; start `fleetcast listen --on x=SCRIPT`")
	require.Zero(t, e.run("event", "x").code)
	e.start("listen", "--name", "l", "--on", "x=true")
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	require.Zero(t, e.run("event", strings.Repeat("ü", 128), "--wait", "20s").code)
	r = e.run("event", "nobody-wants-it", "--wait", "20s", "--coalesce=false")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "no script is for event")
}

// TestScriptsKnowTheirEvent is what is in a script's environment.
func TestScriptsKnowTheirEvent(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	shows := scriptFile(t, `env | grep ^FLEETCAST_ | sort`)
	e.start("listen", "--name", "l", "--label", "zone-a=x y", "--label", "role=ops", "--on", "x="+shows)
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	before := time.Now().Truncate(time.Second)
	s := e.call(0, "event", "x", "--wait", "20s", "--coalesce=false")
	r := e.run("events", "--since", "1h", "--follow=false", "-o", "jsonl")
	variables := map[string]string{}
	for line := range strings.Lines(r.stdout) {
		var output struct {
			Kind    string
			Payload struct {
				Data struct {
					Binary struct{ Base64 []byte } `json:"$binary"`
				}
			}
		}
		if json.Unmarshal([]byte(line), &output) == nil && output.Kind == "output" {
			for pair := range strings.Lines(string(output.Payload.Data.Binary.Base64)) {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				variables[name] = value
			}
		}
	}
	at, err := time.Parse(time.RFC3339, variables["FLEETCAST_EVENT_TIME"])
	require.NoError(t, err, r.stdout)
	require.WithinRange(t, at, before, time.Now())
	delete(variables, "FLEETCAST_EVENT_TIME")
	delete(variables, "FLEETCAST_URI") // which listen has from us
	require.Equal(t, map[string]string{
		"FLEETCAST_EVENT": "x", "FLEETCAST_EVENT_ID": s.EventID, "FLEETCAST_SERVER": "l", "FLEETCAST_SERVER_ID": e.servers()["l"].ID,
		"FLEETCAST_LABEL_ZONE_A": "x y", "FLEETCAST_LABEL_ROLE": "ops",
	}, variables)
}

// TestEventForSome is a query of some of those who listen.
func TestEventForSome(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, name := range []string{"a", "b", "c"} {
		e.start("listen", "--name", name, "--label", "role="+map[bool]string{true: "web", false: "db"}[name != "c"], "--on", "load=uptime")
	}
	e.server("other", "--workers", "1")
	e.await("the listeners", func() bool { return len(e.servers()) == 4 })
	for _, test := range []struct {
		want int
		args []string
	}{
		{3, nil}, {2, []string{"--label", "role=web"}}, {1, []string{"--server", "a", "--label", "role=web"}}, {1, []string{"--limit", "1"}},
	} {
		s := e.call(0, append([]string{"event", "load", "--wait", "20s", "--coalesce=false"}, test.args...)...)
		require.Equal(t, []int{test.want, test.want}, []int{s.Matched, s.Done}, "%v: who does not listen is not asked", test.args)
	}
	require.Equal(t, 3, e.run("event", "load", "--server", "other", "--wait", "5s").code)
	r := e.run("event", "load", "--server", "a", "--dry-run")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "a")
	require.NotContains(t, r.stdout, "b ")

	// Without --wait it asks for no answers.
	r = e.run("event", "load", "--server", "a", "--coalesce=false", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	var published struct {
		EventID string `json:"event_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &published))
	e.call(0, "event", "load", "--server", "a", "--wait", "20s", "--coalesce=false") // it is behind that one
	require.Equal(t, 3, e.run("replies", published.EventID).code)
}

// TestListenerThatStopsRunsWhatItHoldsBack: what could have been merged with others
// runs at once.
func TestListenerThatStopsRunsWhatItHoldsBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	l := e.start("listen", "--no-color", "--name", "l", "--on", "x="+scriptFile(t, "echo ran with $(cat)"))
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	caller := e.start("event", "x", "held", "--wait", "30s", "-o", "jsonl")
	e.awaitText("the acknowledgement", caller.stdout, `"kind":"ack"`)
	require.Zero(t, l.end(syscall.SIGTERM))
	<-caller.exited
	require.Zero(t, caller.code)
	require.Contains(t, caller.stdout.String(), `"exit_code":0`)
	require.Contains(t, l.stderr.String(), "INF ran with held ")
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

// visit is the parameters of greet.
type visit struct {
	Name string `bson:"name" validate:"required" doc:"whom to greet"`
	Port int    `bson:"port" validate:"min=1,max=65535" doc:"where"`
	Key  string `bson:"key" fleetcast:"secret"`
}

func (v *visit) SetDefaults() { v.Port, v.Key = 80, "hunter2" }

// greeter is a subscriber of a program of one's own.
type greeter struct{ house string }

func (*greeter) Name() string { return "example" }
func (g *greeter) Actions() []event.Action {
	return []event.Action{event.OnResult("greet", func(_ context.Context, v visit) (string, error) {
		return fmt.Sprintf("welcome to %s, %s, at port %d", g.house, v.Name, v.Port), nil
	}, event.Doc("greet somebody"), event.ExpiresAfter(time.Minute))}
}

// TestActionsShowsOne: a program with an action of its own joins the fleet; the command
// line describes that action, completes it, and calls it.
func TestActionsShowsOne(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	program, err := server.Open(t.Context(), e.db, nil, server.Config{Bus: event.Config{Identity: event.Identity{Name: "house-1"}}})
	require.NoError(t, err)
	_, err = program.Bus().Subscribe(&greeter{"the fleet"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- program.Run(ctx) }()
	defer func() { stop(); require.NoError(t, <-done) }()
	e.await("the program in the registry", func() bool { return e.servers()["house-1"].Name != "" })

	r := e.run("actions", "example", "greet")
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, `example greet: greet somebody
  servers: house-1
  refused when it comes later than 1m0s
  --param name=…  text     whom to greet; required
  --param port=…  integer  where; default 80; min=1,max=65535
  --param key=…   text     secret
`, r.stdout)
	r = e.run("actions", "example", "greet", "-o", "json")
	require.NotContains(t, r.stdout, "hunter2", "the default of a secret")
	require.JSONEq(t, `[{"subscriber": "example", "action": "greet", "doc": "greet somebody", "expires_after_ms": 60000, "servers": ["house-1"], "parameters": [
		{"name": "name", "type": "text", "required": true, "rules": "required", "doc": "whom to greet"},
		{"name": "port", "type": "integer", "required": false, "default": "80", "rules": "min=1,max=65535", "doc": "where"},
		{"name": "key", "type": "text", "required": false, "secret": true}]}]`, r.stdout)
	require.Contains(t, e.run("__complete", "actions", "example", "g").stdout, "greet\n")
	require.Contains(t, e.run("__complete", "publish", "example", "greet", "--param", "p").stdout, "port=\twhere")

	r = e.run("publish", "example", "greet", "--param", "name=Jack")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "welcome to the fleet, Jack, at port 80")
	for parameters, says := range map[string]string{
		`{}`:                           `parameter "name" is missing`,
		`{"name": "Jo", "prot": 1}`:    `unknown parameter "prot"; did you mean "port"?`,
		`{"name": "Jo", "port": true}`: `parameter "port" is a BSON boolean: it must be of type integer`,
		`{"name": "Jo", "port": 1e6}`:  `it must be at most 65535`,
	} {
		r = e.run("publish", "example", "greet", "--params", parameters)
		require.Equal(t, 1, r.code, parameters)
		require.Contains(t, r.stdout, "failed")
		require.Contains(t, r.stdout, says)
	}
	r = e.run("publish", "example", "great")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.stderr, `did you mean "greet"?`)
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
