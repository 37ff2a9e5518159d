package integration

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// finding is one line of `fleetcast doctor -o json`.
type finding struct{ Check, Status, Found, Advice string }

// examined runs the doctor, and returns the findings by check, those that are not ok
// in place of those that are.
func (e *env) examined(code int) map[string]finding {
	e.t.Helper()
	found := map[string]finding{}
	r := e.run("doctor", "-o", "json")
	require.Equal(e.t, code, r.code, r.stdout+r.stderr)
	var findings []finding
	require.NoError(e.t, json.Unmarshal([]byte(r.stdout), &findings), r.stdout)
	for _, f := range findings {
		if f.Status != "ok" {
			require.NotEmpty(e.t, f.Advice)
		}
		if found[f.Check].Status == "" || found[f.Check].Status == "ok" {
			found[f.Check] = f
		}
	}
	return found
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	found := e.examined(0)
	require.Equal(t, "warning", found["servers"].Status)
	require.Contains(t, found["servers"].Advice, "fleetcast server")
	require.Contains(t, found["events"].Found, "not there yet")
	names, err := e.db.ListCollectionNames(t.Context(), bson.D{})
	require.NoError(t, err)
	require.Empty(t, names, "it changes nothing")

	e.server("a")
	b := e.server("b")
	r := e.run("doctor")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `(?m)^servers +ok +2 servers: 2 running$`, r.stdout)
	require.Regexp(t, `(?m)^answers +ok +2 servers answered a ping, the slowest in `, r.stdout)
	require.Regexp(t, `(?m)^events +ok +capped, 0% of 64 MiB, [1-9][0-9]* documents; reaches .* back$`, r.stdout)
	require.Regexp(t, `(?m)^database +(ok|warning) +version [0-9.]+, `, r.stdout)
	require.Regexp(t, `(?m)^clock +(ok|warning) `, r.stdout)

	require.NoError(t, b.cmd.Process.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = b.cmd.Process.Signal(syscall.SIGCONT) })
	found = e.examined(1)
	require.Equal(t, "broken", found["answers"].Status)
	require.Contains(t, found["answers"].Found, "1 of 2 servers have not answered a ping within 5s: b")
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGCONT))
}

func TestDoctorFindsWrongCollections(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, err := e.db.Collection("events").InsertOne(t.Context(), bson.D{{Key: "x", Value: 1}})
	require.NoError(t, err)
	found := e.examined(1)
	require.Equal(t, "broken", found["events"].Status)
	require.Contains(t, found["events"].Found, "is not capped")
	require.True(t, strings.HasPrefix(found["replies"].Found, "not there yet"))
}
