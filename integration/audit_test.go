package integration

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// auditEntry is what scripts read of `fleetcast audit`.
type auditEntry struct {
	EventID    string          `json:"event_id"`
	At         time.Time       `json:"at"`
	State      string          `json:"state"`
	Subscriber string          `json:"subscriber"`
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"`
	Publisher  struct {
		User     string `json:"user"`
		SudoUser string `json:"sudo_user"`
		Host     string `json:"host"`
		PID      int    `json:"pid"`
		App      string `json:"app"`
	} `json:"publisher"`
	Matched int `json:"matched"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Missing int `json:"missing"`
	Servers []struct {
		Server string `json:"server"`
		Kind   string `json:"kind"`
		Error  string `json:"error"`
	} `json:"servers"`
}

// audit returns what is on record.
func (e *env) audit(args ...string) []auditEntry {
	e.t.Helper()
	r := e.run(append([]string{"audit", "-o", "json"}, args...)...)
	require.Zero(e.t, r.code, r.stderr)
	var entries []auditEntry
	require.NoError(e.t, json.Unmarshal([]byte(r.stdout), &entries), r.stdout)
	return entries
}

func actionsOf(entries []auditEntry) string {
	var words []string
	for _, e := range entries {
		words = append(words, e.Subscriber+" "+e.Action)
	}
	return strings.Join(words, ", ")
}

func TestAudit(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	require.Empty(t, e.audit())
	e.server("a", "--workers", "1")
	b := e.server("b", "--workers", "1")

	paused := e.call(0, "pause")
	e.call(0, "log-level", "debug", "--server", "a")
	e.call(1, "publish", "server", "resize", "--param", "max_workers=0", "--server", "a")
	require.Equal(t, 2, e.run("publish", "server", "puase").code, "who errs does nothing either")
	require.Zero(t, e.run("resume", "--no-wait").code)
	e.call(0, "stop", "--server", "a")
	e.await("b at work", func() bool { return e.servers()["b"].busy() > 0 })
	e.call(0, "kill", "--server", "b")
	<-b.exited
	require.Equal(t, 3, e.run("pause").code, "who reaches nobody does nothing")

	entries := e.audit()
	require.Equal(t, "server pause, logger set, server resize, server resume, server stop, server kill", actionsOf(entries))
	for i, want := range []struct {
		state                   string
		matched, done, failures int
	}{
		{"complete", 2, 2, 0}, {"complete", 1, 1, 0}, {"complete", 1, 0, 1},
		{"not_waited", 2, 0, 0}, {"complete", 1, 1, 0}, {"complete", 1, 1, 0},
	} {
		got := entries[i]
		require.Equal(t, want.state, got.State, got.Action)
		require.Equal(t, []int{want.matched, want.done, want.failures}, []int{got.Matched, got.Done, got.Failed}, got.Action)
		require.NotEmpty(t, got.Publisher.User)
		require.NotEmpty(t, got.Publisher.Host)
		require.Positive(t, got.Publisher.PID)
		require.Equal(t, "fleetcast", got.Publisher.App)
	}
	require.Equal(t, paused.EventID, entries[0].EventID)
	require.JSONEq(t, `{"level":"debug"}`, string(entries[1].Parameters))
	require.Contains(t, entries[2].Servers[0].Error, "at least 1")

	require.Equal(t, "server resize", actionsOf(e.audit("--failed")))
	require.Equal(t, "server pause, logger set, server resize, server resume, server stop", actionsOf(e.audit("--server", "[a]")))
	require.Equal(t, "server stop, server kill", actionsOf(e.audit("--limit", "2")))
	require.Empty(t, e.audit("--user", "somebody-else"))

	r := e.run("audit")
	require.Regexp(t, `logger set \{"level":"debug"\} +server a +1 done in `, r.stdout)
	require.Contains(t, r.stdout, "2 servers, not waited for")
	r = e.run("audit", entries[2].EventID)
	require.Zero(t, r.code)
	require.Contains(t, r.stdout, "\n  a  failed")
	require.Equal(t, 3, e.run("audit", strings.Repeat("0", 24)).code)
}

// TestAuditOfAKilledCaller kills the command while the server works on, which
// leaves nobody to say how it went; a caller that is interrupted does say it has
// left.
func TestAuditOfAKilledCaller(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	busy := []string{"--workers", "1", "--", "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"}
	for name, end := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "left": syscall.SIGINT} {
		srv := e.server(name, busy...)
		caller := e.start("stop", "--server", name, "--work-timeout", "0")
		e.await("the act on record, and heard", func() bool { return e.servers()[name].Lifecycle == "stopping" })
		require.Len(t, e.audit("--server", name), 1)
		caller.end(end)

		e.call(1, "pause", "--server", name)
		require.NoError(t, srv.cmd.Process.Signal(syscall.SIGSTOP))
		e.call(4, "pause", "--server", name, "--wait", "200ms")
		require.NoError(t, srv.cmd.Process.Signal(syscall.SIGCONT))
		pauses := e.audit("--server", name, "--action", "pause", "--failed")
		require.Len(t, pauses, 2)
		require.Equal(t, "refused", pauses[0].Servers[0].Kind)
		require.Contains(t, pauses[0].Servers[0].Error, "stopping")
		require.Equal(t, "missing", pauses[1].Servers[0].Kind)
		require.Equal(t, "incomplete", pauses[1].State)
	}
	left := e.audit("--server", "left", "--action", "stop")[0]
	require.Equal(t, "left", left.State)
	require.Equal(t, "missing", left.Servers[0].Kind)

	killed := e.audit("--server", "killed", "--action", "stop")[0]
	require.Equal(t, "waiting", killed.State, "it may be")
	require.Equal(t, "unknown", killed.Servers[0].Kind)
	id, err := bson.ObjectIDFromHex(killed.EventID)
	require.NoError(t, err)
	_, err = e.db.Collection("audit").UpdateByID(t.Context(), id, bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: killed.At.Add(-25 * time.Hour)}}}})
	require.NoError(t, err)
	require.Equal(t, "unknown", e.audit("--server", "killed", "--action", "stop", "--since", "48h")[0].State, "a day is over")
	require.Contains(t, e.run("audit", killed.EventID).stdout, "unknown: the caller went away")
	require.Len(t, e.audit("--since", "0", "--action", "stop", "--failed"), 2)
}

func TestAuditKnowsWhoIsBehindSudo(t *testing.T) {
	t.Setenv("SUDO_USER", "ann-of-the-desk")
	e := newEnv(t)
	e.server("a", "--workers", "1")
	e.call(0, "pause")
	entries := e.audit("--user", "ann-of-the-desk")
	require.Len(t, entries, 1)
	require.Equal(t, "ann-of-the-desk", entries[0].Publisher.SudoUser)
	require.NotEqual(t, "ann-of-the-desk", entries[0].Publisher.User)
	require.Contains(t, e.run("audit").stdout, "ann-of-the-desk as ")
}

// vault is a subscriber of this process; its key is a secret.
type vault struct{ opened chan string }

type unlock struct {
	Door string `bson:"door"`
	Key  string `bson:"key" fleetcast:"secret"`
}

func (v vault) Name() string { return "vault" }
func (v vault) Actions() []event.Action {
	return []event.Action{event.On("open", func(_ context.Context, u unlock) error { v.opened <- u.Key; return nil }, event.Audited())}
}

// TestSecretsOfTheCommandLine publishes to a user's own subscriber, of which the
// command knows no more than the registry says.
func TestSecretsOfTheCommandLine(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	cfg := server.Config{Bus: event.Config{Identity: event.Identity{Name: "keeper"}}, Pool: worker.Config{Workers: 1}}
	srv, err := server.Open(t.Context(), e.db, nil, cfg)
	require.NoError(t, err)
	v := vault{opened: make(chan string, 2)}
	_, err = srv.Bus().Subscribe(v)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- srv.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	e.await("the keeper", func() bool { _, ok := e.servers()["keeper"]; return ok })

	e.call(0, "publish", "vault", "open", "--param", "door=front", "--param", "key=hunter2")
	require.Zero(t, e.run("publish", "vault", "open", "--param", "door=back", "--param", "key=hunter2", "--no-wait").code)
	require.Equal(t, "hunter2", <-v.opened, "the subscriber has it as it is")
	require.Equal(t, "hunter2", <-v.opened)

	entries := e.audit()
	require.Equal(t, "vault open, vault open", actionsOf(entries))
	require.JSONEq(t, `{"door":"front","key":"****"}`, string(entries[0].Parameters))
	require.JSONEq(t, `{"door":"back","key":"****"}`, string(entries[1].Parameters))
	cursor, err := e.db.Collection("audit").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	var docs []bson.Raw
	require.NoError(t, cursor.All(t.Context(), &docs))
	require.Len(t, docs, 2)
	for _, d := range docs {
		require.NotContains(t, d.String(), "hunter2")
	}
	r := e.run("events", "--since", "1h", "--follow=false")
	require.Equal(t, 2, strings.Count(r.stdout, event.Hidden), r.stdout)
	require.NotContains(t, r.stdout+r.stderr, "hunter2")
}
