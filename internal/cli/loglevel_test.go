package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
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
		string(output.JSON(rawValue(t, change))))
	require.JSONEq(t, `["{\"$date\":\"x\"}"]`, string(output.JSON(rawValue(t, bson.A{`{"$date":"x"}`}))))
}

func TestLevelChangeInWords(t *testing.T) {
	minutes := subscribers.Duration(10 * time.Minute)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	for want, change := range map[string]subscribers.LevelChange{
		"(all): info → warn": {Level: "warn", Previous: "info"},
		"event: info → debug for 10m0s, until 2030-01-02 03:04:05": {
			Component: "event", Level: "debug", Previous: "info", For: &minutes, Until: at,
		},
		"no component http here, nothing to do (there are event, server)": {
			Component: "http", Absent: true, Components: []string{"event", "server"},
		},
	} {
		require.Equal(t, want, output.LevelChange(change))
	}
}

// TestComponentThatSomeHave is in order, and one that nobody has matches nothing.
func TestComponentThatSomeHave(t *testing.T) {
	reply := func(server string, change subscribers.LevelChange) event.Reply {
		return event.Reply{Server: server, Kind: event.Done, Payload: rawValue(t, change)}
	}
	set := reply("a", subscribers.LevelChange{Component: "http", Level: "debug", Previous: "info"})
	absent := reply("b", subscribers.LevelChange{Component: "http", Absent: true, Components: []string{"event", "worker"}})
	other := reply("c", subscribers.LevelChange{Component: "http", Absent: true, Components: []string{"event", "sql"}})
	for name, test := range map[string]struct {
		finals     []event.Reply
		code       int
		says, errs string
	}{
		"all":  {[]event.Reply{set, set}, exitOK, "", ""},
		"some": {[]event.Reply{absent, set, other}, exitOK, "2 servers without the component http, left alone: b, c\n", ""},
		"none": {[]event.Reply{absent, other}, exitNoMatch, "", `no server that is meant has the component "http"; there are event, sql, worker`},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			a := &app{Process: Process{Stderr: &said}}
			n := len(test.finals)
			act := &acting{own: ownWays{verdict: a.judgeLevels}}
			err := act.outcome(event.Summary{Matched: n, Done: n}, test.finals)
			require.Equal(t, test.code, exitCode(t.Context(), err))
			require.Equal(t, test.says, said.String())
			if test.errs != "" {
				require.EqualError(t, err, test.errs)
			}
			err = act.outcome(event.Summary{Matched: n + 1, Done: n, Missing: 1}, test.finals)
			require.Equal(t, exitIncomplete, exitCode(t.Context(), err), "nobody knows of the missing one")
		})
	}
}
