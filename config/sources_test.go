package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

func TestEnvironmentVariables(t *testing.T) {
	for path, want := range map[string]string{
		"fleetcast/max_workers": "FLEETCAST_MAX_WORKERS", "app/smtp/host": "X_APP_SMTP_HOST", "app/a-b.c": "X_APP_A_B_C", "home": "X_HOME",
	} {
		require.Equal(t, want, config.EnvName("X_", path))
	}
	require.Equal(t, "APP_HOST", config.EnvName("", "app/host"))
	require.Empty(t, config.EnvName("", "home"), "that is the user's")

	keys := &config.Keys{}
	home := config.New("home", "nowhere", config.In(keys))
	workers := config.New("fleetcast/max_workers", 10, config.In(keys))
	empty := config.New("app/empty", "x", config.In(keys))
	s := open(t, config.Config{Keys: keys, File: write(t, "app: {extra: 1}"), Environ: []string{
		"HOME=/root", "FLEETCAST_MAX_WORKERS=5", "APP_EMPTY=", "APP_EXTRA=2", "APP_LATE=3", "APP_LATER=@@x", "odd",
	}})
	require.Equal(t, "nowhere", home.Get(s))
	require.Equal(t, 5, workers.Get(s))
	require.Equal(t, "x", empty.Get(s), "an empty variable is none")
	require.Equal(t, "environment APP_EXTRA", origin(t, s, "app/extra"), "of a path that is not declared")
	late, err := config.Read(s, "app/late", 0) // nobody knew of it before
	require.NoError(t, err)
	require.Equal(t, 3, late)
	later, err := config.Read(s, "app/later", "")
	require.NoError(t, err)
	require.Equal(t, "@x", later)
	require.Equal(t, "FLEETCAST_MAX_WORKERS", s.Declarations()[1].Env)

	config.New("app/a_b", 1, config.In(keys))
	config.New("app/a/b", 1, config.In(keys))
	_, err = s.Refresh(t.Context())
	require.ErrorContains(t, err, "app/a_b and app/a/b have the same environment variable APP_A_B")
	_, err = config.Open(t.Context(), config.Config{EnvPrefix: "a=b"})
	require.ErrorContains(t, err, "EnvPrefix")
}

// TestFile: what YAML can say.
func TestFile(t *testing.T) {
	keys := &config.Keys{}
	quotas := config.New("app/quotas", map[string]int{}, config.In(keys))
	s := open(t, config.Config{Keys: keys, File: write(t, `
base: &base {host: a, port: 25}
smtp: *base
imap:
  <<: *base
  port: 143
app/slashed: true
app:
  quotas: {mail/in: 1, out: 2}
  80: a number
  date: 2026-11-26
  time: 2026-11-26T10:00:00Z
  nothing:
  empty: {}
  list: [a, {b: 1}]
`)})
	got := map[string]any{}
	for _, v := range s.Values() {
		got[v.Path] = v.Value
	}
	require.Equal(t, map[string]any{
		"base/host": "a", "base/port": int64(25), "smtp/host": "a", "smtp/port": int64(25), "imap/host": "a", "imap/port": int64(143),
		"app/slashed": true, "app/quotas": `{"mail/in":1,"out":2}`, "app/80": "a number", "app/date": "2026-11-26",
		"app/time": "2026-11-26T10:00:00Z", "app/list": `["a",{"b":1}]`,
	}, got)
	require.Equal(t, map[string]int{"mail/in": 1, "out": 2}, quotas.Get(s))

	for _, text := range []string{"", "# nothing\n", "---\n", "null", "{}"} {
		require.Len(t, open(t, config.Config{Keys: keys, File: write(t, text)}).Values(), 1, text)
	}
	_, err := config.Open(t.Context(), config.Config{Keys: keys, File: "/no/such.yaml"})
	require.ErrorIs(t, err, os.ErrNotExist)
	open(t, config.Config{Keys: keys, File: "/no/such.yaml", FileOptional: true})
	_, err = config.Open(t.Context(), config.Config{Keys: keys, File: write(t, "a: 1\na: 2")})
	require.ErrorContains(t, err, "already defined")
}

// TestReferences: a host's own layers may refer to any of its files, the collection to
// those for secrets alone.
func TestReferences(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "shadow")
	rewrite(t, outside, "root")
	rewrite(t, filepath.Join(dir, "n"), "5\r\n")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("n", filepath.Join(dir, "own"))) // as Kubernetes does
	keys := &config.Keys{}
	n := config.New("app/n", 0, config.In(keys))
	store := config.NewStore(teststore.Database(t), config.StoreConfig{})
	cfg := config.Config{Keys: keys, Store: store, SecretDirs: []string{"/no/such", dir}}
	set := func(value string) {
		t.Helper()
		_, err := store.Set(t.Context(), config.Write{Path: "app/n", Value: value, Declarations: keys.Declarations()})
		require.NoError(t, err)
	}
	set("@" + dir + "/own")
	s := open(t, cfg)
	require.Equal(t, 5, n.Get(s))
	require.Equal(t, "settings global (@"+dir+"/own)", origin(t, s, "app/n"))
	for value, want := range map[string]string{
		"@" + outside:               "may refer to files in /no/such, " + dir + " alone",
		"@" + dir + "/../x":         "may refer to files in",
		"@" + dir + "/link":         "escapes",
		"@" + dir + "/none":         "no such file",
		"@" + dir:                   "is a directory",
		"@" + dir + "x/../../../n2": "may refer to files in",
	} {
		set(value)
		_, err := s.Refresh(t.Context())
		require.ErrorContains(t, err, want, value)
	}
	rewrite(t, filepath.Join(dir, "n"), "%01048577d", 5)
	set("@" + dir + "/n")
	_, err := s.Refresh(t.Context())
	require.ErrorContains(t, err, "larger than 1 MiB")
	_, err = store.Set(t.Context(), config.Write{Path: "app/n", Value: "@n"})
	require.ErrorContains(t, err, "by its whole path")

	rewrite(t, outside, "7")
	_, err = store.Unset(t.Context(), "app/n", config.Global, nil)
	require.NoError(t, err)
	cfg.Environ = []string{"APP_N=@" + outside}
	require.Equal(t, 7, n.Get(open(t, cfg)), "the host's own word")
	set("@/no/such/file/here")
	require.Equal(t, 7, n.Get(open(t, cfg)), "what is hidden need not be here")
	rewrite(t, outside, "root")
	_, err = config.Open(t.Context(), cfg)
	require.ErrorContains(t, err, "app/n (environment APP_N (@"+outside+")) is ****: expected an integer")
}

// TestTreesInTheCollection: a document is the settings below a path, unless that is
// declared as JSON; also when not every store can have it as it is.
func TestTreesInTheCollection(t *testing.T) {
	store := config.NewStore(teststore.Database(t), config.StoreConfig{Keyring: keyring(t, testKey)})
	set(t, store, config.Write{Path: "app/smtp", Value: map[string]any{"host": "x", "tls": map[string]any{"verify": true}}})
	set(t, store, config.Write{Path: "app/secret", Value: map[string]any{"a.b": "hush"}})
	set(t, store, config.Write{Path: "app/odd", Value: map[string]any{"a.b": []any{[]any{1}}, "$c": 1}})
	set(t, store, config.Write{Path: "app/limits", Value: map[string]int{"a.b": 1}})
	set(t, store, config.Write{Path: "app/quotas", Value: map[string]int{"a": 1}})
	keys := &config.Keys{}
	limits := config.New("app/limits", map[string]int{}, config.In(keys))
	quotas := config.New("app/quotas", map[string]int{}, config.In(keys))
	odd := config.New("app/odd", json.RawMessage(nil), config.In(keys))
	s := open(t, config.Config{Keys: keys, Store: store})
	got := map[string]any{}
	for _, v := range s.Values() {
		got[v.Path] = v.Value
	}
	require.Equal(t, map[string]any{
		"app/smtp/host": "x", "app/smtp/tls/verify": true, "app/secret/a.b": "****",
		"app/odd": `{"$c":1,"a.b":[[1]]}`, "app/limits": `{"a.b":1}`, "app/quotas": `{"a":1}`,
	}, got)
	require.Equal(t, map[string]int{"a.b": 1}, limits.Get(s))
	require.Equal(t, map[string]int{"a": 1}, quotas.Get(s))
	require.JSONEq(t, `{"a.b":[[1]],"$c":1}`, string(odd.Get(s)))
	var smtp struct {
		Host string `config:"host"`
		TLS  struct {
			Verify bool `config:"verify"`
		} `config:"tls"`
	}
	require.NoError(t, s.Decode("app/smtp", &smtp))
	require.True(t, smtp.TLS.Verify)
}

// TestTypingMistakesAreLogged, once, and are no error: other programs may have other
// settings.
func TestTypingMistakesAreLogged(t *testing.T) {
	keys := &config.Keys{}
	config.New("app/max_workers", 1, config.In(keys))
	config.New("app/host", "", config.In(keys))
	var logs bytes.Buffer
	ctx := zerolog.New(&logs).WithContext(t.Context())
	s, err := config.Open(ctx, config.Config{Keys: keys, Environ: []string{}, File: write(t, "app: {max_wokers: 5, port: 1, hosts: 2}")})
	require.NoError(t, err)
	_, err = s.Refresh(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(logs.String(), "did you mean app/max_workers?"))
	require.Equal(t, 1, strings.Count(logs.String(), "did you mean app/host?"), logs.String())
	require.Equal(t, 2, strings.Count(logs.String(), "\n"), "a port is no host")
}
