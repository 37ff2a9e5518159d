package console

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

var update = flag.Bool("update", false, "write the golden files")

// TestPagesOfRareStates holds pages of states that are hard to reach to what they were
// when somebody looked at them last.
func TestPagesOfRareStates(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	id := func(n byte) bson.ObjectID { return bson.ObjectID{11: n} }
	c := &Console{cfg: Config{Base: "/fleet"}}
	f := newFleet(nil, Config{Base: "/fleet", StuckAfter: time.Minute}, func() {})

	entry := func(n byte, name string, age time.Duration, edit func(*server.Entry)) *row {
		e := server.Entry{ID: id(n), Name: name, Host: "h", PID: 7, Version: "1.0", Lifecycle: "running", StartedAt: at, Age: age}
		e.Heartbeat.At, e.Heartbeat.State, e.Heartbeat.IntervalMS = at, event.StateListening, 15_000
		if edit != nil {
			edit(&e)
		}
		return f.row(e, &snapshot{})
	}
	deaf := entry(1, "deaf-1", time.Second, func(e *server.Entry) {
		e.Heartbeat.State, e.Heartbeat.LagMS, e.Heartbeat.Gaps, e.Heartbeat.LastError = event.StateConnecting, 3_600_000, 2, "no <route> to host"
	})
	lost := entry(2, "lost-1", time.Hour, nil)
	stale := &snapshot{Rows: []*row{deaf, lost}, Err: errors.New("no reachable servers"), Since: at,
		Holds: []server.Hold{{ID: id(3), At: at, Target: event.Target{Names: []string{"web-*"}}, Publisher: event.Publisher{User: "alice", Host: "h"}}}}

	event1 := event.New("server", "stop", nil, event.To(event.Target{Names: []string{"web-*"}}))
	event1.ID = id(9)
	reply := func(n byte, name string, kind event.ReplyKind, fault string) *event.Reply {
		return &event.Reply{ServerID: id(n), Server: name, Kind: kind, Error: fault, DurationMS: 12}
	}
	over := &act{event: event1, wait: time.Minute, begun: at, over: true, expected: make([]event.Member, 5), sum: event.Summary{
		Matched: 5, Acked: 3, Done: 1, Failed: 1, Refused: 1, Missing: 2, Duration: time.Minute,
		Servers: []event.Outcome{
			{ServerID: id(1), Server: "web-1", Expected: true, Acked: true, Reply: reply(1, "web-1", event.Done, "")},
			{ServerID: id(2), Server: "web-2", Expected: true, Acked: true, Reply: reply(2, "web-2", event.Failed, "panic: no <disk>\ngoroutine 1")},
			{ServerID: id(3), Server: "web-3", Expected: true, Acked: true, Reply: reply(3, "web-3", event.Refused, "it is stopping")},
			{ServerID: id(4), Server: "web-4", Expected: true, Deaf: true},
			{ServerID: id(5), Server: "web-5", Expected: true, Gone: true, Acked: true},
		},
	}}
	running := &act{event: event1, wait: time.Minute, begun: at, acked: map[bson.ObjectID]bool{id(2): true}, gone: map[bson.ObjectID]event.Outcome{id(3): {}},
		expected: []event.Member{{ServerID: id(1), Name: "web-1", Deaf: true}, {ServerID: id(2), Name: "web-2"}, {ServerID: id(3), Name: "web-3"}, {ServerID: id(4), Name: "web-4"}}}
	failed := &act{event: event1, wait: time.Minute, begun: at, over: true, err: errors.New("the audit cannot be written: not primary")}

	for name, test := range map[string]struct {
		template string
		data     any
	}{
		"fleet-stale":    {"fleet", c.fleetView(stale, filter{Page: 1, Size: 10})},
		"fleet-empty":    {"fleet", c.fleetView(&snapshot{}, filter{Page: 1, Size: 10})},
		"server-deaf":    {"server", &serverView{row: deaf, Beat: facts(deaf.Server)}},
		"server-lost":    {"server", &serverView{row: lost, Beat: facts(lost.Server)}},
		"event-over":     {"event", c.ofAct(over)},
		"event-running":  {"event", c.ofAct(running)},
		"event-failed":   {"event", c.ofAct(failed)},
		"act-nobody":     {"act", &draft{Subscriber: "server", Action: "kill", Checked: true, Permitted: true, Wait: "10s"}},
		"act-forbidden":  {"act", &draft{Subscriber: "exec", Action: "run", Checked: true, Members: []event.Member{{Name: "web-1", Deaf: true}}, Wait: "10s"}},
		"events-missing": {"events", &eventsView{Gap: "events since 12:00 are missing", Err: "not primary"}},
	} {
		r := &request{user: User{"otto", Operator}}
		html, err := c.render(test.template, "main", c.page(r, "", "", test.data))
		require.NoError(t, err)
		text := regexp.MustCompile(`waiting for at most [^<]*`).ReplaceAllString(string(html), "waiting for at most … more")
		text = regexp.MustCompile(`data-key="[^"]*"`).ReplaceAllString(text, `data-key="…"`)
		text = regexp.MustCompile(`\n\s*\n+`).ReplaceAllString(text, "\n")
		file := filepath.Join("testdata", name+".html")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err, "go test ./console -update writes it")
		require.Equal(t, string(want), text, name)
	}
}
