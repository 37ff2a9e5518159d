package event_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	driverevent "go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

// openMonitored opens the log "log" through a client of its own that reports the
// ids of the tailable cursors it opens.
func openMonitored(t *testing.T, database string, opened chan<- int64) event.Log {
	monitor := &driverevent.CommandMonitor{Succeeded: func(_ context.Context, e *driverevent.CommandSucceededEvent) {
		if id, ok := e.Reply.Lookup("cursor", "id").Int64OK(); ok && e.CommandName == "find" && id != 0 {
			opened <- id
		}
	}}
	client, err := mongo.Connect(options.Client().ApplyURI(teststore.URI()).SetMonitor(monitor))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	log, err := event.OpenCapped(t.Context(), client.Database(database), "log", 0)
	require.NoError(t, err)
	return log
}
