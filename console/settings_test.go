package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// startWithSettings runs a server that has live settings, one of its own among them.
func (s *site) startWithSettings(name string) *config.Settings {
	s.t.Helper()
	live, err := config.Open(s.t.Context(), config.Config{
		Store: config.NewStore(s.db, config.StoreConfig{Keyring: s.cfg.Keyring}), Member: config.Member{Server: name},
	})
	require.NoError(s.t, err)
	s.startAs(server.Config{
		Bus: event.Config{Identity: event.Identity{Name: name}}, Pool: worker.Config{Workers: 2}, Settings: live,
	}, busy)
	return live
}

func TestSettingsAreSetComparedAndRefreshed(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	s.startWithSettings("web-1")
	c := s.as("alice")
	require.Contains(t, c.page("/settings"), "fleetcast/max_workers", "what servers declare is listed, though it is not set")
	require.Contains(t, c.page("/settings?q=workers&set=1"), "There is no such setting")
	form := c.page("/settings/edit?path=fleetcast/max_workers&scope=global")
	require.Contains(t, form, `name="if_version" value="0"`)

	res := c.post("/settings/set", "path", "fleetcast/max_workers", "scope", "global", "if_version", "0", "value", "many")
	require.Equal(t, http.StatusUnprocessableEntity, res.status, res.body)
	require.Contains(t, res.body, `id="fault"`)
	require.Contains(t, res.body, `value="many"`, "what was typed stays")
	require.Contains(t, c.page("/settings?set=1"), "There is no such setting", "nothing was set")

	res = c.post("/settings/set", "path", "fleetcast/max_workers", "scope", "global", "if_version", "0", "value", "3", "refresh", "1")
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
	require.True(t, strings.HasPrefix(res.header.Get("Location"), "/events/"), res.header.Get("Location"))
	s.await("the answer", func() bool {
		return strings.Contains(c.page(res.header.Get("Location")), "fleetcast/max_workers 2 → 3") || strings.Contains(c.page(res.header.Get("Location")), "max_workers")
	})
	s.await("the third worker", func() bool {
		entries, err := s.registry.List(t.Context())
		return err == nil && len(entries) == 1 && len(entries[0].Heartbeat.Workers) == 3
	})

	res = c.post("/settings/set", "path", "fleetcast/max_workers", "scope", "global", "if_version", "0", "value", "4")
	require.Equal(t, http.StatusConflict, res.status, res.body)
	require.Contains(t, res.body, "nothing was changed")
	require.Contains(t, res.body, `name="if_version" value="1"`, "who goes on knows")
	require.Contains(t, res.body, `value="4"`)

	res = c.post("/settings/set", "path", "fleetcast/max_workers", "kind", "server", "name", "web-9", "if_version", "0", "value", "4", "refresh", "1")
	require.Contains(t, c.page(res.header.Get("Location")), "No living server is concerned")
	page := c.page("/settings/edit?path=fleetcast/max_workers&scope=server:web-9")
	require.Contains(t, page, "No server in the registry is server web-9")
	require.Contains(t, page, "alice@", "the history says who")
	require.Contains(t, c.page("/audit?user=alice&subscriber=config"), "config set fleetcast/max_workers to 4")
	require.Contains(t, c.page("/settings/history?path=fleetcast"), "set to 3")

	id := s.fleet.now(t.Context()).Rows[0].Server.ID
	effective := c.post("/settings/effective", "id", id)
	require.Equal(t, http.StatusOK, effective.status, effective.body)
	require.Contains(t, effective.body, "fleetcast/max_workers")

	res = c.post("/settings/unset", "path", "fleetcast/max_workers", "scope", "server:web-9", "if_version", "1")
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
	res = c.post("/settings/unset", "path", "fleetcast/max_workers", "scope", "server:web-9", "if_version", "2")
	require.Equal(t, http.StatusNotFound, res.status, res.body)
	for _, bad := range []string{"/settings/edit?path=a//b", "/settings/edit?path=a&scope=planet:x", "/settings/history?path=a//b"} {
		require.Equal(t, http.StatusUnprocessableEntity, c.get(bad).status, bad)
	}
}

func TestSettingsAreForAdmins(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	c := s.as("otto")
	require.Contains(t, c.page("/settings/edit?path=fleetcast/max_workers"), "but not change it")
	for _, path := range []string{"/settings/set", "/settings/unset"} {
		res := c.post(path, "path", "fleetcast/max_workers", "scope", "global", "if_version", "0", "value", "3")
		require.Equal(t, http.StatusForbidden, res.status, path)
	}
	list, err := s.editor(t.Context(), User{}).List(t.Context(), config.Filter{})
	require.NoError(t, err)
	require.Empty(t, list)
}

// keys are some to encrypt settings with.
func keys(t testing.TB) *config.Keyring {
	t.Helper()
	ring, err := config.KeyringFromEnv(func(name string) string {
		if name == config.KeyVariable {
			return "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
		}
		return ""
	})
	require.NoError(t, err)
	return ring
}

func TestSecretSettingsAreNeverShown(t *testing.T) {
	s := newSite(t, Config{Keyring: keys(t)})
	c := s.client()
	res := c.post("/settings/set", "path", "app/secret/key", "scope", "global", "if_version", "0", "value", "hunter2", "undeclared", "1")
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
	for _, path := range []string{"/settings", "/settings/edit?path=app/secret/key", "/settings/history", "/audit"} {
		page := c.page(path)
		require.NotContains(t, page, "hunter2", path)
		require.Contains(t, page, "app/secret/key", path)
	}
	res = c.post("/settings/set", "path", "app/secret/key", "scope", "global", "if_version", "7", "value", "hunter3", "undeclared", "1")
	require.Equal(t, http.StatusConflict, res.status)
	require.NotContains(t, res.body, "hunter3", "not even what was typed")

	plain := newSite(t, Config{}).client()
	res = plain.post("/settings/set", "path", "app/secret/key", "scope", "global", "if_version", "0", "value", "hunter2", "undeclared", "1")
	require.Equal(t, http.StatusUnprocessableEntity, res.status)
	require.Contains(t, res.body, "there is no key")
}
