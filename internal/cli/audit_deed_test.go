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

// TestDeedsInTheAudit holds how changes to settings show among the acts.
func TestDeedsInTheAudit(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	var entries []server.AuditEntry
	for i, d := range []struct {
		subscriber, action, ended string
		parameters                bson.D
	}{
		{"config", "set", "complete", bson.D{{Key: "path", Value: "app/port"}, {Key: "value", Value: 25}, {Key: "scope", Value: "global"}}},
		{"config", "set", "failed", bson.D{{Key: "path", Value: "app/secret/x"}, {Key: "value", Value: "****"}, {Key: "old", Value: "****"}, {Key: "scope", Value: "server:web-1"}}},
		{"config", "unset", "", bson.D{{Key: "path", Value: "app/port"}, {Key: "old", Value: bson.A{"a", "b"}}, {Key: "scope", Value: "environment:staging"}}},
		{"config", "reveal", "complete", bson.D{{Key: "path", Value: "app/secret/x"}, {Key: "scope", Value: "global"}}},
		{"config", "import", "complete", bson.D{{Key: "file", Value: "settings.yaml"}, {Key: "settings", Value: bson.A{1, 2}}}},
		{"config", "reseal", "complete", nil},
		{"vault", "rotate", "complete", bson.D{{Key: "path", Value: "x"}}},
	} {
		e := server.AuditEntry{
			ID: bson.ObjectID{byte(i + 1)}, At: at, Subscriber: d.subscriber, Action: d.action, Deed: true,
			Publisher: event.Publisher{User: "ann", Host: "desk", PID: 7, App: "fleetcast"}, Ended: event.Ending(d.ended), DurationMS: 2,
		}
		if d.ended == "failed" {
			e.Error = "the setting has been\nchanged meanwhile"
		}
		if d.parameters != nil {
			raw, err := bson.Marshal(d.parameters)
			require.NoError(t, err)
			e.Parameters = raw
		}
		entries = append(entries, e)
	}
	var text bytes.Buffer
	require.NoError(t, printAuditTable(&text, entries))
	printAuditEntry(&text, entries[2])
	golden(t, "audit-deeds.txt", text.String())
	require.Equal(t, []server.AuditState{server.AuditComplete, server.AuditFailed, server.AuditUnknown},
		[]server.AuditState{entries[0].State(), entries[1].State(), entries[2].State()})
	require.Equal(t, []bool{false, true, true}, []bool{entries[0].Failed(), entries[1].Failed(), entries[2].Failed()})
	require.True(t, output.ToAudit(entries[0]).Deed)
}
