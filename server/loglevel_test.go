package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
)

// A missed event that prolongs a level is made up for, too.
func TestLongerLevelAfterAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		o := run(t, none, Config{Logger: levels})
		_, err = levels.Set("event", "debug", time.Minute)
		require.NoError(t, err)
		want := map[string]DesiredLevel{"event": {Passing: "debug", Until: o.Bus().StoreTime().Add(time.Hour)}}
		o.reconcileLevels(t.Context(), want)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, "debug", levels.List()[1].Level)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// What the logger refuses is not noted.
func TestRefusedLevelIsNotNoted(t *testing.T) {
	set, err := (&Registry{}).desiredLevel(t.Context(), event.New("logger", "set", bson.M{"level": "default", "for": "1h"}))
	require.NoError(t, err)
	require.Nil(t, set)
}

// A desired level that cannot be applied does not keep a server from its events.
func TestUnknownDesiredLevelHoldsUpNothing(t *testing.T) {
	for name, bad := range map[string]DesiredLevel{
		"of a later version":  {Level: "verbose"},
		"default for a while": {Passing: "default", Until: time.Now().Add(24 * 365 * 100 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				levels, err := logging.New("info")
				require.NoError(t, err)
				o := run(t, none, Config{Logger: levels})
				o.ledger.note("event", bad)
				o.ledger.note("worker", DesiredLevel{Level: "warn"})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				(&serverSubscriber{control: (*control)(o.Server)}).Gap(ctx, event.Gap{Reason: "test"})
				require.Less(t, time.Since(start), time.Minute, "the server subscriber was held up")
				require.Equal(t, "warn", levels.List()[3].Level)
				o.stop()
				require.NoError(t, o.ends())
			})
		})
	}
}
