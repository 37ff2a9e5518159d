package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/server"
)

// TestDoctorKnowsIllnesses shows a fleet with one server for each.
func TestDoctorKnowsIllnesses(t *testing.T) {
	entries := []server.Entry{{Name: "fine", Lifecycle: server.Running, Version: "1.0.0"}}
	for name, change := range map[string]func(*server.Entry){
		"deaf":   func(e *server.Entry) { e.Heartbeat.LagMS, e.Heartbeat.LastError = 20_000, "connection refused" },
		"gap":    func(e *server.Entry) { e.Heartbeat.Gaps = 2 },
		"behind": func(e *server.Entry) { e.Heartbeat.LagMS = 4000 },
		"slow":   func(e *server.Entry) { e.Heartbeat.RTTMS = 1500 },
		"new":    func(e *server.Entry) { e.Version = "1.1.0" },
		"stuck": func(e *server.Entry) {
			e.Heartbeat.Workers = []server.WorkerEntry{{ID: 1}, {ID: 2, Stuck: true}, {ID: 7, Stuck: true}}
		},
	} {
		e := server.Entry{Name: name, Lifecycle: server.Running, Version: "1.0.0"}
		change(&e)
		entries = append(entries, e)
	}
	for _, name := range []string{"l1", "l2", "l3", "l4", "l5", "l6", "l7"} { // lost ones have no other illness
		e := server.Entry{Name: name, Version: "0.9.0", Age: 2 * time.Minute}
		e.Heartbeat = server.Heartbeat{LagMS: 20_000, Gaps: 1, RTTMS: 9000, Workers: []server.WorkerEntry{{Stuck: true}}}
		entries = append(entries, e)
	}
	d := &doctor{}
	d.ok("database", "near")
	d.examineFleet(entries)
	for output, name := range map[string]string{"text": "doctor.txt", "json": "doctor.json"} {
		var out bytes.Buffer
		a := &app{Process: Process{Stdout: &out}, output: output}
		require.Equal(t, exitFailure, exitCode(t.Context(), a.printFindings(d.findings)))
		golden(t, name, out.String())
	}
	a := &app{Process: Process{Stdout: &bytes.Buffer{}}, output: "text"}
	require.NoError(t, a.printFindings([]findingOutput{{Status: isOK}, {Status: isWarning}}), "warnings are no failure")
}

func TestLackingRights(t *testing.T) {
	read := func(text string) (p privilege) {
		require.NoError(t, bson.UnmarshalExtJSON([]byte(text), false, &p))
		return p
	}
	all := `"actions": ["createCollection", "createIndex", "find", "insert", "remove", "update", "listCollections"]}`
	for name, text := range map[string]string{
		"readWrite on the database": `{"resource": {"db": "fleet", "collection": ""}, ` + all,
		"readWriteAnyDatabase":      `{"resource": {"db": "", "collection": ""}, ` + all,
		"root":                      `{"resource": {"anyResource": true}, ` + all,
	} {
		require.Empty(t, lacking([]privilege{read(text)}, "fleet"), name)
	}
	for name, text := range map[string]string{
		"another database": `{"resource": {"db": "other", "collection": ""}, ` + all,
		"the cluster":      `{"resource": {"cluster": true}, ` + all,
		"read":             `{"resource": {"db": "fleet", "collection": ""}, "actions": ["find"]}`,
	} {
		require.NotEmpty(t, lacking([]privilege{read(text)}, "fleet"), name)
	}
	but := []privilege{read(`{"resource": {"db": "fleet", "collection": ""}, "actions": ["find", "insert", "update", "createCollection", "createIndex"]}`)}
	for _, collection := range []string{"servers", "actions", "holds", "audit", "settings"} {
		but = append(but, read(`{"resource": {"db": "fleet", "collection": "`+collection+`"}, "actions": ["remove"]}`))
	}
	require.Equal(t, []string{"remove on subscriptions"}, lacking(but, "fleet"), "rights add up")
}

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{"4.2.25": true, "3.6": true, "4.4.0": false, "4.4": false, "5.0.1": false, "10.1": false, "": false, "v7": false, "8.0.0-rc1": false} {
		require.Equal(t, want, older(version, 4, 4), version)
	}
}

func TestAllLoopback(t *testing.T) {
	for hosts, want := range map[string]bool{
		"127.0.0.1:27017": true, "localhost": true, "[::1]:27017": true, "127.0.0.1:1,localhost:2": true,
		"db1:27017": false, "127.0.0.1:1,db1:2": false, "10.0.0.1": false, "": false,
	} {
		require.Equal(t, want, allLoopback(hosts), hosts)
	}
}
