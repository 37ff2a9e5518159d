package console

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
)

func TestWhoMayDoWhatIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "console.md"))
	require.NoError(t, err)
	var rows []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") && strings.Count(line, "|") == 5 {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, p := range permissions {
		readOnly := "no"
		if p.readOnly {
			readOnly = "yes"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", p.permission, p.doc, p.least, readOnly))
	}
	require.Equal(t, want, rows)
}

func TestRolesAllowWhatTheTableSays(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	s.start(busy, "web-1")
	for _, test := range []struct {
		name, path string
		form       []string
		allowed    []string
	}{
		{"ping", "/act/publish", []string{"subscriber", "server", "action", "ping", "matched", "1"}, []string{"vera", "otto", "alice"}},
		{"pause", "/act/publish", []string{"subscriber", "server", "action", "pause", "matched", "1"}, []string{"otto", "alice"}},
		{"dump", "/act/publish", []string{"subscriber", "worker", "action", "thread_dump", "matched", "1"}, []string{"otto", "alice"}},
		{"any parameters", "/act/publish", []string{"subscriber", "server", "action", "pause", "matched", "1", "mode", "json", "json", `{"sticky": false}`}, []string{"alice"}},
		{"purge", "/purge", nil, []string{"alice"}},
	} {
		for _, who := range []string{"vera", "otto", "alice"} {
			before := s.published()
			res := s.as(who).post(test.path, test.form...)
			if contains(test.allowed, who) {
				require.Equal(t, http.StatusSeeOther, res.status, "%s by %s: %s", test.name, who, res.body)
				continue
			}
			require.Equal(t, http.StatusForbidden, res.status, "%s by %s", test.name, who)
			require.Contains(t, res.body, who+" has the role")
			require.Equal(t, before, s.published())
		}
	}
	require.NotContains(t, s.as("vera").page("/"), "server pause", "a viewer has no buttons")
}

func contains(list []string, one string) bool {
	for _, x := range list {
		if x == one {
			return true
		}
	}
	return false
}

func TestExecIsForAdmins(t *testing.T) {
	for action, want := range map[[2]string]permission{
		{"exec", "run"}: mayExec, {"server", "ping"}: mayAsk, {"config", "list"}: mayAsk, {"config", "refresh"}: mayOperate, {"user", "deploy"}: mayOperate,
	} {
		require.Equal(t, want, permissionFor(event.Event{Name: action[0], Action: action[1]}), action)
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	s := newSite(t, Config{Users: users(t), ReadOnly: true})
	s.start(busy, "web-1")
	c := s.as("alice")
	require.Contains(t, c.page("/"), "read-only")
	require.NotContains(t, c.page("/"), "server pause")
	for path, form := range map[string][]string{
		"/act/publish": {"subscriber", "server", "action", "pause", "matched", "1"},
		"/purge":       nil,
	} {
		res := c.post(path, form...)
		require.Equal(t, http.StatusForbidden, res.status, path)
		require.Contains(t, res.body, "read-only")
	}
	require.Zero(t, s.published())
	res := c.post("/act/publish", "subscriber", "server", "action", "ping", "matched", "1")
	require.Equal(t, http.StatusSeeOther, res.status, "it may be asked how servers are")
}

func TestOtherSitesCannotAct(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	for name, edit := range map[string]func(*http.Request){
		"another origin":     func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"another site":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a sibling domain":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"a name of its own":  func(r *http.Request) { r.Host = "evil.example" },
		"a name with a port": func(r *http.Request) { r.Host = "evil.example:80" },
	} {
		res := s.client().do("POST", "/act/publish", values("subscriber", "server", "action", "pause", "matched", "1"), edit)
		require.Contains(t, []int{http.StatusForbidden, http.StatusMisdirectedRequest}, res.status, name)
	}
	require.Zero(t, s.published())
	res := s.client().do("POST", "/act/publish", values("subscriber", "server", "action", "pause", "matched", "1"),
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") })
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
}

func TestWithoutALoginThisMachineAlone(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:8787": true, "localhost": true, "localhost:80": true, "[::1]:8787": true, "[::1]": true, "127.8.9.1": true,
		"example.org": false, "10.0.0.7:8787": false, "localhost.example.org": false, "": false,
	} {
		require.Equal(t, want, isHere(host), host)
	}
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "10.0.0.7:1": false, "nonsense": false,
	} {
		err := fromHere(&http.Request{RemoteAddr: address, Host: "localhost"})
		require.Equal(t, want, err == nil, address)
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	c := s.client()
	res := c.get("/events?q=a")
	require.Equal(t, http.StatusSeeOther, res.status)
	require.Equal(t, "/login?to=%2Fevents%3Fq%3Da", res.header.Get("Location"))
	require.Contains(t, c.page("/login?to=%2Fevents%3Fq%3Da"), `value="/events?q=a"`)

	res = c.post("/login", "name", "otto", "password", "wrong")
	require.Equal(t, http.StatusUnauthorized, res.status)
	require.Contains(t, res.body, "no such user, or another password")
	require.NotContains(t, res.body, "wrong")
	res = c.post("/login", "name", "nobody", "password", "wrong")
	require.Contains(t, res.body, "no such user, or another password", "it does not tell which names there are")

	res = c.post("/login", "name", "otto", "password", "ottootto", "to", "/events?q=a")
	require.Equal(t, "/events?q=a", res.header.Get("Location"))
	cookie := res.header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		require.Contains(t, cookie, part)
	}
	c.page("/events")
	res = c.post("/logout")
	require.Equal(t, http.StatusSeeOther, res.status)
	require.Equal(t, http.StatusSeeOther, c.get("/events").status, "logged out")

	basic := s.client().do("GET", "/", nil, func(r *http.Request) { r.SetBasicAuth("vera", "veravera") })
	require.Equal(t, http.StatusOK, basic.status, "scripts log in with each request")
}

func TestCookiesAreKeptToTLS(t *testing.T) {
	s := newSite(t, Config{Users: users(t), SecureCookies: true})
	res := s.client().post("/login", "name", "otto", "password", "ottootto")
	require.Contains(t, res.header.Get("Set-Cookie"), "Secure")
}

func TestScriptsMayAskOften(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	for range 4 * loginBurst {
		res := s.client().do("GET", "/", nil, func(r *http.Request) { r.SetBasicAuth("vera", "veravera") })
		require.Equal(t, http.StatusOK, res.status, "what was right is known")
	}
	res := s.client().do("GET", "/", nil, func(r *http.Request) { r.SetBasicAuth("vera", "veraver") })
	require.Equal(t, http.StatusSeeOther, res.status)
}

func TestTooManyLogins(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	for range loginBurst {
		require.Equal(t, http.StatusUnauthorized, s.client().post("/login", "name", "otto", "password", "wrong").status)
	}
	res := s.client().post("/login", "name", "otto", "password", "ottootto")
	require.Equal(t, http.StatusTooManyRequests, res.status)
	require.Contains(t, res.body, "wait a minute")
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		idle, used := s.begin(User{Name: "a"}), s.begin(User{Name: "b"})
		for range 8 * 24 * 2 {
			time.Sleep(time.Hour / 2)
			if _, ok := s.find(used); !ok {
				break
			}
		}
		_, ok := s.find(used)
		require.False(t, ok, "it has a life, however it is used")
		_, ok = s.find(idle)
		require.False(t, ok)
		fresh := s.begin(User{Name: "c"})
		time.Sleep(sessionIdle - time.Minute)
		_, ok = s.find(fresh)
		require.True(t, ok)
		time.Sleep(sessionIdle + time.Minute)
		_, ok = s.find(fresh)
		require.False(t, ok)
	})
}

func TestNobodyIsSentToOtherSites(t *testing.T) {
	for to, want := range map[string]string{
		"/events?q=a": "/events?q=a", "": "/", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "/logout": "/", "/login": "/",
	} {
		require.Equal(t, want, backTo(to), to)
	}
}

func TestFileOfUsers(t *testing.T) {
	const hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	for want, text := range map[string]string{
		"there are no users":     "users: []",
		"is no role":             "users: [{name: a, role: boss, password: " + hash + "}]",
		"is no bcrypt hash":      "users: [{name: a, role: admin, password: secret}]",
		"is there twice":         "users: [{name: a, role: admin, password: " + hash + "}, {name: a, role: admin, password: " + hash + "}]",
		"is empty, or has blank": "users: [{name: 'a b', role: admin, password: " + hash + "}]",
		"field rule not found":   "users: [{name: a, rule: admin, password: " + hash + "}]",
		"cost of 4 is too low":   "users: [{name: a, role: admin, password: $2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy}]",
	} {
		_, err := parseUsers([]byte(text))
		require.ErrorContains(t, err, want)
	}
	_, err := HashPassword("short")
	require.ErrorContains(t, err, "shorter than 8")
	_, err = HashPassword(strings.Repeat("x", 73))
	require.ErrorContains(t, err, "longer than 72")
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	s := newSite(t, Config{})
	for _, path := range []string{"/", "/static/console.css", "/nowhere", "/servers/7"} {
		h := s.client().get(path).header
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'self'", path)
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe", path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
	}
	require.Equal(t, http.StatusNotFound, s.client().get("/nowhere").status)
	require.Equal(t, http.StatusNotFound, s.client().get("/static/").status, "no listings")
}

func TestAnApplicationsOwnLogin(t *testing.T) {
	s := newSite(t, Config{Authenticate: func(r *http.Request) (User, error) {
		if name := r.Header.Get("X-User"); name != "" {
			return User{name, Viewer}, nil
		}
		return User{}, fmt.Errorf("who are you?")
	}})
	res := s.client().get("/")
	require.Equal(t, http.StatusUnauthorized, res.status)
	require.Contains(t, res.body, "who are you?")
	res = s.client().do("GET", "/", nil, func(r *http.Request) { r.Header.Set("X-User", "eve") })
	require.Equal(t, http.StatusOK, res.status)
	require.Contains(t, res.body, "eve")
	require.Equal(t, http.StatusNotFound, s.client().do("GET", "/login", nil, func(r *http.Request) { r.Header.Set("X-User", "eve") }).status)
}
