package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/subscribers"
)

func rawValue(t *testing.T, v any) bson.RawValue {
	typ, data, err := bson.MarshalValue(v)
	require.NoError(t, err)
	return bson.RawValue{Type: typ, Value: data}
}

// TestTimesInPayloads are RFC 3339 for scripts; text that looks like extended JSON
// stays text.
func TestTimesInPayloads(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	minutes := subscribers.Duration(10 * time.Minute)
	change := subscribers.LevelChange{Level: "debug", Previous: "info", For: &minutes, Until: at}
	require.JSONEq(t, `{"level": "debug", "previous": "info", "for": "10m0s", "until": "2030-01-02T03:04:05.006Z"}`,
		string(toJSON(rawValue(t, change))))
	require.JSONEq(t, `["{\"$date\":\"x\"}"]`, string(toJSON(rawValue(t, bson.A{`{"$date":"x"}`}))))
}

func TestLevelChangeInWords(t *testing.T) {
	minutes := subscribers.Duration(10 * time.Minute)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	for want, change := range map[string]subscribers.LevelChange{
		"(all): info → warn": {Level: "warn", Previous: "info"},
		"event: info → debug for 10m0s, until 2030-01-02 03:04:05": {
			Component: "event", Level: "debug", Previous: "info", For: &minutes, Until: at,
		},
	} {
		require.Equal(t, want, levelChange(change))
	}
}
