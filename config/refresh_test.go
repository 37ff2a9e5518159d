package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

// rewrite gives a file another text.
func rewrite(t testing.TB, name, format string, args ...any) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, fmt.Appendf(nil, format, args...), 0o600))
}

func TestRefreshTellsWhatHasChanged(t *testing.T) {
	keys := &config.Keys{}
	limit := config.New("app/limit", 10, config.In(keys))
	pause := config.New("app/pause", time.Minute, config.In(keys))
	config.New("app/same", "x", config.In(keys))
	config.New("app/token", "", config.In(keys), config.Secret())
	file := write(t, "app: {pause: 60, gone: [1, 2], token: hush}")
	s := open(t, config.Config{Keys: keys, File: file})

	changes, err := s.Refresh(t.Context())
	require.NoError(t, err)
	require.Empty(t, changes)
	rewrite(t, file, "app:\n  pause: 1m\n  limit: 20\n  token: hush2\n  new: true\n  same: x")
	changes, err = s.Refresh(t.Context())
	require.NoError(t, err)
	at := func(line int) config.Origin {
		return config.Origin{Layer: config.LayerFile, Name: fmt.Sprintf("%s:%d", file, line)}
	}
	was := at(1)
	require.Equal(t, config.Changes{
		{Path: "app/gone", Old: []any{int64(1), int64(2)}, From: was},
		{Path: "app/limit", Old: int64(10), New: int64(20), From: config.Origin{Layer: config.LayerDefault}, Origin: at(3)},
		{Path: "app/new", New: true, Origin: at(5)},
		{Path: "app/token", Old: "****", New: "****", Secret: true, From: was, Origin: at(4)},
	}, changes)
	require.Equal(t, []string{"app/gone", "app/limit", "app/new", "app/token"}, changes.Paths())
	require.Equal(t, 20, limit.Get(s))
	require.Equal(t, time.Minute, pause.Get(s), "written otherwise, it is the same")

	raw, err := bson.Marshal(bson.M{"changed": changes, "values": s.Values(), "declared": s.Declarations()})
	require.NoError(t, err)
	require.NotContains(t, string(raw), "hush")
	var back struct {
		Changed config.Changes
		Values  []config.Value
	}
	require.NoError(t, bson.Unmarshal(raw, &back))
	require.Equal(t, changes[1:], back.Changed[1:])
	require.Len(t, back.Values, 5)
}

// TestBadValuesChangeNothing: every fault of every layer is told, also of values that
// another one hides, and the old settings stay.
func TestBadValuesChangeNothing(t *testing.T) {
	keys := &config.Keys{}
	limit := config.New("app/limit", 10, config.In(keys), config.Min(1), config.Max(100))
	mode := config.New("app/mode", "slow", config.In(keys), config.OneOf("slow", "fast"))
	config.New("app/filter", (*regexp.Regexp)(nil), config.In(keys))
	config.New("app/even", 2, config.In(keys), config.Check(func(n int) error {
		if n%2 != 0 {
			return errors.New("only even numbers are even")
		}
		return nil
	}))
	config.New("app/pin", 1234, config.In(keys), config.Secret())
	config.New("app/limits", struct {
		Max int `json:"max" validate:"min=1"`
	}{}, config.In(keys))
	store := config.NewStore(teststore.Database(t), config.StoreConfig{})
	_, err := store.Set(t.Context(), config.Write{Path: "app/limit", Value: 20})
	require.NoError(t, err)
	file := write(t, "app: {mode: fast}")
	cfg := config.Config{Keys: keys, File: file, Store: store, Flags: []config.Flag{{Path: "app/even", Name: "--even", Value: 4}}}
	s := open(t, cfg)

	_, err = store.Set(t.Context(), config.Write{Path: "app/limit", Value: "0"})
	require.NoError(t, err, "nothing is known of declarations")
	rewrite(t, file, "app:\n  mode: medium\n  filter: '('\n  even: 3\n  pin: hush\n  limits: {max: 0}\n  a b: 5\n  ref: '@here'\n  lost: '@/no/such/file'")
	changes, err := s.Refresh(t.Context())
	require.Nil(t, changes)
	faults, ok := errors.AsType[*config.FaultsError](err)
	require.True(t, ok, "%v", err)
	line := func(n int) string { return fmt.Sprintf("(file %s:%d)", file, n) }
	var texts []string
	for _, fault := range faults.Faults {
		texts = append(texts, fault.Error())
	}
	require.Equal(t, []string{
		"file " + file + `:7: "app/a b" is no path of a setting: it has letters, digits, _, - and . between slashes, as in app/smtp/host`,
		"app/even " + line(4) + " is 3: expected another value: only even numbers are even",
		"app/filter " + line(3) + ` is "(": expected a regular expression: error parsing regexp: missing closing ): ` + "`(`",
		`app/limit (settings global) is "0": expected at least 1`,
		"app/limits " + line(6) + ` is {"max":0}: expected JSON: max must be at least 1`,
		"app/lost " + line(9) + ": @/no/such/file: open /no/such/file: no such file or directory",
		"app/mode " + line(2) + ` is "medium": expected one of slow fast`,
		"app/pin " + line(5) + " is ****: expected an integer",
		"app/ref " + line(8) + ": a value with @ refers to a file by its whole path, as @/run/secrets/smtp; a text that begins with @ is written with @@",
	}, texts)
	require.ErrorContains(t, err, "9 settings are wrong, nothing is changed:\n")
	require.Equal(t, 20, limit.Get(s))
	require.Equal(t, "fast", mode.Get(s))
	_, err = config.Open(t.Context(), cfg)
	require.ErrorAs(t, err, &faults)
	require.Len(t, faults.Faults, 9, "nor does a process start so")

	rewrite(t, file, "- a list")
	_, err = s.Refresh(t.Context())
	require.ErrorContains(t, err, "a mapping of settings is expected")
	require.NoError(t, os.Remove(file))
	_, err = s.Refresh(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, "fast", mode.Get(s))
}

// TestSettingsAreCheckedTogether: two that exclude each other are refused.
func TestSettingsAreCheckedTogether(t *testing.T) {
	keys := &config.Keys{}
	include := config.New("app/include", "", config.In(keys))
	exclude := config.New("app/exclude", "", config.In(keys))
	file := write(t, "app: {include: a}")
	s := open(t, config.Config{Keys: keys, File: file, Check: func(s *config.Snapshot) error {
		if include.Get(s) != "" && exclude.Get(s) != "" {
			return errors.New("app/include and app/exclude are both set")
		}
		return nil
	}})
	rewrite(t, file, "app: {include: b, exclude: c}")
	_, err := s.Refresh(t.Context())
	require.EqualError(t, err, "a setting is wrong, nothing is changed: app/include and app/exclude are both set")
	require.Equal(t, "a", include.Get(s))
}

// TestNoTornReads: who reads two settings of one snapshot never sees one as it was and
// the other as it is, however often they change.
func TestNoTornReads(t *testing.T) {
	const refreshes = 10_000
	keys := &config.Keys{}
	a := config.New("app/a", 0, config.In(keys))
	b := config.New("app/b", []int{0}, config.In(keys))
	set := func(n int) {
		require.NoError(t, os.Setenv("TORN_APP_A", fmt.Sprint(n)))
		require.NoError(t, os.Setenv("TORN_APP_B", fmt.Sprint(n)))
	}
	t.Setenv("TORN_APP_A", "0") // both are gone in the end
	t.Setenv("TORN_APP_B", "0")
	s, err := config.Open(t.Context(), config.Config{Keys: keys, EnvPrefix: "TORN_"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, s.Run(ctx)) })
	told := 0
	s.OnChange("app/a", func(string, any, any) { told++ })
	for range 2 {
		running.Go(func() {
			last, seen := 0, 0
			for ctx.Err() == nil {
				snapshot := s.Snapshot()
				if n := a.Get(snapshot); n != b.Get(snapshot)[0] || n < last {
					t.Errorf("a torn read: %d with %v after %d", n, b.Get(snapshot), last)
					return
				} else if n != last {
					last = n
					seen++
				}
				runtime.Gosched() // there may be one processor for all
			}
			if seen == 0 {
				t.Error("a reader that has seen no change proves nothing")
			}
		})
	}
	for i := 1; i <= refreshes; i++ {
		set(i)
		changes, err := s.Refresh(ctx)
		require.NoError(t, err)
		require.Len(t, changes, 2)
	}
	stop()
	running.Wait()
	require.Positive(t, told)
}

// TestDatabaseAway: the old settings stay, and it is said why.
func TestDatabaseAway(t *testing.T) {
	keys := &config.Keys{}
	limit := config.New("app/limit", 10, config.In(keys))
	db := teststore.Database(t)
	store := config.NewStore(db, config.StoreConfig{})
	_, err := store.Set(t.Context(), config.Write{Path: "app/limit", Value: 20})
	require.NoError(t, err)
	s := open(t, config.Config{Keys: keys, Store: store})
	require.NoError(t, db.Client().Disconnect(t.Context()))

	_, err = s.Refresh(t.Context())
	require.ErrorIs(t, err, config.ErrUnavailable)
	require.Equal(t, 20, limit.Get(s))
	temporary, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	require.True(t, ok && temporary.Temporary(), "subscribers try again")
}

// TestStartWithoutTheDatabase: it is an error, unless the collection is optional; then
// its values come as soon as they can be read.
func TestStartWithoutTheDatabase(t *testing.T) {
	keys := &config.Keys{}
	limit := config.New("app/limit", 10, config.In(keys))
	db := teststore.Database(t, options.Client().SetServerSelectionTimeout(50*time.Millisecond))
	away := teststore.Database(t, options.Client().SetHosts([]string{"127.0.0.1:1"}).SetServerSelectionTimeout(50*time.Millisecond))
	cfg := config.Config{Keys: keys, Environ: []string{}, Store: config.NewStore(away, config.StoreConfig{})}
	_, err := config.Open(t.Context(), cfg)
	require.ErrorIs(t, err, config.ErrUnavailable)

	cfg.StoreOptional = true
	s := open(t, cfg)
	require.True(t, s.Partial())
	require.Equal(t, 10, limit.Get(s))

	_, err = config.NewStore(db, config.StoreConfig{}).Set(t.Context(), config.Write{Path: "app/limit", Value: 20})
	require.NoError(t, err)
	config.Redirect(s, config.NewStore(db, config.StoreConfig{}))
	came := make(chan int)
	limit.OnChange(s, func(_, now int) { came <- now })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	require.Equal(t, 20, <-came)
	require.False(t, s.Partial())
	stop()
	require.NoError(t, <-done)
	require.ErrorIs(t, s.Run(t.Context()), config.ErrRunning)
}
