package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

// TestLayers: each source that has a value takes the place of the ones below it.
func TestLayers(t *testing.T) {
	store := config.NewStore(teststore.Database(t), config.StoreConfig{})
	set := func(scope config.Scope, value int) func(*config.Config) {
		return func(*config.Config) {
			_, err := store.Set(t.Context(), config.Write{Path: "app/limit", Scope: scope, Value: value})
			require.NoError(t, err)
		}
	}
	keys := &config.Keys{}
	limit := config.New("app/limit", 1, config.In(keys))
	cfg := config.Config{Keys: keys, Store: store, Environ: []string{}, EnvPrefix: "SHOP_", Member: config.Member{
		Environment: "production", Server: "web-1", Labels: map[string]string{"zone": "b", "rack": "7"},
	}}
	file := write(t, "app:\n  name: x\n  limit: 2\n")
	for i, step := range []struct {
		origin string
		add    func(*config.Config)
	}{
		{"default", func(*config.Config) {}},
		{"file " + file + ":3", func(c *config.Config) { c.File = file }},
		{"settings global", set(config.Global, 3)},
		{"settings environment:production", set(config.InEnvironment("production"), 4)},
		{"settings label:rack=7", set(config.WithLabel("rack", "7"), 5)},
		{"settings label:zone=b", set(config.WithLabel("zone", "b"), 6)},
		{"settings server:web-1", set(config.OnServer("web-1"), 7)},
		{"settings server:web-1", set(config.OnServer("web-2"), 70)}, // another's
		{"settings server:web-1", set(config.WithLabel("zone", "a"), 70)},
		{"settings server:web-1", set(config.InEnvironment("test"), 70)},
		{"environment SHOP_APP_LIMIT", func(c *config.Config) { c.Environ = []string{"APP_LIMIT=70", "SHOP_APP_LIMIT=8"} }},
		{"flag --limit", func(c *config.Config) {
			c.Flags = []config.Flag{{Path: "app/limit", Name: "--limit", Value: 9}}
		}},
	} {
		step.add(&cfg)
		s := open(t, cfg)
		require.Equal(t, step.origin, origin(t, s, "app/limit"))
		want := i + 1
		switch {
		case i > 9:
			want = i - 2
		case i > 6:
			want = 7
		}
		require.Equal(t, want, limit.Get(s), step.origin)
		v, ok := s.Snapshot().Value("app/limit")
		require.True(t, ok)
		require.Len(t, v.Over, max(0, want-2), "all given but the default and itself")
	}
	// Unset, the lower layers count again.
	_, err := store.Unset(t.Context(), "app/limit", config.OnServer("web-1"), nil)
	require.NoError(t, err)
	cfg.Environ, cfg.Flags = []string{}, nil
	require.Equal(t, 6, limit.Get(open(t, cfg)))
}

// The program's defaults count where no layer has a value, and are checked as any.
func TestDefaultsOfTheProgram(t *testing.T) {
	keys := &config.Keys{}
	limit := config.New("app/limit", 1, config.In(keys), config.Min(1))
	program := func(value any) []config.Flag {
		return []config.Flag{{Path: "app/limit", Name: "--limit", Value: value}}
	}
	s := open(t, config.Config{Keys: keys, Defaults: program("4")})
	require.Equal(t, 4, limit.Get(s))
	require.Equal(t, "default --limit", origin(t, s, "app/limit"))
	s = open(t, config.Config{Keys: keys, Defaults: program(4), File: write(t, "app: {limit: 2}\n")})
	require.Equal(t, 2, limit.Get(s))

	_, err := config.Open(t.Context(), config.Config{Keys: keys, Defaults: program(0), Environ: []string{}})
	require.ErrorContains(t, err, "app/limit")
	_, err = config.Open(t.Context(), config.Config{Keys: keys, Defaults: []config.Flag{{Path: "app/limt", Value: 1}}, Environ: []string{}})
	require.ErrorIs(t, err, config.ErrUndeclared)
}
