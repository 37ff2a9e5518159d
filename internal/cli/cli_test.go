package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test ./internal/cli -update writes it")
	require.Equal(t, string(want), got)
}

// execute runs one command line without a database.
func execute(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Process{Args: args, Stdout: &out, Stderr: &errs,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	return out.String(), errs.String(), code
}

func TestHelp(t *testing.T) {
	for _, command := range []string{"", "dev", "store", "server", "publish", "stop", "kill", "pause", "resume", "servers", "events", "audit", "exec", "log-level", "thread-dump", "ping", "replies", "event", "listen", "doctor", "console"} {
		args := []string{"--help"}
		name := "help.txt"
		if command != "" {
			args = []string{command, "--help"}
			name = "help-" + command + ".txt"
		}
		out, _, code := execute(t, nil, args...)
		require.Zero(t, code)
		golden(t, name, out)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	out, _, code := execute(t, map[string]string{"FLEETCAST_OUTPUT": "json"}, "version")
	require.Zero(t, code)
	require.True(t, json.Valid([]byte(out)), out)
	out, _, _ = execute(t, map[string]string{"FLEETCAST_OUTPUT": "json"}, "version", "-o", "text")
	require.Contains(t, out, "fleetcast ", "the flag wins")
	_, errs, code := execute(t, map[string]string{"FLEETCAST_TIMEOUT": "soon"}, "version")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "environment variable FLEETCAST_TIMEOUT")
	_, errs, _ = execute(t, map[string]string{"FLEETCAST_SERVER": "[", "FLEETCAST_WORKER_ID": "x", "FLEETCAST_URI": "no"}, "stop")
	require.Contains(t, errs, "--uri", "who is meant is said by hand alone")
}

// TestAnEmptyFlagIsNotForEverybody, as of a script whose variable is not set.
func TestAnEmptyFlagIsNotForEverybody(t *testing.T) {
	for _, command := range []string{"stop", "kill", "pause", "servers", "ping"} {
		for _, flag := range []string{"--server", "--server-id", "--host", "--label", "--pid"} {
			_, errs, code := execute(t, nil, command, flag, "", "--uri", "mongodb://127.0.0.1:1/x", "--timeout", "1s")
			require.Equal(t, exitUsage, code, "%s %s: %s", command, flag, errs)
		}
	}
}

func TestParameters(t *testing.T) {
	for name, test := range map[string]struct {
		flags parameterFlags
		want  string
	}{
		"none":        {parameterFlags{}, ``},
		"text":        {parameterFlags{pairs: []string{"level=debug"}}, `{"level":"debug"}`},
		"json values": {parameterFlags{pairs: []string{"n=5", "ok=true", `list=[1,"a"]`, "x=1.5", "none=null"}}, `{"n":5,"ok":true,"list":[1,"a"],"x":1.5,"none":null}`},
		"quoted":      {parameterFlags{pairs: []string{`n="5"`}}, `{"n":"5"}`},
		"equals sign": {parameterFlags{pairs: []string{"a=b=c", "empty="}}, `{"a":"b=c","empty":""}`},
		"object":      {parameterFlags{json: `{"a":{"b":1}}`}, `{"a":{"b":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := test.flags.document()
			require.NoError(t, err)
			if test.want == "" {
				require.Nil(t, doc)
				return
			}
			require.JSONEq(t, test.want, string(output.JSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})))
		})
	}
	for _, bad := range []parameterFlags{{json: "{"}, {json: "[1]"}, {pairs: []string{"x"}}, {pairs: []string{"=x"}}} {
		_, err := bad.document()
		require.Error(t, err)
	}
}

func TestLimit(t *testing.T) {
	for limit, want := range map[string]int{"": 10, "3": 3, "30": 10, "25%": 3, "1%": 1, "100%": 10} {
		n, err := count("limit", limit, 10)
		require.NoError(t, err)
		require.Equal(t, want, n, limit)
	}
	for _, bad := range []string{"0", "-1", "x", "101%", "%"} {
		_, err := count("limit", bad, 10)
		require.Error(t, err, bad)
	}
}

// TestOutputShapes holds the JSON that scripts depend on.
func TestOutputShapes(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	id := bson.ObjectID{1, 2, 3}
	entry := server.Entry{
		ID: id, Name: "web-1", Host: "h", PID: 7, Version: "v1", Labels: map[string]string{"role": "web"},
		StartedAt: at, Lifecycle: server.Running, Paused: true, Consumer: true, Age: 2 * time.Second,
		Heartbeat: server.Heartbeat{
			At: at, Position: event.Position{Time: bson.Timestamp{T: 1, I: 2}, ID: id}, State: event.StateListening,
			LagMS: 20_000, Gaps: 1, Reconnects: 2, RSS: 3, Goroutines: 4,
			LastError: "connection refused", IntervalMS: 15_000, RTTMS: 1.5,
			Workers: []server.WorkerEntry{
				{ID: 1, State: "busy", Kind: "import", WorkID: "17", BusySince: at.Add(-time.Hour)}, {ID: 2, State: "idle"},
			},
		},
	}
	entries := []server.Entry{entry}
	for i, change := range []func(*server.Entry){
		func(e *server.Entry) { e.Age = time.Hour },
		func(e *server.Entry) { e.Paused = false },
		func(*server.Entry) {},
		func(e *server.Entry) { e.Lifecycle = server.Quiet },
		func(e *server.Entry) { e.Consumer, e.Paused, e.Heartbeat.Workers = false, false, nil },
	} {
		other := entry
		other.Name, other.Heartbeat.LagMS = "web-"+strconv.Itoa(i+2), 0
		change(&other)
		entries = append(entries, other)
	}
	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "json"}
	require.NoError(t, printAll(a, output.ToServers([]server.Entry{entry}, 10*time.Minute)))
	golden(t, "servers.json", out.String())

	out.Reset()
	require.NoError(t, (&serversView{workers: true}).table(&out, output.ToServers(entries, 10*time.Minute)))
	printHolds(&out, []server.Hold{
		{Publisher: event.Publisher{User: "ann", Host: "desk"}, At: at},
		{Target: event.Target{Labels: map[string]string{"role": "web"}}, Publisher: event.Publisher{User: "bob", Host: "desk"}, At: at},
	})
	golden(t, "servers.txt", out.String())

	_, payload, err := bson.MarshalValue(subscribers.ServerState{Lifecycle: "running", Paused: true, Busy: 2})
	require.NoError(t, err)
	reply := event.Reply{EventID: id, ServerID: id, Server: "web-1", Kind: event.Done, Seq: 1, DurationMS: 1.5,
		Payload: bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: payload}}
	sum := event.Summary{EventID: id, Matched: 2, Acked: 1, Done: 1, Missing: 1, Duration: 5 * time.Second, Servers: []event.Outcome{
		{Server: "web-1", Expected: true, Acked: true, Reply: &reply}, {Server: "web-2", Expected: true},
	}}
	e := event.New("server", "pause", nil)
	out.Reset()
	require.NoError(t, a.printSummary(e, sum, []event.Reply{reply}))
	golden(t, "call.json", out.String())

	var text, errs bytes.Buffer
	a = &app{Process: Process{Stdout: &text, Stderr: &errs}, output: "text"}
	a.printReply(e, reply)
	require.NoError(t, a.printSummary(e, sum, nil))
	golden(t, "call.txt", text.String()+errs.String())
}

// TestMissingInWords says why somebody is missing, and what is missing of others.
func TestMissingInWords(t *testing.T) {
	sum := event.Summary{Matched: 6, Done: 1, Missing: 5, Deaf: 1, Gone: 2, Servers: []event.Outcome{
		{Server: "a", Expected: true}, {Server: "b", Expected: true, Acked: true}, {Server: "c", Expected: true, Deaf: true, Acked: true},
		{Server: "d", Expected: true, Gone: true}, {Server: "e", Expected: true, Gone: true, Acked: true},
		{Server: "f", Expected: true, Acked: true, Reply: &event.Reply{Kind: event.Done}, Lost: 3},
	}}
	e := event.New("exec", "run", nil)
	var text, errs bytes.Buffer
	a := &app{Process: Process{Stdout: &text, Stderr: &errs}, output: "text"}
	require.NoError(t, a.printSummary(e, sum, nil))
	golden(t, "missing.txt", text.String()+errs.String())
	out := output.ToCall(e, sum, nil)
	require.Equal(t, 2, out.Gone)
	require.Equal(t, map[string]int{"f": 3}, out.LostReplies)
}

func TestOutcomeIsTheExitCode(t *testing.T) {
	for want, sum := range map[int]event.Summary{
		exitOK:         {Matched: 2, Done: 2},
		exitNoMatch:    {},
		exitFailure:    {Matched: 2, Done: 1, Failed: 1},
		exitIncomplete: {Matched: 2, Done: 1, Missing: 1},
	} {
		require.Equal(t, want, exitCode(t.Context(), outcome(sum)))
	}
	require.Equal(t, exitFailure, exitCode(t.Context(), outcome(event.Summary{Matched: 1, Refused: 1})))
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, exitInterrupted, exitCode(interrupted, context.Canceled))
}

func TestTooWide(t *testing.T) {
	for name, test := range map[string]struct {
		says string
		args []string
	}{
		"stop a worker everywhere":    {"--all-servers", []string{"stop", "--worker-id", "3"}},
		"kill a worker everywhere":    {"--all-servers", []string{"kill", "--worker-id", "3,4"}},
		"publish it":                  {"--all-servers", []string{"publish", "worker", "kill", "--worker-id", "3"}},
		"meant so":                    {"--uri", []string{"kill", "--worker-id", "3", "--all-servers"}},
		"of one server":               {"--uri", []string{"kill", "--worker-id", "3", "--server", "a"}},
		"of a label":                  {"--uri", []string{"kill", "--worker-id", "3", "--label", "role=web"}},
		"a look does no harm":         {"--uri", []string{"thread-dump", "--worker-id", "3"}},
		"whole servers":               {"--uri", []string{"kill"}},
		"sticky, and some":            {"--limit is of no use", []string{"pause", "--sticky", "--limit", "3"}},
		"sticky by publish, and some": {"--limit is of no use", []string{"publish", "server", "pause", "--param", "sticky=true", "--limit", "3"}},
		"unknown state":               {"choose from lost, deaf", []string{"servers", "--state", "running,asleep"}},
	} {
		_, errs, code := execute(t, map[string]string{"FLEETCAST_URI": "no"}, test.args...)
		require.Equal(t, exitUsage, code, name)
		require.Contains(t, errs, test.says, name)
	}
}

func TestChoose(t *testing.T) {
	entries := []server.Entry{
		{Name: "a", Lifecycle: server.Running, Labels: map[string]string{"role": "web"}},
		{Name: "b", Lifecycle: server.Running, Paused: true},
		{Name: "c", Lifecycle: server.Quiet, Paused: true},
		{Name: "d", Lifecycle: server.Running, Age: time.Hour, Labels: map[string]string{"role": "web"}},
	}
	for _, test := range []struct {
		view serversView
		want string
	}{
		{serversView{}, "abcd"},
		{serversView{states: []string{"running"}}, "a"},
		{serversView{states: []string{"paused", "lost"}}, "bd"},
		{serversView{target: event.Target{Labels: map[string]string{"role": "w*"}}}, "ad"},
		{serversView{target: event.Target{Labels: map[string]string{"role": "web"}}, states: []string{"lost"}}, "d"},
		{serversView{target: event.Target{Names: []string{"[bc]"}}, states: []string{"quiet"}}, "c"},
	} {
		chosen, err := test.view.choose(entries)
		require.NoError(t, err)
		names := ""
		for _, e := range chosen {
			names += e.Name
		}
		require.Equal(t, test.want, names)
	}
}
