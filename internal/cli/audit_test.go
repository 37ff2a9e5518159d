package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// TestAuditOutput holds the table, the details and the JSON of entries in every
// state.
func TestAuditOutput(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	parameters, err := bson.Marshal(bson.D{{Key: "user", Value: "x"}, {Key: "password", Value: event.Hidden}})
	require.NoError(t, err)
	empty, err := bson.Marshal(bson.D{})
	require.NoError(t, err)
	ann := event.Publisher{User: "ann", Host: "desk", PID: 7, App: "fleetcast"}
	all := server.AuditEntry{
		ID: bson.ObjectID{1, 2, 3}, At: at, Subscriber: "vault", Action: "open", Parameters: parameters,
		Target: event.Target{Labels: map[string]string{"role": "web"}}, WaitMS: 10_000, Ended: event.EndedWait, DurationMS: 10_003.5,
		Publisher: event.Publisher{User: "www", SudoUser: "bob", Host: "web1", PID: 8, App: "shop"},
		Servers: []server.AuditOutcome{
			{ServerID: bson.ObjectID{1}, Server: "web-1", Kind: "done", Acked: true, DurationMS: 1.5},
			{Server: "web-2", Kind: "failed", Acked: true, Error: "panic: boom\ngoroutine 7", DurationMS: 2},
			{Server: "web-3", Kind: "refused", Acked: true, Error: "is stopping"},
			{Server: "web-4", Kind: server.AuditMissing, Acked: true},
			{Server: "web-5", Kind: server.AuditMissing, Deaf: true},
			{Server: "web-6", Kind: server.AuditMissing},
			{Server: "web-8", Kind: server.AuditMissing, Acked: true, Gone: true},
			{Server: "web-7", Kind: "done", Acked: true, Extra: true},
		},
	}
	entries := []server.AuditEntry{all}
	for i, change := range []func(*server.AuditEntry){
		func(e *server.AuditEntry) {
			e.Ended, e.Servers[0].Kind, e.DurationMS = event.EndedComplete, "done", 12
		},
		func(e *server.AuditEntry) { e.Ended, e.Servers[0].Kind = event.EndedLeft, server.AuditMissing },
		func(e *server.AuditEntry) {
			e.Ended, e.Servers[0].Kind, e.Error = event.EndedWait, server.AuditMissing, "the answers could not all be read, servers without one may have given it"
		},
		func(e *server.AuditEntry) { e.Ended, e.Error = event.EndedUnstored, "no space\nleft" },
		func(e *server.AuditEntry) { e.WaitMS = 0 },
		func(e *server.AuditEntry) {
			e.Ended, e.Servers[0].Kind, e.Target.ServerIDs = event.EndedWait, "done", []bson.ObjectID{{7}}
		},
		func(e *server.AuditEntry) { e.Age = time.Second },
		func(e *server.AuditEntry) { e.Age = time.Hour },
	} {
		e := server.AuditEntry{
			ID: bson.ObjectID{byte(i + 2)}, At: at.Add(time.Minute), Subscriber: "server", Action: "stop", Parameters: empty, Publisher: ann,
			WaitMS: 10_000, Servers: []server.AuditOutcome{{Server: "web-1"}},
		}
		change(&e)
		entries = append(entries, e)
	}
	var text, json bytes.Buffer
	require.NoError(t, printAuditTable(&text, entries))
	for _, e := range entries {
		text.WriteByte('\n')
		printAuditEntry(&text, e)
	}
	golden(t, "audit.txt", text.String())
	require.NoError(t, (&app{Process: Process{Stdout: &json}, output: "json"}).printJSON(output.ToAudit(all)))
	golden(t, "audit.json", json.String())
	states := ""
	for _, e := range entries {
		states += string(output.ToAudit(e).State) + " "
	}
	require.Equal(t, "incomplete complete left incomplete publish_failed not_waited incomplete waiting unknown ", states)
}

func TestAuditUsage(t *testing.T) {
	for says, args := range map[string][]string{
		"is not an event id":         {"audit", "x"},
		"takes one event id":         {"audit", "6b04493e1a4be88c3278b147", "6b04493e1a4be88c3278b147"},
		"--since -1h0m0s":            {"audit", "--since", "-1h"},
		"--limit -1":                 {"audit", "--limit", "-1"},
		"--server: ":                 {"audit", "--server", "["},
		"--audit-keep 1s: at least":  {"server", "--audit-keep", "1s"},
		"--audit-keep -1h0m0s: at l": {"server", "--audit-keep", "-1h"},
	} {
		_, errs, code := execute(t, map[string]string{"FLEETCAST_URI": "no"}, args...)
		require.Equal(t, exitUsage, code, says)
		require.Contains(t, errs, says)
	}
	_, errs, code := execute(t, map[string]string{"FLEETCAST_URI": "no", "FLEETCAST_SERVER": "[", "FLEETCAST_LIMIT": "-1"}, "audit")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "--uri", "variables hide nothing")
}

// TestFollowerHidesSecrets prints an event as `fleetcast events` does.
func TestFollowerHidesSecrets(t *testing.T) {
	e := event.New("vault", "open", bson.M{"key": "hunter2"}, event.Secret("key"))
	for _, output := range []string{"text", "jsonl"} {
		var out bytes.Buffer
		f := &follower{app: &app{Process: Process{Stdout: &out}, output: output}}
		require.NoError(t, f.printEvent(e))
		require.Contains(t, out.String(), event.Hidden)
		require.NotContains(t, out.String(), "hunter2")
	}
}
