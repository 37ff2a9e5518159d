package config_test

import (
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
)

func TestDeclarations(t *testing.T) {
	keys := &config.Keys{}
	in := config.In(keys)
	config.New("fleetcast/heartbeat", 15*time.Second, in, config.Doc("between beats"), config.Min(time.Second))
	config.New("app/workers", 10, in, config.Unit("workers"), config.Min(1), config.Max(100))
	config.New("app/names", []string{"a", "b,c"}, in)
	config.New("app/handle", "@me", in)
	config.New("app/zero", 0, in)
	config.New("app/filter", regexp.MustCompile("^a"), in)
	config.New("app/limits", map[string]int{"b": 1, "a": 2}, in)
	config.New("app/secret/pin", "1234", in)
	config.New("app/token", "abcd", in, config.Secret())
	want := []config.Declaration{
		{Path: "app/filter", Type: "regexp", Default: "^a"},
		{Path: "app/handle", Type: "text", Default: "@@me"},
		{Path: "app/limits", Type: "json", Default: `{"a":2,"b":1}`},
		{Path: "app/names", Type: "list of text", Default: `["a","b,c"]`},
		{Path: "app/secret/pin", Type: "text", Secret: true},
		{Path: "app/token", Type: "text", Secret: true},
		{Path: "app/workers", Type: "integer", Default: "10", Unit: "workers", Rules: "min=1,max=100"},
		{Path: "app/zero", Type: "integer"},
		{Path: "fleetcast/heartbeat", Type: "duration", Default: "15s", Doc: "between beats", Rules: "min=1s"},
	}
	require.Equal(t, want, keys.Declarations())

	raw, err := bson.Marshal(bson.M{"list": want})
	require.NoError(t, err)
	var afar struct{ List []config.Declaration }
	require.NoError(t, bson.Unmarshal(raw, &afar))
	require.Equal(t, want, afar.List)
	heartbeat, workers := afar.List[8], afar.List[6]
	require.NoError(t, heartbeat.Check("20s"))
	require.EqualError(t, heartbeat.Check("20ms"), `fleetcast/heartbeat is "20ms": expected at least 1s`)
	require.EqualError(t, workers.Check(101), "app/workers is 101: expected at most 100")
	require.EqualError(t, afar.List[4].Check(1), "app/secret/pin is ****: expected a text")
	require.ErrorContains(t, config.Declaration{Path: "a", Type: "matrix"}.Check(1), "of which this version knows nothing")
	require.ErrorContains(t, config.Declaration{Path: "a", Type: "text", Rules: "shiny"}.Check("x"), "shiny")

	for _, d := range want { // a default can be given as it is written
		if d.Default != "" {
			s := open(t, config.Config{Keys: keys, Environ: []string{config.EnvName("", d.Path) + "=" + d.Default}})
			require.NotEqual(t, "default", origin(t, s, d.Path))
			changes, err := s.Refresh(t.Context())
			require.NoError(t, err)
			require.Empty(t, changes)
		}
	}
}

func TestMistakesInDeclarationsPanic(t *testing.T) {
	keys := &config.Keys{}
	in := config.In(keys)
	config.New("app/a", 1, in)
	for says, declare := range map[string]func(){
		"app/a is declared twice":          func() { config.New("app/a", "x", in) },
		"no path of a setting":             func() { config.New("app//b", 1, in) },
		"is 257 bytes long":                func() { config.New(string(make([]byte, 257)), 1, in) },
		"a func() cannot be a setting":     func() { config.New("app/b", func() {}, in) },
		"a []uint8 cannot be a setting":    func() { config.New("app/b", []byte{}, in) },
		"expected at least 2":              func() { config.New("app/b", 1, in, config.Min(2)) },
		`rules "sparkling"`:                func() { config.New("app/b", 1, in, config.Rules("sparkling")) },
		"no rules for the type json":       func() { config.New("app/b", struct{}{}, in, config.Min(1)) },
		"a check of string for a key":      func() { config.New("app/b", 1, in, config.Check(func(string) error { return nil })) },
		"the default":                      func() { config.New("app/b", 1, in, config.Check(func(int) error { return errors.New("the default") })) },
		"read from settings with other Ke": func() { config.New("app/x", 1, config.In(&config.Keys{})).Get(open(t, config.Config{Keys: keys})) },
	} {
		func() {
			defer func() { require.Contains(t, recover(), says) }()
			declare()
			t.Errorf("no panic: %s", says)
		}()
	}
	require.Len(t, keys.Declarations(), 1)
}

// TestReadingWithoutSettings: a library may read its keys whether or not its user has
// opened any, and before they were declared.
func TestReadingWithoutSettings(t *testing.T) {
	keys := &config.Keys{}
	early := config.New("app/early", "a", config.In(keys))
	require.Equal(t, "a", early.Get(nil))
	require.Equal(t, "a", early.Get((*config.Settings)(nil)))
	s := open(t, config.Config{Keys: keys, Environ: []string{"APP_LATE=c"}})
	late := config.New("app/late", "b", config.In(keys))
	require.Equal(t, "b", late.Get(s))
	changes, err := s.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"app/late"}, changes.Paths())
	require.Equal(t, "c", late.Get(s))
	require.Equal(t, "b", late.Default())
	require.Equal(t, "app/late", late.Path())
	n, err := config.Read((*config.Settings)(nil), "app/x", 5)
	require.NoError(t, err)
	require.Equal(t, 5, n)
}

// TestKeysAreDeclaredConcurrently is for the race detector.
func TestKeysAreDeclaredConcurrently(t *testing.T) {
	keys := &config.Keys{}
	s := open(t, config.Config{Keys: keys})
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() { config.New("app/k"+string('a'+rune(i)), i, config.In(keys)) })
		running.Go(func() {
			_, err := s.Refresh(t.Context())
			require.NoError(t, err)
		})
	}
	running.Wait()
	_, err := s.Refresh(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Values(), 20)
}

// The promise is 50 ns and no allocation, while settings are refreshed.
func BenchmarkGet(b *testing.B) {
	keys := &config.Keys{}
	limit := config.New("app/limit", 10, config.In(keys))
	name := config.New("app/name", "x", config.In(keys))
	hosts := config.New("app/hosts", []string{"a"}, config.In(keys))
	for range 100 {
		config.New("app/k"+bson.NewObjectID().Hex(), 0, config.In(keys))
	}
	s := open(b, config.Config{Keys: keys, Environ: []string{"APP_LIMIT=20", "APP_NAME=y", "APP_HOSTS=a,b"}})
	b.Run("int", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if limit.Get(s) != 20 {
				b.Fatal("wrong")
			}
		}
	})
	b.Run("string", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if name.Get(s) != "y" {
				b.Fatal("wrong")
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(hosts.Get(s)) != 2 {
				b.Fatal("wrong")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if limit.Get(s) != 20 {
					b.Fatal("wrong")
				}
			}
		})
	})
}

// Refreshing a hundred settings of a file.
func BenchmarkRefresh(b *testing.B) {
	keys := &config.Keys{}
	text := "app:\n"
	for range 100 {
		name := bson.NewObjectID().Hex()
		config.New("app/k"+name, 0, config.In(keys))
		text += "  k" + name + ": 5\n"
	}
	s := open(b, config.Config{Keys: keys, File: write(b, text)})
	for b.Loop() {
		if _, err := s.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestGetAllocatesNothing holds the other half of the promise where benchmarks do not
// run.
func TestGetAllocatesNothing(t *testing.T) {
	keys := &config.Keys{}
	name := config.New("app/name", "x", config.In(keys))
	s := open(t, config.Config{Keys: keys, Environ: []string{"APP_NAME=y"}})
	require.Zero(t, testing.AllocsPerRun(1000, func() { _ = name.Get(s) }))
}
