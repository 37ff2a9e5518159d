package console

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// silent adds a server to the registry that seems to live, and answers nothing.
func (s *site) silent(name string) string { s.t.Helper(); return s.beatAgo(name, 0) }

// lost adds one that is lost.
func (s *site) lost(name string) string { s.t.Helper(); return s.beatAgo(name, 48*time.Hour) }

func (s *site) beatAgo(name string, ago time.Duration) string {
	s.t.Helper()
	now, err := event.StoreTime(s.t.Context(), s.db)
	require.NoError(s.t, err)
	id := bson.NewObjectID()
	_, err = s.db.Collection(server.ServersCollection).InsertOne(s.t.Context(), bson.D{
		{Key: "_id", Value: id}, {Key: "name", Value: name}, {Key: "lifecycle", Value: "running"},
		{Key: "actions", Value: bson.D{{Key: "server", Value: bson.A{"pause", "kill"}}}},
		{Key: "heartbeat", Value: bson.D{{Key: "at", Value: now.Add(-ago)}, {Key: "interval_ms", Value: int64(3_600_000)}}},
	})
	require.NoError(s.t, err)
	return id.Hex()
}

func TestOneLostServerIsPurgedByTheAPIOnRecord(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	living, lost, other := s.silent("there"), s.lost("gone"), s.lost("gone-too")
	a := s.api(func(r *http.Request) { r.SetBasicAuth("alice", "alicealice") })
	a.call("GET", "/servers", nil, 200, nil)
	require.Contains(t, a.wrong("DELETE", "/servers/"+living, nil, 409), "there is not lost")
	var purged output.Member
	a.call("DELETE", "/servers/"+lost, nil, 200, &purged)
	require.Equal(t, "gone", purged.Name)
	a.call("GET", "/servers/"+lost, nil, 404, nil) // at once, not when the registry is read the next time
	a.call("DELETE", "/servers/"+lost, nil, 404, nil)
	a.call("GET", "/servers/"+living, nil, 200, nil)
	a.call("GET", "/servers/"+other, nil, 200, nil)
	var trail apiTrail
	a.call("GET", "/audit?user=alice", nil, 200, &trail)
	require.Len(t, trail.Entries, 1)
	require.Equal(t, "purge", trail.Entries[0].Action)
	require.JSONEq(t, `{"server": "gone"}`, string(trail.Entries[0].Parameters))
}

func TestTheAPIWaitsAsLongAsItWasTold(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	s.silent("web-2")
	a := s.api(nil)
	pause := map[string]any{"subscriber": "server", "action": "pause", "wait": "2s"}
	var sum output.Call
	a.call("POST", "/events", pause, 200, &sum)
	require.Equal(t, 2, sum.Matched)
	require.Equal(t, 1, sum.Done)
	require.Equal(t, []string{"web-2"}, sum.MissingServers)

	for _, wait := range []string{"", "0", "0s"} {
		pause["wait"] = wait
		var published output.Published
		a.call("POST", "/events", pause, 202, &published)
		var out apiOutcome
		s.await("the answer of the one that lives, though nobody waits", func() bool {
			a.call("GET", "/events/"+published.EventID, nil, 200, &out)
			return out.Counts["done"] == 1
		})
		require.Equal(t, "running", out.State)
		require.Nil(t, out.Call)
	}
}

func TestKillByTheAPIWantsTheNumberThatADryRunHasSaid(t *testing.T) {
	s := newSite(t, Config{})
	s.silent("web-1")
	s.silent("web-2")
	a := s.api(nil)
	kill := map[string]any{"subscriber": "server", "action": "kill"}
	require.Contains(t, a.wrong("POST", "/events", kill, 422), "matched: 2")
	kill["matched"] = 1
	require.Contains(t, a.wrong("POST", "/events", kill, 409), "now it is 2")
	kill["matched"] = 0
	a.wrong("POST", "/events", kill, 409)
	kill["matched"], kill["dry_run"] = 7, true
	var match output.Match
	a.call("POST", "/events", kill, 200, &match)
	require.Equal(t, 2, match.Matched)
	require.Zero(t, s.published())
	delete(kill, "dry_run")
	kill["matched"] = 2
	a.call("POST", "/events", kill, 202, nil)
	require.Equal(t, 1, s.published())
	a.call("POST", "/events", map[string]any{"subscriber": "server", "action": "kill", "target": output.Target{Servers: []string{"web-1"}}}, 202, nil)
	require.Equal(t, 2, s.published(), "one is no mistake")
}

// app is a subscriber of an application.
type app struct{}

func (app) Name() string { return "app" }

func (app) Actions() []event.Action {
	type login struct {
		User     string `bson:"user" validate:"required"`
		Password string `bson:"password" fleetcast:"secret"`
	}
	return []event.Action{
		event.On("login", func(context.Context, login) error { return nil }),
		event.On("anything", func(context.Context, bson.Raw) error { return nil }),
	}
}

func TestActionsOfAnApplicationByTheAPI(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	s.startAs(server.Config{Bus: event.Config{Identity: event.Identity{Name: "web-1"}}}, busy, app{})
	otto := s.api(func(r *http.Request) { r.SetBasicAuth("otto", "ottootto") })
	publish := func(action string, parameters map[string]any) map[string]any {
		return map[string]any{"subscriber": "app", "action": action, "parameters": parameters, "wait": "20s"}
	}
	require.Contains(t, otto.wrong("POST", "/events", publish("login", nil), 422), "parameters.user: this one is required")
	require.Contains(t, otto.wrong("POST", "/events", publish("login", map[string]any{"user": 7, "password": true}), 422), "parameters.password: it is of type boolean, and must be text")
	require.Contains(t, otto.wrong("POST", "/events", publish("login", map[string]any{"user": "a", "wings": 2}), 403), "needs admin")
	require.Zero(t, s.published())
	otto.call("POST", "/events", publish("login", map[string]any{"user": "a"}), 200, nil)
	otto.call("POST", "/events", publish("anything", map[string]any{"wings": 2}), 200, nil)
}

func TestTheAPINeverShowsSecrets(t *testing.T) {
	s := newSite(t, Config{Keyring: keys(t)})
	s.startAs(server.Config{Bus: event.Config{Identity: event.Identity{Name: "web-1"}}}, busy, app{})
	a := s.api(nil)
	shown := func(text string) {
		t.Helper()
		require.NotContains(t, text, "hunter")
		require.Contains(t, text, event.Hidden)
	}

	var changed apiChanged
	set := map[string]any{"path": "app/secret/key", "value": "hunter2", "undeclared": true}
	shown(a.call("PUT", "/settings", set, 200, &changed))
	require.True(t, changed.Setting.Secret)
	set["value"] = "hunter3"
	shown(a.call("PUT", "/settings", set, 200, nil))
	shown(a.call("GET", "/settings", nil, 200, nil))
	shown(a.call("GET", "/settings/history", nil, 200, nil))
	set["if_version"] = 7
	require.NotContains(t, a.call("PUT", "/settings", set, 409, nil), "hunter")
	shown(a.call("DELETE", "/settings?path=app/secret/key", nil, 200, nil))
	shown(a.call("GET", "/audit?subscriber=config", nil, 200, nil))

	in := map[string]any{"subscriber": "app", "action": "login", "parameters": map[string]any{"user": "a", "password": "hunter2"}, "wait": "20s"}
	var sum output.Call
	require.NotContains(t, a.call("POST", "/events", in, 200, &sum), "hunter")
	require.Equal(t, 1, sum.Done)
	require.NotContains(t, a.call("GET", "/events/"+sum.EventID, nil, 200, nil), "hunter")
	var stream apiStream
	s.await("the event", func() bool {
		text := a.call("GET", "/events?subscriber=app", nil, 200, &stream)
		require.NotContains(t, text, "hunter")
		return len(stream.Events) == 1
	})
	require.JSONEq(t, `{"user": "a", "password": "****"}`, string(stream.Events[0].Parameters))
}
