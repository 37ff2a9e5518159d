package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

func TestDeedsAreOnRecord(t *testing.T) {
	f := newFleet(t)
	set := server.Deed{
		Subscriber: "config", Action: "set", Parameters: bson.D{{Key: "path", Value: "app/port"}},
		Target: event.Target{Names: []string{"web-1"}}, Publisher: event.Publisher{User: "ann", Host: "desk"},
	}
	var during server.AuditEntry
	require.NoError(t, f.Perform(t.Context(), set, func(context.Context) error {
		entries := f.trail(server.AuditFilter{})
		require.Len(t, entries, 1, "it is on record before it is done")
		during = entries[0]
		return nil
	}))
	require.Equal(t, server.AuditUnknown, during.State())
	require.True(t, during.Failed(), "has to be feared")

	done := f.trail(server.AuditFilter{})[0]
	require.Equal(t, during.ID, done.ID)
	require.True(t, done.Deed)
	require.Equal(t, server.AuditComplete, done.State())
	require.False(t, done.Failed())
	require.Equal(t, []string{"config", "set", "ann"}, []string{done.Subscriber, done.Action, done.Publisher.User})
	require.Equal(t, "app/port", done.Parameters.Lookup("path").StringValue())
	require.Positive(t, done.DurationMS)
	require.Empty(t, done.Servers)

	wrong := errors.New("somebody was quicker")
	require.ErrorIs(t, f.Perform(t.Context(), server.Deed{Subscriber: "config", Action: "reseal"}, func(context.Context) error { return wrong }), wrong)
	failed := f.trail(server.AuditFilter{Failed: true})
	require.Len(t, failed, 1)
	require.Equal(t, server.AuditFailed, failed[0].State())
	require.Equal(t, wrong.Error(), failed[0].Error)
	require.NotEmpty(t, failed[0].Publisher.User, "this process's")

	require.Len(t, f.trail(server.AuditFilter{Server: "web-*"}), 2, "what is for all is for it, too")
	require.Len(t, f.trail(server.AuditFilter{Server: "web-2"}), 1)
}

// TestADeedThatCannotBeRecordedIsNotDone: neither one that cannot be written, nor one
// that makes no record.
func TestADeedThatCannotBeRecordedIsNotDone(t *testing.T) {
	f := newFleet(t)
	do := func(context.Context) error { t.Error("it was done"); return nil }
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.Perform(gone, server.Deed{Subscriber: "config", Action: "set"}, do)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "config set is not done: write the record in the collection audit")
	require.ErrorContains(t, f.Perform(t.Context(), server.Deed{Subscriber: "config", Action: "set", Parameters: 5}, do), "encode its parameters")
	require.Empty(t, f.trail(server.AuditFilter{}))
}

func TestTheEndOfADeedIsRecordedWhenItsCallerWasInterrupted(t *testing.T) {
	f := newFleet(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := f.Perform(ctx, server.Deed{Subscriber: "config", Action: "set"}, func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, server.AuditFailed, f.trail(server.AuditFilter{})[0].State())
}
