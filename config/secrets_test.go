package config_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

const otherKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestKeyring(t *testing.T) {
	raw := make([]byte, 32)
	raw[0] = 0xfb
	one := keyring(t, testKey).IDs()
	require.Equal(t, one, keyring(t, strings.ToUpper(testKey)).IDs())
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		require.Equal(t, keyring(t, base64.StdEncoding.EncodeToString(raw)).IDs(), keyring(t, e.EncodeToString(raw)).IDs())
	}
	require.Len(t, keyring(t, testKey+",\n"+otherKey).IDs(), 2)
	require.Nil(t, keyring(t, " \n"))
	for _, text := range []string{"short", testKey + "ff", otherKey + " hunter2"} {
		_, err := config.ParseKeyring(text)
		require.ErrorContains(t, err, "32 bytes in base64 or hexadecimal")
		require.NotContains(t, err.Error(), "hunter2")
	}

	file := filepath.Join(t.TempDir(), "key")
	rewrite(t, file, "%s\n", testKey)
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for name, getenv := range map[string]func(string) string{"text": env(config.KeyVariable, testKey), "file": env(config.KeyFileVariable, file)} {
		k, err := config.KeyringFromEnv(getenv)
		require.NoError(t, err, name)
		require.Equal(t, one, k.IDs())
	}
	k, err := config.KeyringFromEnv(env())
	require.NoError(t, err)
	require.Nil(t, k)
	rewrite(t, file, "\n")
	for says, getenv := range map[string]func(string) string{
		"are both set":           env(config.KeyVariable, testKey, config.KeyFileVariable, file),
		file + " is empty":       env(config.KeyFileVariable, file),
		"no such file":           env(config.KeyFileVariable, "/no/such"),
		"FLEETCAST_SETTINGS_KEY": env(config.KeyVariable, "x"),
	} {
		_, err := config.KeyringFromEnv(getenv)
		require.ErrorContains(t, err, says)
	}
}

// vault is a store with secrets in it, and everything that could give them away.
type vault struct {
	*testing.T
	store *config.Store
	keys  *config.Keys
	said  bytes.Buffer
}

func newVault(t *testing.T) *vault {
	v := &vault{T: t, keys: &config.Keys{}}
	config.New("app/token", "", config.In(v.keys), config.Secret(), config.Check(func(s string) error {
		if strings.Contains(s, "bad") {
			return fmt.Errorf("%s is bad", s)
		}
		return nil
	}))
	v.store = config.NewStore(teststore.Database(t), config.StoreConfig{Keyring: keyring(t, testKey)})
	return v
}

// say notes what anybody could see.
func (v *vault) say(things ...any) {
	v.Helper()
	for _, thing := range things {
		if err, ok := thing.(error); ok {
			thing = err.Error()
		}
		text, err := json.Marshal(thing)
		require.NoError(v, err)
		v.said.Write(text)
		raw, err := bson.Marshal(bson.M{"thing": thing})
		require.NoError(v, err)
		v.said.Write(raw)
		fmt.Fprintf(&v.said, "%v %+v", thing, thing)
	}
}

// TestSecretsAreNeverShown follows secrets on all their ways but the one to the code
// that needs them.
func TestSecretsAreNeverShown(t *testing.T) {
	v := newVault(t)
	ctx := zerolog.New(&v.said).WithContext(t.Context())
	declared := v.keys.Declarations()
	v.say(declared)
	for _, w := range []config.Write{
		{Path: "app/token", Value: "hush-1", Declarations: declared},
		{Path: "app/token", Value: "hush-2", Declarations: declared},
		{Path: "app/secret/pin", Value: []int{4711, 815}},
		{Path: "app/marked", Value: map[string]string{"a": "hush-3"}, Secret: true},
	} {
		is, err := v.store.Set(ctx, w)
		require.NoError(t, err)
		require.True(t, is.Secret)
		v.say(is)
	}
	list, err := v.store.List(ctx, config.Filter{})
	require.NoError(t, err)
	records, err := v.store.History(ctx, config.Filter{}, 0)
	require.NoError(t, err)
	exported, err := v.store.Export(ctx, config.Filter{})
	require.NoError(t, err)
	imported, err := v.store.Import(ctx, exported, config.Import{DryRun: true})
	require.NoError(t, err)
	v.say(list, records, exported, imported)

	s, err := config.Open(ctx, config.Config{Keys: v.keys, Store: v.store, Environ: []string{}})
	require.NoError(t, err)
	v.say(s.Values(), s.Declarations())
	_, err = v.store.Set(ctx, config.Write{Path: "app/token", Value: "hush-4"}) // in the clear: nobody says that it is secret
	require.NoError(t, err)
	changes, err := s.Refresh(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"app/token"}, changes.Paths())
	v.say(changes, s.Values())
	require.Contains(t, v.said.String(), "not encrypted in the collection")
	_, err = config.Read(s, "app/token", 5)
	require.Error(t, err)
	v.say(err)
	_, err = v.store.Set(ctx, config.Write{Path: "app/secret/x", Value: "hush", Declarations: []config.Declaration{{Path: "app/secret/x", Type: "integer"}}})
	require.Error(t, err)
	v.say(err)
	for _, value := range []any{"hush-bad", []string{"hush"}} {
		_, err = config.Open(ctx, config.Config{Keys: v.keys, Environ: []string{}, Flags: []config.Flag{{Path: "app/token", Name: "--token", Value: value}}})
		require.Error(t, err)
		v.say(err)
	}
	require.NotContains(t, v.said.String(), "hush")
	require.NotContains(t, v.said.String(), "4711")

	raw, err := config.Documents(ctx, v.store)
	require.NoError(t, err)
	require.NotContains(t, raw, "hush-3")
	require.NotContains(t, raw, "hush-2")
	_, err = v.store.Set(ctx, config.Write{Path: "app/token", Value: "hush-5", Declarations: declared})
	require.NoError(t, err)
	raw, err = config.Documents(ctx, v.store)
	require.NoError(t, err)
	require.NotContains(t, raw, "hush", "what was in the clear is gone from the history, too")
	records, err = v.store.History(ctx, config.Filter{Under: "app/token"}, 0)
	require.NoError(t, err)
	require.Len(t, records, 4)
	for _, r := range records {
		require.Equal(t, "****", r.New, "it was set")
	}
	token, err := v.store.Reveal(ctx, "app/token", config.Global, func(context.Context) error { return nil })
	require.NoError(t, err)
	require.Equal(t, "hush-5", token)
}

// TestRevealIsRecorded: no record, no secret.
func TestRevealIsRecorded(t *testing.T) {
	v := newVault(t)
	set(t, v.store, config.Write{Path: "app/secret/pin", Value: "hush"})
	full := errors.New("the disk is full")
	value, err := v.store.Reveal(t.Context(), "app/secret/pin", config.Global, func(context.Context) error { return full })
	require.Nil(t, value)
	require.ErrorIs(t, err, full)
	_, err = v.store.Reveal(t.Context(), "app/secret/pin", config.Global, nil)
	require.ErrorContains(t, err, "wants to be recorded")
	_, err = v.store.Reveal(t.Context(), "app/secret/pin", "server:x", nil)
	require.ErrorIs(t, err, config.ErrNotFound)
}

// TestSealedValuesKeepTheirPlace: one that is altered, moved to another path or scope,
// or made with another key, is refused; the old settings stay.
func TestSealedValuesKeepTheirPlace(t *testing.T) {
	v := newVault(t)
	ctx := t.Context()
	set(t, v.store, config.Write{Path: "app/secret/a", Value: "hush-a"})
	set(t, v.store, config.Write{Path: "app/secret/b", Value: "hush-b"})
	s := open(t, config.Config{Keys: v.keys, Store: v.store})
	sealed := func(path string) config.Sealed {
		list, err := v.store.Export(ctx, config.Filter{Under: path})
		require.NoError(t, err)
		return *list[0].Sealed
	}
	a, b := sealed("app/secret/a"), sealed("app/secret/b")
	altered := config.Sealed{Key: a.Key, Data: bytes.Clone(a.Data)}
	altered.Data[len(altered.Data)-1] ^= 1
	for name, wrong := range map[string]config.Sealed{
		"another path": b, "altered": altered, "cut": {Key: a.Key, Data: a.Data[:5]}, "empty": {Key: a.Key}, "another key": {Key: "0123456789ab", Data: a.Data},
	} {
		require.NoError(t, config.PutSealed(ctx, v.store, "app/secret/a", config.Global, wrong), name)
		_, err := s.Refresh(ctx)
		require.ErrorIs(t, err, config.ErrSealed, name)
		require.ErrorContains(t, err, "app/secret/a (settings global)", name)
		got, err := config.Read(s, "app/secret/a", "")
		require.NoError(t, err)
		require.Equal(t, "hush-a", got)
	}
	require.NoError(t, config.PutSealed(ctx, v.store, "app/secret/a", config.Global, a))
	_, err := s.Refresh(ctx)
	require.NoError(t, err)
	require.NoError(t, config.PutSealed(ctx, v.store, "app/secret/a", config.OnServer("x"), a))
	_, err = config.Open(ctx, config.Config{Keys: v.keys, Store: v.store, Environ: []string{}, Member: config.Member{Server: "x"}})
	require.ErrorIs(t, err, config.ErrSealed, "another scope")
	require.NotEqual(t, a.Data, func() []byte {
		set(t, v.store, config.Write{Path: "app/secret/a", Value: "hush-a"})
		return sealed("app/secret/a").Data
	}(), "equal values look different")
}

// TestSecretsWithoutAKey: it is said what is missing.
func TestSecretsWithoutAKey(t *testing.T) {
	v := newVault(t)
	set(t, v.store, config.Write{Path: "app/secret/a", Value: "hush"})
	poor := config.WithKeyring(v.store, nil)
	declared := &config.Keys{}
	config.New("app/secret/a", "", config.In(declared))
	_, err := config.Open(t.Context(), config.Config{Keys: declared, Store: poor, Environ: []string{}})
	require.ErrorIs(t, err, config.ErrNoKey)
	require.ErrorContains(t, err, "set FLEETCAST_SETTINGS_KEY or FLEETCAST_SETTINGS_KEY_FILE")
	_, err = poor.Set(t.Context(), config.Write{Path: "app/secret/b", Value: "hush"})
	require.ErrorIs(t, err, config.ErrNoKey)
	require.NotContains(t, err.Error(), "hush")
	set(t, poor, config.Write{Path: "app/secret/b", Value: "@/run/secrets/b"}) // which tells nothing
	list, err := poor.List(t.Context(), config.Filter{})
	require.NoError(t, err, "to list them needs no key")
	require.Len(t, list, 2)
}

// TestSecretsInTheClear: what was set before it was declared secret is not shown either.
func TestSecretsInTheClear(t *testing.T) {
	v := newVault(t)
	ctx := t.Context()
	set(t, v.store, config.Write{Path: "app/token", Value: "hush-1"})
	set(t, v.store, config.Write{Path: "app/token", Value: "hush-2"})
	set(t, v.store, config.Write{Path: "app/host", Value: "db1"})
	store := config.WithSecret(v.store, func(path string) bool { return path == "app/token" })
	one, err := store.Get(ctx, "app/token", config.Global)
	require.NoError(t, err)
	require.True(t, one.Secret)
	list, err := store.List(ctx, config.Filter{})
	require.NoError(t, err)
	require.Equal(t, "db1", list[0].Value)
	records, err := store.History(ctx, config.Filter{}, 0)
	require.NoError(t, err)
	_, err = store.Export(ctx, config.Filter{})
	require.ErrorContains(t, err, "app/token for global is secret, and in the collection in the clear")
	imported, err := store.Import(ctx, []config.Exported{{Path: "app/token", Scope: config.Global, Value: "hush-3"}}, config.Import{})
	require.NoError(t, err)
	require.True(t, imported[0].Changed)
	gone, err := store.Unset(ctx, "app/token", config.Global, nil)
	require.NoError(t, err)
	v.say(one, list, records, imported, gone)
	require.NotContains(t, v.said.String(), "hush")
}

// TestSecretsOfOthers: a process without a key works beside one that has secrets, and
// is told when it asks for one of them.
func TestSecretsOfOthers(t *testing.T) {
	v := newVault(t)
	poor := config.WithKeyring(v.store, nil)
	ctx := zerolog.New(&v.said).WithContext(t.Context())
	s, err := config.Open(ctx, config.Config{Keys: &config.Keys{}, Store: poor, Environ: []string{}})
	require.NoError(t, err)
	set(t, v.store, config.Write{Path: "app/secret/a", Value: "hush"})
	set(t, v.store, config.Write{Path: "app/smtp", Value: map[string]string{"password": "hush"}, Secret: true})
	for range 2 {
		changes, err := s.Refresh(ctx)
		require.NoError(t, err)
		require.Empty(t, changes)
	}
	require.Empty(t, s.Values())
	require.Equal(t, 2, strings.Count(v.said.String(), "the secret is left out"), "once each: %s", &v.said)

	_, err = config.Read(s, "app/secret/a", "")
	require.ErrorIs(t, err, config.ErrNoKey)
	require.ErrorContains(t, err, "app/secret/a (settings global)")
	var app struct {
		Secret struct{ A any }
		SMTP   any
	}
	require.ErrorIs(t, s.Decode("app", &app), config.ErrNoKey)
	var smtp struct{ Password string }
	require.ErrorIs(t, s.Decode("app/smtp", &smtp), config.ErrNoKey)

	s = open(t, config.Config{Keys: &config.Keys{}, Store: poor, Environ: []string{"APP_SECRET_A=mine"}})
	a, err := config.Read(s, "app/secret/a", "")
	require.NoError(t, err, "a higher layer has it")
	require.Equal(t, "mine", a)

	below := &config.Keys{}
	config.New("app/smtp/password", "", config.In(below))
	_, err = config.Open(ctx, config.Config{Keys: below, Store: poor, Environ: []string{}})
	require.ErrorIs(t, err, config.ErrNoKey, "what is declared is missed, in a tree, too")
}

// TestKeysAreRotated: the first key encrypts, all decrypt.
func TestKeysAreRotated(t *testing.T) {
	v := newVault(t)
	ctx := t.Context()
	set(t, v.store, config.Write{Path: "app/secret/a", Value: "hush"})
	set(t, v.store, config.Write{Path: "app/token", Value: "in the clear"})
	set(t, v.store, config.Write{Path: "app/n", Value: 1})
	set(t, v.store, config.Write{Path: "app/secret/ref", Value: "@/run/secrets/b"})
	both := config.WithKeyring(v.store, keyring(t, otherKey+" "+testKey))
	pin := func(s *config.Store) (any, error) {
		return s.Reveal(ctx, "app/secret/a", config.Global, func(context.Context) error { return nil })
	}
	for _, want := range []int{2, 0} {
		value, err := pin(both)
		require.NoError(t, err)
		require.Equal(t, "hush", value)
		n, err := both.Reseal(ctx, v.keys.Declarations())
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	_, err := pin(v.store)
	require.ErrorIs(t, err, config.ErrSealed)
	require.ErrorContains(t, err, "it was encrypted with the key "+keyring(t, otherKey).IDs()[0]+", and here is "+keyring(t, testKey).IDs()[0])
	value, err := pin(config.WithKeyring(v.store, keyring(t, otherKey)))
	require.NoError(t, err)
	require.Equal(t, "hush", value)
}
