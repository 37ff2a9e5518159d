package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
	"github.com/fleetcast/fleetcast/subscribers"
)

// refreshReply is an answer to config refresh.
func refreshReply(t *testing.T, name string, changes ...config.Change) event.Reply {
	kind, payload, err := bson.MarshalValue(subscribers.Refreshed[config.Changes]{Changed: append(config.Changes{}, changes...)})
	require.NoError(t, err)
	return event.Reply{Server: name, Kind: event.Done, DurationMS: 2, Payload: bson.RawValue{Type: kind, Value: payload}}
}

func TestWordsOfRefresh(t *testing.T) {
	require.Equal(t, "nothing has changed", output.Says(refreshReply(t, "a")))
	require.Equal(t, `a/b 1 → 2, a/c (not set) → "x y\nz"`, output.Says(refreshReply(t, "a",
		config.Change{Path: "a/b", Old: 1, New: 2}, config.Change{Path: "a/c", New: "x y\nz"})))
	require.Equal(t, "p 0 → 1, p 0 → 1, p 0 → 1, p 0 → 1, p 0 → 1, and 2 more", output.Says(refreshReply(t, "a",
		repeated(7, config.Change{Path: "p", Old: 0, New: 1})...)))
	kind, other, err := bson.MarshalValue(bson.M{"changed": bson.A{1, 2}})
	require.NoError(t, err)
	require.JSONEq(t, `{"changed":[1,2]}`, output.Says(event.Reply{Payload: bson.RawValue{Type: kind, Value: other}}), "of another subscriber")
}

func repeated(n int, c config.Change) (list []config.Change) {
	for range n {
		list = append(list, c)
	}
	return list
}

func TestWordsOfAChange(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	of := func(scope config.Scope, value any) config.Setting {
		return config.Setting{Path: "app/port", Scope: scope, Value: value, Version: 3}
	}
	for want, c := range map[string]settings.Changed{
		"app/port for all servers is 25, and was not set; version 3":        {Setting: of(config.Global, int64(25)), Old: nil, Done: true},
		`app/port for server web-1 is 25, and was "a  b"; version 3`:        {Setting: of(config.OnServer("web-1"), int64(25)), Old: "a  b", Done: true},
		"app/port for label zone=eu is 25 already, version 3":               {Setting: of(config.WithLabel("zone", "eu"), int64(25)), Old: int64(25), Done: false},
		"app/port for environment x is no longer set, it was 25; version 3": {Setting: of(config.InEnvironment("x"), nil), Old: int64(25), Done: true},
	} {
		require.Equal(t, want, changeWords(c))
	}
	for want, c := range map[string]settings.Changed{
		"fleetcast config unset app/port --refresh":                            {Setting: of(config.Global, int64(25)), Old: nil, Done: true},
		"fleetcast config set app/port --label zone=eu --refresh -- -5":        {Setting: of(config.WithLabel("zone", "eu"), int64(25)), Old: int64(-5), Done: true},
		`fleetcast config set app/port --refresh -- '{"a": "it'\''s"}'`:        {Setting: of(config.Global, "{}"), Old: `{"a": "it's"}`, Done: true},
		"fleetcast config set app/port - --server s --refresh, with the old v": {Setting: config.Setting{Path: "app/port", Scope: config.OnServer("s"), Secret: true}, Old: event.Hidden, Done: true},
	} {
		require.Contains(t, undoOf(c), want)
	}
}

// TestUnmovedServers: a change that has no effect on some servers is explained.
func TestUnmovedServers(t *testing.T) {
	var errs bytes.Buffer
	a := &app{Process: Process{Stderr: &errs}}
	moved, other := refreshReply(t, "a", config.Change{Path: "p", Old: 1, New: 2}), refreshReply(t, "b", config.Change{Path: "q"})
	a.sayUnmoved("p", []event.Reply{moved})
	require.Empty(t, errs.String())
	a.sayUnmoved("p", []event.Reply{moved, other})
	require.Contains(t, errs.String(), "1 server had that value already, or have another from")
	require.Contains(t, errs.String(), "`fleetcast config list p --effective`")
}

func TestCompareSettings(t *testing.T) {
	sealed := func(data string) *config.Sealed { return &config.Sealed{Key: "k", Data: []byte(data)} }
	has := []config.Exported{
		{Path: "both/same", Scope: config.Global, Value: int64(5)},
		{Path: "both/tree", Scope: config.Global, Value: `{"a":[1]}`},
		{Path: "both/differ", Scope: config.Global, Value: "x"},
		{Path: "only/a", Scope: config.OnServer("s"), Value: true},
		{Path: "p", Scope: config.Global, Value: 1.5},
		{Path: "secret/same", Scope: config.Global, Sealed: sealed("1")},
		{Path: "secret/unknown", Scope: config.Global, Sealed: sealed("1")},
		{Path: "secret/reference", Scope: config.Global, Value: "@/run/secrets/x"},
	}
	file := []config.Exported{
		{Path: "p", Scope: config.OnServer("s"), Value: 1.5},
		{Path: "both/same", Scope: config.Global, Value: 5},
		{Path: "both/tree", Scope: config.Global, Value: map[string]any{"a": []any{1}}},
		{Path: "both/differ", Scope: config.Global, Value: "two\nlines"},
		{Path: "secret/same", Scope: config.Global, Sealed: sealed("1")},
		{Path: "secret/unknown", Scope: config.Global, Sealed: sealed("2")},
		{Path: "secret/reference", Scope: config.Global, Value: "@/run/secrets/y"},
	}
	d := (&fleetSettings{}).compare(has, file, func(e config.Exported) string { return e.Path + " " + string(e.Scope) })
	d.A, d.B = "collection", "settings.yaml"
	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "text"}
	require.NoError(t, a.printSettingsDiff(d))
	golden(t, "config-diff.txt", out.String())
	out.Reset()
	a.output = "json"
	require.NoError(t, a.printSettingsDiff(d))
	golden(t, "config-diff.json", out.String())
}

// TestConfigOutputShapes holds the JSON that scripts depend on.
func TestConfigOutputShapes(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	ann := event.Publisher{User: "ann", Host: "desk", PID: 7, App: "fleetcast"}
	setting := config.Setting{Path: "app/port", Scope: config.OnServer("web-1"), Value: int64(25), Version: 3, UpdatedAt: at, UpdatedBy: ann}
	secret := config.Setting{Path: "app/secret/x", Scope: config.Global, Value: event.Hidden, Secret: true, Version: 1, UpdatedAt: at, UpdatedBy: ann}
	reply := refreshReply(t, "web-1", config.Change{Path: "app/port", Old: 24, New: 25,
		From: config.Origin{Layer: config.LayerDefault}, Origin: config.Origin{Layer: config.LayerSettings, Name: "server:web-1"}})
	e := event.New("config", "refresh", nil)
	call := output.ToCall(e, event.Summary{Matched: 1, Acked: 1, Done: 1, Duration: 3 * time.Millisecond}, []event.Reply{reply})
	set := toChangedOutput(settings.Changed{Setting: setting, Old: int64(24), Done: true})
	set.refreshed(&call)
	imported := &importOutput{}
	imported.take([]config.Imported{{Path: "a", Scope: config.Global, Old: nil, New: "x", Changed: true}, {Path: "b"}})
	effective := output.ToEffective(reply, config.Value{Path: "app/port", Value: int64(25), Type: config.Integer, Declared: true,
		Origin: config.Origin{Layer: config.LayerFile, Name: "/etc/app.yaml:3"}, Over: []config.Origin{{Layer: config.LayerSettings, Name: "global"}}})

	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "json"}
	for _, v := range []any{
		output.ToSetting(secret), set,
		output.ToRecord(config.Record{Path: "app/port", Scope: config.Global, Version: 2, Old: int64(1), At: at, By: ann}),
		effective, imported, resealOutput{2, "84a7f2221286"},
		output.Declaration{Path: "app/port", Type: config.Integer, Default: "25", Rules: "min=1", Env: "APP_PORT", Servers: []string{"web-1"}},
	} {
		require.NoError(t, a.printJSON(v))
	}
	golden(t, "config.json", out.String())
	require.Equal(t, "file /etc/app.yaml:3, over settings global", effective.FromWords())
}

func TestDescribeOne(t *testing.T) {
	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "text"}
	port := output.Declaration{Path: "app/port", Type: config.Integer, Unit: "ports", Default: "25", Rules: "min=1", Env: "APP_PORT", Doc: "where mail goes", Servers: []string{"a", "b"}}
	text := output.Declaration{Path: "app/port", Type: config.Text, Secret: true, Servers: []string{"c"}}
	a.printDeclarations([]output.Declaration{port, text})
	out.WriteString("\n")
	require.NoError(t, a.tabulateDeclarations([]output.Declaration{port, text}))
	golden(t, "config-describe.txt", out.String())
}
