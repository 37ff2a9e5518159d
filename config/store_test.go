package config_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

// version is a version to compare with.
func version(n int64) *int64 { return &n }

// set sets a setting that must be right.
func set(t testing.TB, s *config.Store, w config.Write) config.Setting {
	t.Helper()
	is, err := s.Set(t.Context(), w)
	require.NoError(t, err)
	return is
}

func TestStore(t *testing.T) {
	ctx := t.Context()
	db := teststore.Database(t)
	jack := event.Publisher{User: "jack", Host: "h"}
	s := config.NewStore(db, config.StoreConfig{By: jack})
	now, err := event.StoreTime(ctx, db)
	require.NoError(t, err)

	is := set(t, s, config.Write{Path: "app/n", Value: 10})
	require.WithinDuration(t, now, is.UpdatedAt, time.Minute)
	is.UpdatedAt = time.Time{}
	require.Equal(t, config.Setting{Path: "app/n", Scope: config.Global, Value: int64(10), Version: 1, UpdatedBy: jack}, is)
	got, err := s.Get(ctx, "app/n", config.Global)
	require.NoError(t, err)
	require.Equal(t, int64(10), got.Value)
	_, err = s.Get(ctx, "app/n", config.OnServer("x"))
	require.ErrorIs(t, err, config.ErrNotFound)

	set(t, s, config.Write{Path: "app/n/below", Value: true, Scope: "label:a=b"})
	set(t, s, config.Write{Path: "app/nn", Value: []string{"a", "b"}})
	set(t, s, config.Write{Path: "app/n", Value: 11, Scope: config.OnServer("web:1")})
	set(t, s, config.Write{Path: "app/json", Value: bson.D{{Key: "a.b", Value: bson.A{bson.A{1}}}, {Key: "$c", Value: 2}}})
	list, err := s.List(ctx, config.Filter{})
	require.NoError(t, err)
	var shown []string
	for _, l := range list {
		shown = append(shown, fmt.Sprint(l.Path, " ", l.Scope, " ", l.Value))
	}
	require.Equal(t, []string{
		`app/json global {"$c":2,"a.b":[[1]]}`, "app/n global 10", "app/n server:web:1 11",
		"app/n/below label:a=b true", "app/nn global [a b]",
	}, shown)
	list, err = s.List(ctx, config.Filter{Under: "app/n", Scope: config.Global})
	require.NoError(t, err)
	require.Len(t, list, 1)
	list, err = s.List(ctx, config.Filter{Under: "app/n"})
	require.NoError(t, err)
	require.Len(t, list, 3)

	gone, err := s.Unset(ctx, "app/n", config.Global, version(1))
	require.NoError(t, err)
	require.Equal(t, int64(2), gone.Version)
	require.Nil(t, gone.Value)
	_, err = s.Unset(ctx, "app/n", config.Global, nil)
	require.ErrorIs(t, err, config.ErrNotFound)
	_, err = s.Get(ctx, "app/n", config.Global)
	require.ErrorIs(t, err, config.ErrNotFound)
	again := set(t, s, config.Write{Path: "app/n", Value: "ten"})
	require.Equal(t, int64(3), again.Version, "it goes on")

	records, err := s.History(ctx, config.Filter{Under: "app/n", Scope: config.Global}, 0)
	require.NoError(t, err)
	require.Len(t, records, 3)
	for i, want := range []config.Record{{Version: 3, Old: nil, New: "ten"}, {Version: 2, Old: int64(10), New: nil}, {Version: 1, Old: nil, New: int64(10)}} {
		require.False(t, records[i].At.IsZero())
		want.Path, want.Scope, want.By, want.At = "app/n", config.Global, jack, records[i].At
		require.Equal(t, want, records[i])
	}
	records, err = s.History(ctx, config.Filter{}, 2)
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, event.ThisProcess(), set(t, config.NewStore(db, config.StoreConfig{}), config.Write{Path: "app/me", Value: 1}).UpdatedBy)
}

// TestWrongWrites are refused before anything is written.
func TestWrongWrites(t *testing.T) {
	s := config.NewStore(teststore.Database(t), config.StoreConfig{})
	keys := &config.Keys{}
	config.New("app/n", 5, config.In(keys), config.Min(1))
	config.New("app/d", time.Second, config.In(keys))
	declared := keys.Declarations()
	wrong := func(w config.Write, says string) error {
		t.Helper()
		_, err := s.Set(t.Context(), w)
		require.ErrorContains(t, err, says)
		return err
	}
	wrong(config.Write{Path: "app n", Value: 1}, "no path of a setting")
	wrong(config.Write{Path: "app/n", Scope: "everywhere", Value: 1}, "write global, environment:NAME")
	wrong(config.Write{Path: "app/n", Scope: "label:x", Value: 1}, "no scope")
	wrong(config.Write{Path: "app/n"}, "unset it instead")
	wrong(config.Write{Path: "app/n", Value: func() {}}, "cannot be a setting")
	wrong(config.Write{Path: "app/n", Value: strings.Repeat("x", config.MaxValue)}, "at most 1048576")
	err := wrong(config.Write{Path: "app/n", Value: "many", Declarations: declared}, `app/n is "many": expected an integer`)
	fault, ok := errors.AsType[*config.ValueError](err)
	require.True(t, ok)
	require.Equal(t, "an integer", fault.Want)
	wrong(config.Write{Path: "app/n", Value: 0, Declarations: declared}, "expected at least 1")
	err = wrong(config.Write{Path: "app/m", Value: 1, Declarations: declared}, `did you mean`)
	require.ErrorIs(t, err, config.ErrUndeclared)
	other := append([]config.Declaration{{Path: "app/n", Type: config.Integer, Rules: "max=3"}}, declared...)
	wrong(config.Write{Path: "app/n", Value: 4, Declarations: other}, "expected at most 3")
	list, err := s.List(t.Context(), config.Filter{})
	require.NoError(t, err)
	require.Empty(t, list)

	require.Equal(t, int64(7), set(t, s, config.Write{Path: "app/n", Value: "7", Declarations: declared}).Value, "as it is declared")
	require.Equal(t, "1m30s", set(t, s, config.Write{Path: "app/d", Value: 90, Declarations: declared}).Value)
	set(t, s, config.Write{Path: "app/other", Value: "x", Declarations: declared, Undeclared: true})
}

// TestCompareAndSet: of many who change one version, one does; the others are told.
func TestCompareAndSet(t *testing.T) {
	s := config.NewStore(teststore.Database(t), config.StoreConfig{})
	for round := range int64(5) {
		var won atomic.Int32
		var running sync.WaitGroup
		for i := range 8 {
			running.Go(func() {
				_, err := s.Set(t.Context(), config.Write{Path: "app/n", Value: i, IfVersion: version(round)})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, config.ErrConflict) {
					t.Error(err)
				}
			})
		}
		running.Wait()
		require.EqualValues(t, 1, won.Load())
	}
	_, err := s.Set(t.Context(), config.Write{Path: "app/n", Value: 1, IfVersion: version(3)})
	require.ErrorContains(t, err, "app/n for global has version 5, not 3")
}

// TestHistoryMissesNothing: however many change a setting at once, each change is on
// record once, and leads from the one before to the next.
func TestHistoryMissesNothing(t *testing.T) {
	const writers, each = 4, 6
	s := config.NewStore(teststore.Database(t), config.StoreConfig{})
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				if _, err := s.Set(t.Context(), config.Write{Path: "app/n", Value: w*each + i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	records, err := s.History(t.Context(), config.Filter{}, 0)
	require.NoError(t, err)
	require.Len(t, records, writers*each)
	seen := map[any]bool{}
	for i, r := range records {
		require.EqualValues(t, writers*each-i, r.Version)
		seen[r.New] = true
		if i > 0 {
			require.Equal(t, r.New, records[i-1].Old)
			require.False(t, r.At.After(records[i-1].At))
		}
	}
	require.Len(t, seen, writers*each)
}

// TestHistoryIsBounded: a document does not grow for ever.
func TestHistoryIsBounded(t *testing.T) {
	db := teststore.Database(t)
	s := config.NewStore(db, config.StoreConfig{})
	former := bson.A{}
	for i := range config.MaxHistory - 1 {
		former = append(former, bson.M{"value": i, "version": i + 1, "updated_at": time.UnixMilli(int64(i)), "updated_by": bson.M{"user": "jack"}})
	}
	_, err := db.Collection(config.Collection).InsertOne(t.Context(), bson.M{
		"_id": "app/n@global", "path": "app/n", "scope": "global", "value": -1, "version": config.MaxHistory,
		"updated_at": time.UnixMilli(config.MaxHistory), "history": former,
	})
	require.NoError(t, err)
	for i := range 3 {
		set(t, s, config.Write{Path: "app/n", Value: -i})
	}
	records, err := s.History(t.Context(), config.Filter{}, 0)
	require.NoError(t, err)
	require.Len(t, records, config.MaxHistory+1)
	require.EqualValues(t, 2, records[config.MaxHistory].New)
	require.Nil(t, records[config.MaxHistory].Old, "unknown")
	for i := range 3 {
		set(t, s, config.Write{Path: "app/large", Value: strings.Repeat(fmt.Sprint(i), 150_000)})
	}
	raw, err := db.Collection(config.Collection).FindOne(t.Context(), bson.D{{Key: "path", Value: "app/large"}}).Raw()
	require.NoError(t, err)
	require.Less(t, len(raw), 400_000)
	records, err = s.History(t.Context(), config.Filter{Under: "app/large"}, 0)
	require.NoError(t, err)
	require.Len(t, records, 2)
}

// TestHandWrittenDocuments: what others have written is read as far as it goes.
func TestHandWrittenDocuments(t *testing.T) {
	db := teststore.Database(t)
	_, err := db.Collection(config.Collection).InsertMany(t.Context(), []any{
		bson.M{"_id": "app/n@global", "path": "app/n", "scope": "global", "value": 5.0},
		bson.M{"_id": "app/tree@global", "path": "app/tree", "scope": "global", "value": bson.M{"a": 1, "b": bson.M{"c": "x"}}},
		bson.M{"_id": "app/when@global", "path": "app/when", "scope": "global", "value": time.UnixMilli(1_500), "note": "a field of tomorrow"},
	})
	require.NoError(t, err)
	keys := &config.Keys{}
	n := config.New("app/n", 0, config.In(keys))
	s := open(t, config.Config{Keys: keys, Store: config.NewStore(db, config.StoreConfig{})})
	require.Equal(t, 5, n.Get(s))
	v, _ := s.Snapshot().Value("app/tree/b/c")
	require.Equal(t, "x", v.Value)
	v, _ = s.Snapshot().Value("app/when")
	require.Equal(t, "1970-01-01T00:00:01.5Z", v.Value)

	store := config.NewStore(db, config.StoreConfig{})
	require.EqualValues(t, 1, set(t, store, config.Write{Path: "app/n", Value: 6}).Version)
	records, err := store.History(t.Context(), config.Filter{Under: "app/n"}, 0)
	require.NoError(t, err)
	require.Equal(t, 5.0, records[0].Old)
	_, err = db.Collection(config.Collection).InsertOne(t.Context(), bson.M{"_id": "x", "path": "app x", "scope": "global", "value": 1})
	require.NoError(t, err)
	_, err = s.Refresh(t.Context())
	require.ErrorContains(t, err, `"app x" is no path of a setting`)
}

func TestExportAndImport(t *testing.T) {
	ctx := t.Context()
	ring := keyring(t, testKey)
	from := config.NewStore(teststore.Database(t), config.StoreConfig{Keyring: ring})
	set(t, from, config.Write{Path: "app/n", Value: 5})
	set(t, from, config.Write{Path: "app/list", Value: []any{"a", 1}, Scope: config.InEnvironment("test")})
	set(t, from, config.Write{Path: "app/secret/pin", Value: "hush"})
	set(t, from, config.Write{Path: "app/secret/ref", Value: "@/run/secrets/x"})
	exported, err := from.Export(ctx, config.Filter{})
	require.NoError(t, err)
	yaml, err := config.YAML(exported)
	require.NoError(t, err)
	text, err := json.Marshal(exported)
	require.NoError(t, err)
	for _, text := range [][]byte{yaml, text} {
		require.NotContains(t, string(text), "hush")
		list, err := config.ParseExport(text)
		require.NoError(t, err, "%s", text)
		to := config.NewStore(teststore.Database(t), config.StoreConfig{Keyring: ring})
		set(t, to, config.Write{Path: "app/n", Value: 4})
		set(t, to, config.Write{Path: "app/mine", Value: 4})

		would, err := to.Import(ctx, list, config.Import{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, []config.Imported{
			{Path: "app/list", Scope: "environment:test", New: []any{"a", int64(1)}, Changed: true},
			{Path: "app/n", Scope: "global", Old: int64(4), New: int64(5), Changed: true},
			{Path: "app/secret/pin", Scope: "global", New: "****", Changed: true},
			{Path: "app/secret/ref", Scope: "global", New: "****", Changed: true},
		}, would)
		still, err := to.Get(ctx, "app/n", config.Global)
		require.NoError(t, err)
		require.Equal(t, int64(4), still.Value)

		did, err := to.Import(ctx, list, config.Import{})
		require.NoError(t, err)
		require.Equal(t, would, did)
		pin, err := to.Reveal(ctx, "app/secret/pin", config.Global, func(context.Context) error { return nil })
		require.NoError(t, err)
		require.Equal(t, "hush", pin)
		again, err := to.Import(ctx, list, config.Import{})
		require.NoError(t, err)
		for _, i := range again {
			require.False(t, i.Changed, "%s is so already", i.Path)
		}
		all, err := to.List(ctx, config.Filter{})
		require.NoError(t, err)
		require.Len(t, all, 5, "what is not in the list is left alone")
	}
}

// TestWrongImportsChangeNothing: all is checked first.
func TestWrongImportsChangeNothing(t *testing.T) {
	ctx := t.Context()
	keys := &config.Keys{}
	config.New("app/n", 5, config.In(keys))
	s := config.NewStore(teststore.Database(t), config.StoreConfig{Keyring: keyring(t, testKey)})
	for text, says := range map[string]string{
		"{a: 1}":           "a list of settings is expected",
		"[{pth: app/n}]":   "field pth not found",
		"[{path: app/n, }": "did not find",
	} {
		_, err := config.ParseExport([]byte(text))
		require.ErrorContains(t, err, says)
	}
	list, err := config.ParseExport([]byte(`
- {path: app/n, value: 7}
- {path: app/n, scope: "server:x", value: many}
- {path: app/m, value: 1}
- {path: app/secret/x, scope: global, sealed: {key: "0123", data: aGVsbG8=}}
- {path: app/n, value: 1, sealed: {key: "0123", data: aGVsbG8=}}
`))
	require.NoError(t, err)
	_, err = s.Import(ctx, list, config.Import{Declarations: keys.Declarations()})
	faults, ok := errors.AsType[*config.FaultsError](err)
	require.True(t, ok, "%v", err)
	require.Len(t, faults.Faults, 4)
	require.ErrorIs(t, err, config.ErrUndeclared)
	require.ErrorIs(t, err, config.ErrSealed)
	all, err := s.List(ctx, config.Filter{})
	require.NoError(t, err)
	require.Empty(t, all)
	done, err := s.Import(ctx, list[:1], config.Import{Declarations: keys.Declarations()})
	require.NoError(t, err)
	require.Equal(t, []config.Imported{{Path: "app/n", Scope: "global", New: int64(7), Changed: true}}, done)
}

// TestStoreAway: errors say what could not be done.
func TestStoreAway(t *testing.T) {
	db := teststore.Database(t)
	s := config.NewStore(db, config.StoreConfig{})
	require.NoError(t, db.Client().Disconnect(t.Context()))
	_, err := s.Set(t.Context(), config.Write{Path: "app/n", Value: 1})
	require.ErrorIs(t, err, config.ErrUnavailable)
	require.ErrorIs(t, err, mongo.ErrClientDisconnected)
	_, err = s.List(t.Context(), config.Filter{})
	require.ErrorIs(t, err, config.ErrUnavailable)
	_, err = s.History(t.Context(), config.Filter{}, 0)
	require.ErrorIs(t, err, config.ErrUnavailable)
}
