package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/internal/faultproxy"
)

// config runs `fleetcast config`, which must end with this code.
func (e *env) config(code int, args ...string) result {
	e.t.Helper()
	r := e.run(append([]string{"config"}, args...)...)
	require.Equal(e.t, code, r.code, "config %v: %s%s", args, r.stdout, r.stderr)
	return r
}

// configJSON is config with -o json, decoded.
func configJSON[T any](e *env, code int, args ...string) (v T) {
	e.t.Helper()
	r := e.config(code, append(args, "-o", "json")...)
	require.NoError(e.t, json.Unmarshal([]byte(r.stdout), &v), r.stdout)
	return v
}

// setting and the next are what scripts read.
type setting struct {
	Path    string   `json:"path"`
	Scope   string   `json:"scope"`
	Value   any      `json:"value"`
	Secret  bool     `json:"secret"`
	Version int      `json:"version"`
	Old     any      `json:"old"`
	Changed bool     `json:"changed"`
	Refresh *summary `json:"refresh"`
}

type effective struct {
	Server string `json:"server"`
	Path   string `json:"path"`
	Value  any    `json:"value"`
	From   struct{ Layer, Name string }
	Over   []struct{ Layer, Name string }
}

// inForce returns the values of a setting by server.
func (e *env) inForce(path string) map[string]any {
	e.t.Helper()
	values := map[string]any{}
	for _, v := range configJSON[[]effective](e, 0, "list", path, "--effective") {
		values[v.Server] = v.Value
	}
	return values
}

func (e *env) awaitWorkers(want map[string]int) {
	e.t.Helper()
	e.await("pools resized", func() bool {
		servers := e.servers()
		for name, n := range want {
			if len(servers[name].Workers) != n || servers[name].busy() != n {
				return false
			}
		}
		return true
	})
}

// TestSettingsResizeAllPools: no work is cancelled by it.
func TestSettingsResizeAllPools(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	var servers []*process
	for _, name := range []string{"a", "b", "c"} {
		servers = append(servers, e.server(name, "--log-format", "json"))
	}
	e.awaitWorkers(map[string]int{"a": 10, "b": 10, "c": 10})
	require.Zero(t, e.run("log-level", "debug", "--component", "worker").code)

	set := configJSON[setting](e, 0, "set", "fleetcast/max_workers", "3", "--refresh")
	require.Equal(t, setting{Path: "fleetcast/max_workers", Scope: "global", Value: 3.0, Version: 1, Changed: true, Refresh: set.Refresh}, set)
	require.Equal(t, []int{3, 3}, []int{set.Refresh.Matched, set.Refresh.Done})
	require.Contains(t, string(set.Refresh.Replies[0].Payload), `"new": 3`)
	e.awaitWorkers(map[string]int{"a": 3, "b": 3, "c": 3})

	e.config(0, "set", "fleetcast/max_workers", "5", "--server", "b")
	require.Equal(t, map[string]any{"a": 3.0, "b": 3.0, "c": 3.0}, e.inForce("fleetcast/max_workers"), "it is not refreshed")
	lines := strings.Split(strings.TrimSpace(e.config(0, "set", "fleetcast/stuck_after", "1h", "--server", "c", "--refresh", "-o", "jsonl").stdout), "\n")
	for i, want := range []string{"change", "reply", "reply", "summary"} { // one is the ack
		require.Contains(t, lines[i], `{"type":"`+want+`",`)
	}
	r := e.config(0, "refresh", "--server", "[ab]")
	require.Regexp(t, `(?m)^a +done .* nothing has changed$`, r.stdout)
	require.Regexp(t, `(?m)^b +done .* fleetcast/max_workers 3 → 5$`, r.stdout)
	e.awaitWorkers(map[string]int{"a": 3, "b": 5, "c": 3})
	r = e.config(0, "list", "fleetcast/max_workers", "--effective", "--server", "b")
	require.Regexp(t, `(?m)^b +fleetcast/max_workers +5 +settings server:b, over settings global$`, r.stdout)

	for _, p := range servers {
		require.Zero(t, p.end(syscall.SIGTERM))
		log := p.stderr.String()
		require.Greater(t, strings.Count(log, "work finished"), 3)
		require.NotContains(t, log, "work failed")
		require.NotContains(t, log, "cancel")
	}
}

func TestABadSettingLeavesAllServersAsTheyWere(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, name := range []string{"a", "b"} {
		e.server(name)
	}
	e.config(0, "set", "fleetcast/include_filter", "*", "--refresh")
	e.config(0, "set", "fleetcast/max_workers", "2") // is in the same refresh, and good
	r := e.config(1, "set", "fleetcast/exclude_filter", "x,y", "--refresh")
	for _, name := range []string{"a", "b"} {
		require.Regexp(t, `(?m)^`+name+` +failed .*fleetcast/include_filter and fleetcast/exclude_filter are both set`, r.stdout)
	}
	require.Contains(t, r.stderr, "to undo it: fleetcast config unset fleetcast/exclude_filter --refresh")
	require.Equal(t, map[string]any{"a": 10.0, "b": 10.0}, e.inForce("fleetcast/max_workers"))
	require.Equal(t, map[string]any{"a": []any{}, "b": []any{}}, e.inForce("fleetcast/exclude_filter"))

	r = e.config(0, "unset", "fleetcast/exclude_filter", "--refresh")
	require.Regexp(t, `(?m)^b +done .* fleetcast/max_workers 10 → 2$`, r.stdout)

	// One that nobody has checked.
	_, err := e.db.Collection("settings").UpdateOne(t.Context(), bson.M{"path": "fleetcast/max_workers"}, bson.M{"$set": bson.M{"value": "many"}})
	require.NoError(t, err)
	s := e.call(1, "config", "refresh")
	require.Equal(t, []int{2, 0, 2}, []int{s.Matched, s.Done, s.Failed})
	for _, reply := range s.Replies {
		require.Contains(t, reply.Error, `fleetcast/max_workers (settings global) is "many": expected an integer`)
	}
	require.Equal(t, map[string]any{"a": 2.0, "b": 2.0}, e.inForce("fleetcast/max_workers"))
}

func TestHangupRefreshes(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	file := filepath.Join(t.TempDir(), "settings.yaml")
	require.NoError(t, os.WriteFile(file, []byte("fleetcast: {stuck_after: 1h, max_workers: 3}\n"), 0o600))
	a := e.server("a", "--settings", file, "--workers", "2", "--environment", "staging")
	e.config(0, "set", "fleetcast/stuck_after", "30m", "--environment", "staging")
	e.config(0, "set", "fleetcast/max_workers", "4")
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	e.awaitText("the signal's line", a.stderr, "signal: settings refreshed")
	list := configJSON[[]effective](e, 0, "list", "fleetcast", "--effective")
	from := map[string]string{}
	for _, v := range list {
		from[v.Path] = v.From.Layer + " " + v.From.Name
	}
	require.Equal(t, "settings environment:staging", from["fleetcast/stuck_after"])
	require.Equal(t, "flag --workers", from["fleetcast/max_workers"])

	// A change without an effect is explained.
	r := e.config(0, "set", "fleetcast/max_workers", "5", "--refresh")
	require.Contains(t, r.stderr, "1 server had that value already, or have another from a narrower scope, a variable or a flag")
}

// TestRefreshWithoutTheDatabase: the old settings stay, and the server says so.
func TestRefreshWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	proxy, err := faultproxy.Open(storage)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	behind := *e
	behind.uri = withDatabase(proxy.URI(), e.db.Name())
	a := behind.server("a")
	e.config(0, "set", "fleetcast/max_workers", "2", "--refresh")
	e.config(0, "set", "fleetcast/max_workers", "4")

	proxy.Refuse(time.Hour)
	proxy.Cut()
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	e.awaitText("the complaint", a.stderr, "signal: the settings are not refreshed, the old ones stay in force")
	require.Contains(t, a.stderr.String(), "the collection of settings is out of reach")

	proxy.Calm()
	e.await("the server to hear again", func() bool { return e.run("ping", "--wait", "1s").code == 0 })
	require.Equal(t, map[string]any{"a": 2.0}, e.inForce("fleetcast/max_workers"))
	e.config(0, "refresh")
	require.Equal(t, map[string]any{"a": 4.0}, e.inForce("fleetcast/max_workers"))
}

func TestConfigSetAndGet(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := e.config(0, "set", "app/smtp/port", "25") // before there is any server
	require.Contains(t, r.stderr, "the value is not checked")
	require.Equal(t, 2, e.run("config", "set", "fleetcast/max_wrokers", "5").code, "these are known all the same")
	require.Contains(t, e.config(3, "set", "app/smtp/port", "26", "--refresh").stderr, "no living server is concerned")
	e.server("web-1", "--label", "zone=eu", "--workers", "1")

	// What is wrong is not written.
	require.Contains(t, e.config(2, "set", "fleetcast/max_wrokers", "5").stderr, `did you mean "fleetcast/max_workers"?`)
	require.Contains(t, e.config(2, "set", "fleetcast/max_workers", "many").stderr, `is "many": expected an integer`)
	require.Contains(t, e.config(2, "set", "fleetcast/max_workers", "0").stderr, "at least 1")
	require.Contains(t, e.config(2, "set", "app/smtp/host", "x").stderr, "--undeclared")
	require.Contains(t, e.config(3, "get", "fleetcast/max_workers").stderr, "the default of 1 server is 10")

	// By declared types, and as YAML has it.
	for path, values := range map[string][2]any{
		"fleetcast/where_filter":   {`{"b": 2, "a": 1}`, `{"a":1,"b":2}`},
		"fleetcast/stuck_after":    {"90", "1m30s"},
		"fleetcast/include_filter": {"a, b*", []any{"a", "b*"}},
		"fleetcast/max_workers":    {"6", 6.0},
		"app/number":               {"1.5", 1.5},
		"app/text":                 {`"10"`, "10"},
		"app/code":                 {"007", "007"},
	} {
		text, _ := values[0].(string)
		require.Equal(t, values[1], configJSON[setting](e, 0, "set", path, text, "--undeclared").Value, path)
		require.Equal(t, values[1], configJSON[setting](e, 0, "get", path).Value, path)
	}
	require.Equal(t, "1m30s\n", e.config(0, "get", "fleetcast/stuck_after").stdout)
	e.config(0, "set", "app/number", "--undeclared", "--", "-5")
	require.Equal(t, "-5\n", e.config(0, "get", "app/number").stdout)

	// Versions.
	require.Equal(t, 3, configJSON[setting](e, 0, "set", "app/number", "7", "--undeclared", "--if-version", "2").Version)
	require.Contains(t, e.config(1, "set", "app/number", "8", "--undeclared", "--if-version", "2").stderr, "has version 3, not 2")
	require.Contains(t, e.config(1, "unset", "app/number", "--if-version", "0").stderr, "has version 3, not 0")
	same := configJSON[setting](e, 0, "set", "app/number", "7", "--undeclared")
	require.False(t, same.Changed, "it is so already")
	require.Equal(t, 3, same.Version)

	// Scopes.
	e.config(0, "set", "fleetcast/max_workers", "7", "--label", "zone=eu")
	require.Contains(t, e.config(0, "set", "fleetcast/max_workers", "8", "--server", "wbe-1").stderr, "no server in the registry is server wbe-1")
	require.Contains(t, e.config(3, "get", "fleetcast/max_workers", "--server", "web-1").stderr, "with --label zone=eu")
	var scopes []string
	for _, s := range configJSON[[]setting](e, 0, "list", "fleetcast/max_workers") {
		scopes = append(scopes, s.Scope)
	}
	require.Equal(t, []string{"global", "label:zone=eu", "server:wbe-1"}, scopes)
	require.Len(t, configJSON[[]setting](e, 0, "list", "--label", "zone=eu"), 1)
	e.config(0, "unset", "fleetcast/max_workers", "--server", "wbe-1")
	e.config(3, "unset", "fleetcast/max_workers", "--server", "wbe-1")

	r = e.config(0, "history", "app/number")
	require.Regexp(t, `(?s)app/number +global +1 +set to 1.5 .*\n.* 2 +1.5 → -5 .*\n.* 3 +-5 → 7 `, r.stdout)
	require.Contains(t, e.config(0, "history", "--limit", "1").stderr, "there is more")
	require.Contains(t, e.run("__complete", "config", "set", "fleetcast/max_w").stdout, "fleetcast/max_workers\thow many workers")
	require.Contains(t, e.run("__complete", "config", "get", "app/").stdout, "app/number\tis set")
	require.Contains(t, e.run("__complete", "config", "get", "x", "--label", "").stdout, "zone=eu")
	require.Contains(t, e.config(0, "describe", "fleetcast/max_workers").stdout, "env      FLEETCAST_MAX_WORKERS")
	require.Contains(t, e.config(3, "describe", "none").stderr, "no server has declared such a setting")
}

func TestConfigSecrets(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	require.Contains(t, e.config(1, "set", "app/secret/smtp", "hunter2").stderr, "FLEETCAST_SETTINGS_KEY")
	key := strings.TrimSpace(e.config(0, "keygen").stdout)
	e.vars = []string{"FLEETCAST_SETTINGS_KEY=" + key}
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("hunter2\n"), 0o600))
	e.server("a", "--workers", "1")

	e.config(0, "set", "app/secret/smtp", "--from-file", file, "--undeclared", "--refresh")
	e.config(0, "set", "app/token", "hunter2", "--undeclared", "--secret")
	e.config(0, "set", "app/token", "hunter22", "--undeclared") // which stays secret
	for _, args := range []string{"get app/token", "get app/secret/smtp", "list", "list --effective", "history", "export", "diff global server:a", "list -o json", "export -o json"} {
		r := e.run(append([]string{"config"}, strings.Fields(args)...)...)
		require.NotContains(t, r.stdout+r.stderr, "hunter2", args)
	}
	require.Equal(t, "****\n", e.config(0, "get", "app/token").stdout)
	require.Empty(t, e.audit("--action", "reveal"))
	require.Equal(t, "hunter2\n", e.config(0, "get", "app/secret/smtp", "--reveal").stdout)
	require.Equal(t, "hunter22", configJSON[setting](e, 0, "get", "app/token", "--reveal").Value)
	revealed := e.audit("--action", "reveal")
	require.Len(t, revealed, 2)
	require.JSONEq(t, `{"path": "app/secret/smtp", "scope": "global"}`, string(revealed[0].Parameters))

	e.config(0, "set", "app/open", "once", "--undeclared")
	require.Contains(t, e.config(0, "set", "app/open", "hunter2", "--undeclared", "--secret").stdout, "is ****, and was ****;")
	sets := e.audit("--action", "set")
	require.JSONEq(t, `{"path": "app/open", "scope": "global", "value": "****", "old": "****"}`, string(sets[len(sets)-1].Parameters))
	e.config(0, "unset", "app/open")

	// Another key in its place.
	other := strings.TrimSpace(e.config(0, "keygen").stdout)
	e.vars = []string{"FLEETCAST_SETTINGS_KEY=" + other + "," + key}
	require.Contains(t, e.config(0, "reseal").stdout, "2 secret settings encrypted")
	require.Contains(t, e.config(0, "reseal").stdout, "0 secret settings encrypted")
	require.Len(t, e.audit("--action", "reseal"), 2)
	e.vars = []string{"FLEETCAST_SETTINGS_KEY=" + other}
	require.Equal(t, "hunter22\n", e.config(0, "get", "app/token", "--reveal").stdout)
	e.vars = []string{"FLEETCAST_SETTINGS_KEY=" + key}
	require.Contains(t, e.config(1, "get", "app/token", "--reveal").stderr, "cannot be decrypted")
	require.Equal(t, "failed", e.audit("--action", "reveal", "--failed")[0].State, "that was tried in vain")
}

func TestConfigExportAndImport(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--workers", "1")
	e.config(0, "set", "fleetcast/max_workers", "3")
	e.config(0, "set", "fleetcast/where_filter", `{"a": 1}`, "--server", "a")
	e.config(0, "set", "app/port", "25", "--environment", "staging", "--undeclared")
	file := filepath.Join(t.TempDir(), "settings.yaml")
	export := e.config(0, "export").stdout
	require.NoError(t, os.WriteFile(file, []byte(export), 0o600))
	require.Empty(t, e.config(0, "diff", file, "--exit-code").stdout)

	e.config(0, "set", "fleetcast/max_workers", "4")
	e.config(0, "unset", "app/port", "--environment", "staging")
	r := e.config(1, "diff", file, "--exit-code")
	require.Contains(t, r.stdout, "+app/port (environment:staging): 25\n-fleetcast/max_workers: 4\n+fleetcast/max_workers: 3\n")
	require.NotContains(t, r.stdout, "where_filter")
	require.Contains(t, e.config(0, "diff", "global", "server:a").stdout, "--- global\n+++ server:a\n-fleetcast/max_workers: 4\n+fleetcast/where_filter: {\"a\":1}\n")

	require.Contains(t, e.config(2, "import", file).stderr, "app/port: no server has declared this setting")
	r = e.config(0, "import", file, "--undeclared", "--dry-run")
	require.Contains(t, r.stdout, "fleetcast/max_workers for all servers: 4 → 3\n")
	require.Contains(t, r.stderr, "2 settings would be set, 1 are so already")
	require.Equal(t, "4\n", e.config(0, "get", "fleetcast/max_workers").stdout, "it was a dry run")
	require.Empty(t, e.audit("--action", "import"))
	r = e.config(0, "import", file, "--undeclared", "--refresh")
	require.Contains(t, r.stderr, "config refresh: 1 server matched, 1 done")
	require.Equal(t, export, e.config(0, "export").stdout)
	imports := e.audit("--action", "import")
	require.Len(t, imports, 1)
	require.JSONEq(t, `{"file": "`+file+`", "settings": [{"path": "app/port", "scope": "environment:staging", "value": 25},
		{"path": "fleetcast/max_workers", "scope": "global", "value": 3}]}`, string(imports[0].Parameters))
	require.Contains(t, e.config(0, "import", file, "--undeclared").stderr, "0 settings set, 3 are so already")

	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	require.NoError(t, os.WriteFile(wrong, []byte("- {path: fleetcast/max_workers, value: 9}\n- {path: fleetcast/stuck_after, value: soon}\n"), 0o600))
	require.Contains(t, e.config(2, "import", wrong).stderr, `fleetcast/stuck_after is "soon": expected a duration`)
	require.Equal(t, "3\n", e.config(0, "get", "fleetcast/max_workers").stdout, "all or nothing")
}

// TestSettingsAreAudited: who changed what, beside the other acts.
func TestSettingsAreAudited(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--workers", "1")
	e.server("b", "--workers", "1")
	e.config(0, "set", "fleetcast/max_workers", "3")
	e.config(0, "set", "fleetcast/max_workers", "4", "--server", "b", "--refresh")
	e.config(1, "unset", "fleetcast/max_workers", "--if-version", "7")
	e.config(0, "unset", "fleetcast/max_workers")
	e.config(2, "set", "fleetcast/max_workers", "many")
	e.config(0, "list", "--effective")

	require.Equal(t, "config set, config set, config refresh, config unset, config unset", actionsOf(e.audit()))
	require.Equal(t, "config set, config unset, config unset", actionsOf(e.audit("--server", "a")))
	require.Equal(t, "config unset", actionsOf(e.audit("--failed")))
	r := e.run("audit")
	require.Regexp(t, `config set fleetcast/max_workers to 3 +everybody +done in `, r.stdout)
	require.Regexp(t, `config set fleetcast/max_workers to 4 +server b +done in `, r.stdout)
	require.Regexp(t, `config unset fleetcast/max_workers, was 3 +everybody +failed: .*has version 1, not 7`, r.stdout)
}
