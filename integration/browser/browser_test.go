package browser_test

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/console"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/cli"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

//go:embed testdata/check.js
var checks string

// users returns the users alice (admin), otto (operator) and vera (viewer), whose
// passwords are "correct horse".
func users(t *testing.T) *console.Users {
	t.Helper()
	hash, err := console.HashPassword("correct horse")
	require.NoError(t, err)
	var text strings.Builder
	text.WriteString("users:\n")
	for name, role := range map[string]console.Role{"alice": console.Admin, "otto": console.Operator, "vera": console.Viewer} {
		fmt.Fprintf(&text, "  - {name: %s, role: %s, password: '%s'}\n", name, role, hash)
	}
	file := filepath.Join(t.TempDir(), "users.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	u, err := console.ReadUsers(file)
	require.NoError(t, err)
	return u
}

func (b *tab) login(name, password string) {
	b.t.Helper()
	b.do(chromedp.SetValue(chromedp.CSS(`input[name=name]`), name), chromedp.SetValue(chromedp.CSS(`input[name=password]`), password))
	b.click("form button.primary")
}

// tick ticks a server, in one step: its row may be replaced at any time.
func (b *tab) tick(name string) {
	b.t.Helper()
	require.True(b.t, eval[bool](b, `(() => { const e = document.querySelector('input[aria-label="pick `+name+`"]'); e.focus(); e.click(); return e.checked; })()`))
}

// act picks servers on the page of the fleet, and asks for something.
func (b *tab) act(do string, names ...string) {
	b.t.Helper()
	for _, name := range names {
		b.tick(name)
	}
	b.click(`button[value="` + do + `"]`)
}

// dump takes a thread dump of all workers, and returns the path of its page.
func (b *tab) dump() string {
	b.t.Helper()
	b.visit("/act?subscriber=worker&action=thread_dump")
	b.click("button.primary")
	b.met(`document.querySelector("h1 .badge").textContent === "complete"`)
	return b.path()
}

func TestEveryPageForEverybody(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	s.start("web-2")
	b := s.open("/")
	first, second := b.dump(), b.dump()
	id := func(path string) string { return strings.TrimPrefix(path, "/events/") }
	pages := []string{
		"/", "/?state=attention", "/servers/" + s.id("web-1"), "/events", first, "/act", "/act?subscriber=server&action=pause",
		"/act?subscriber=server&action=kill", "/act?subscriber=logger&action=set", "/dumps", "/compare?a=" + id(first) + "&b=" + id(second),
		"/settings", "/settings/edit?path=fleetcast/max_workers", "/settings/history", "/audit",
	}
	for _, dark := range []bool{false, true} {
		b.dark(dark)
		for _, page := range pages {
			b.visit(page)
			require.Empty(t, eval[[]string](b, checks), "%s, dark: %v", page, dark)
		}
	}
	b.size(360, 740)
	for _, page := range pages {
		b.visit(page)
		require.LessOrEqual(t, eval[int](b, "document.documentElement.scrollWidth"), 360, "%s is wider than the screen: %s", page,
			eval[string](b, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 361 && !e.closest("pre, .table")).slice(0, 3).map(e => e.outerHTML.slice(0, 200)).join("\n")`))
		require.Empty(t, eval[[]string](b, checks), "%s at 360 px", page)
	}
	b.quiet()
	b.visit("/nowhere")
	require.Empty(t, eval[[]string](b, checks))
	b.complained("404")
}

func TestAPauseFromTheCommandLineIsSeenAtOnce(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	b := s.open("/")
	b.met(`document.getElementById("live-state").textContent === "live"`)
	require.True(t, eval[bool](b, `window.sameOne = true`))
	b.tick("web-1")

	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), cli.Process{
		Args: []string{"pause", "--uri", teststore.URI() + "/" + s.db.Name()}, Stdout: &out, Stderr: &errs,
		Env: func(string) (string, bool) { return "", false },
	})
	require.Zero(t, code, errs.String())
	b.met(`document.querySelector("#rows tr").innerText.includes("paused")`)
	require.True(t, eval[bool](b, "window.sameOne === true"), "the page was not loaded again")
	require.True(t, eval[bool](b, `document.activeElement.getAttribute("aria-label") === "pick web-1" && document.activeElement.checked`),
		"the row is another, but focus and tick are where they were")
	b.visit("/events")
	b.shows("server pause")
}

func TestActingAndTheAnswers(t *testing.T) {
	s := newSite(t, console.Config{})
	for _, name := range []string{"web-1", "web-2", "db-1"} {
		s.start(name)
	}
	b := s.open("/")
	b.act("server pause", "web-1", "db-1")
	text := b.text()
	require.Contains(t, text, "Would reach 2 servers")
	require.Contains(t, text, "web-1")
	require.NotContains(t, text, "web-2")
	require.Zero(t, s.published())
	b.click("button.primary")
	b.met(`document.querySelector("h1 .badge").textContent === "complete"`)
	require.Equal(t, 2, eval[int](b, `document.querySelectorAll("td .badge.done").length`))

	b.visit("/?q=web")
	b.do(chromedp.Click(chromedp.CSS("#all")))
	b.click(`button[value="server kill"]`)
	require.Contains(t, b.text(), "Would reach 2 servers")
	b.do(chromedp.Click(chromedp.CSS("button.danger"))) // which the browser itself refuses
	require.Equal(t, "/act", b.path())
	b.do(chromedp.SetValue(chromedp.CSS(`input[name=count]`), "3"))
	b.click("button.danger")
	b.shows("type the number of servers, 2")
	b.do(chromedp.SetValue(chromedp.CSS(`input[name=count]`), "2"))
	b.click("button.danger")
	b.met(`document.querySelectorAll("td .badge.done").length === 2`)
	require.EqualValues(t, 2, s.published())
	b.complained("422")
}

func TestThreadDumpsAreSearchedAndCompared(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	b := s.open("/")
	first := b.dump()
	require.Contains(t, eval[string](b, `document.querySelector(".dump").textContent`), "printInvoice")
	b.do(chromedp.SendKeys(chromedp.CSS("#stack-search"), "no such function"))
	b.met(`[...document.querySelectorAll(".dump")].every(d => d.hidden)`)
	require.True(t, eval[bool](b, `(() => { const e = document.getElementById("stack-search"); e.value = ""; return e.dispatchEvent(new Event("input")); })()`))
	b.do(chromedp.SendKeys(chromedp.CSS("#stack-search"), "printInvoice"))
	b.met(`[...document.querySelectorAll(".dump details")].some(d => !d.hidden && d.open)`)

	b.dump()
	require.True(t, eval[bool](b, `!!document.querySelector("select[name=a]")`))
	b.click(`form[action="/compare"] button`)
	require.Equal(t, "/compare", b.path())
	require.Contains(t, b.text(), "1 not moved")
	require.Contains(t, eval[string](b, `document.querySelector(".still").textContent`), "printInvoice")
	require.Contains(t, eval[string](b, "location.search"), strings.TrimPrefix(first, "/events/"))

	res, err := http.Get(s.url + first + "/dump.txt")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Contains(t, res.Header.Get("Content-Disposition"), "attachment")
}

func TestPublishingByForm(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	b := s.open("/act")
	b.click(`a[href="/act?subscriber=logger&action=set"]`)
	require.NotContains(t, b.text(), "not right", "nobody has typed anything yet")
	require.Contains(t, b.text(), "Would reach 1 server")
	b.do(chromedp.Click(chromedp.CSS("button.primary")))
	require.Equal(t, "/act", b.path(), "the browser knows what is required")
	b.visit("/act")
	b.click(`a[href="/act?subscriber=server&action=resize"]`)
	b.do(chromedp.SetValue(chromedp.CSS(`[name="p.max_workers"]`), "0"))
	b.do(chromedp.Click(chromedp.CSS("button.primary")))
	require.Equal(t, "/act", b.path(), "the browser knows the least value from the action's table")
	b.do(chromedp.SetValue(chromedp.CSS(`[name="p.max_workers"]`), "3"), chromedp.SetValue(chromedp.CSS(`[name="wait"]`), "soon"))
	b.click("button.primary")
	b.shows("a duration such as 10s")
	require.Equal(t, "3", eval[string](b, `document.querySelector('[name="p.max_workers"]').value`), "what was typed stays")
	b.complained("422")
	b.do(chromedp.SetValue(chromedp.CSS(`[name="wait"]`), "20s"))
	b.click(`button[formaction="/act"]`)
	b.click("button.primary")
	b.met(`document.querySelector("h1 .badge").textContent === "complete"`)
	b.visit("/servers/" + s.id("web-1"))
	b.met(`document.querySelectorAll("section:first-of-type tbody tr").length === 3`)
}

func TestTheStreamOfEventsCanBeHeld(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	b := s.open("/events")
	b.met(`document.getElementById("live-state").textContent === "live"`)
	s.publish("server", "ping", event.Target{})
	b.shows("server ping")
	b.do(chromedp.Click(chromedp.CSS("#hold")))
	s.publish("server", "pause", event.Target{})
	other := s.open("/events")
	other.shows("server pause")
	require.NotContains(t, b.text(), "server pause")
	b.do(chromedp.Click(chromedp.CSS("#hold")))
	b.shows("server pause")
}

func TestLoggingInAndWhatRolesSee(t *testing.T) {
	s := newSite(t, console.Config{Users: users(t)})
	s.start("web-1")
	b := s.open("/audit")
	require.Equal(t, "/login", b.path())
	for _, dark := range []bool{false, true} {
		b.dark(dark)
		require.Empty(t, eval[[]string](b, checks))
	}
	b.login("vera", "wrong password")
	b.shows("no such user, or another password")
	b.complained("401")
	b.login("vera", "correct horse")
	require.Equal(t, "/audit", b.path(), "where she wanted to go")
	b.visit("/")
	require.Zero(t, eval[int](b, `[...document.querySelectorAll("#act, input[name=id]")].filter(e => e.checkVisibility()).length`), "a viewer has nothing to act with")
	b.visit("/act?subscriber=server&action=pause")
	require.Contains(t, b.text(), "but not do it: vera has the role viewer")
	require.Empty(t, eval[[]string](b, checks))
	b.click("form[action='/logout'] button")
	b.visit("/")
	require.Equal(t, "/login", b.path())
	b.login("otto", "correct horse")
	b.shows("otto")
	b.act("server pause", "web-1")
	b.click("button.primary")
	b.shows("otto@")
}

func TestReadOnly(t *testing.T) {
	s := newSite(t, console.Config{ReadOnly: true})
	s.start("web-1")
	b := s.open("/")
	require.Contains(t, b.text(), "read-only")
	require.Zero(t, eval[int](b, `document.querySelectorAll("#act").length`))
	b.visit("/act?subscriber=server&action=stop")
	require.Contains(t, b.text(), "this console is read-only")
	require.Zero(t, eval[int](b, `document.querySelectorAll("form#draft .danger").length`))
}

func TestAFormOnAnotherSiteIsRefused(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><form method="post" action="%s/act/publish">
<input name="subscriber" value="server"><input name="action" value="pause"><input name="matched" value="1"><button>win a prize</button></form>`, s.url)
	}))
	defer evil.Close()
	b := s.open(strings.Replace(evil.URL, "127.0.0.1", "localhost", 1))
	b.click("button")
	require.Contains(t, b.text(), "comes from a page of another site: nothing was done")
	require.Zero(t, s.published())
	b.complained("403")
}

func TestWithoutJavaScript(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	s.start("web-2")
	b := s.open("/login")
	b.complained("404")
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.visit("/")
	require.Contains(t, b.text(), "web-2")
	require.True(t, eval[bool](b, `document.getElementById("page").hidden`), "what needs the script is not there")
	b.act("server pause", "web-1")
	require.Contains(t, b.text(), "Would reach 1 server")
	b.click("button.primary")
	require.Contains(t, b.path(), "/events/")
	s.await("the answer", func() bool { b.visit(b.path()); return strings.Contains(b.text(), "complete") })
}

func TestByKeyboardAlone(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	b := s.open("/")
	b.do(chromedp.KeyEvent(kb.Tab))
	require.Equal(t, "Skip to the content", eval[string](b, "document.activeElement.textContent"))
	require.True(t, eval[bool](b, "document.activeElement.getBoundingClientRect().left >= 0"), "it is seen when it has the focus")
	tabTo := func(script string) {
		t.Helper()
		for range 60 {
			if eval[bool](b, script) {
				require.NotEqual(t, "none", eval[string](b, "getComputedStyle(document.activeElement).outlineStyle"), script)
				return
			}
			b.do(chromedp.KeyEvent(kb.Tab))
		}
		t.Fatalf("Tab does not lead to %s", script)
	}
	tabTo(`document.activeElement.name === "q"`)
	tabTo(`document.activeElement.value === "server pause"`)
	tabTo(`document.activeElement.getAttribute("aria-label") === "pick web-1"`)
	b.do(chromedp.KeyEvent(" "))
	for range 60 { // back to the buttons
		if eval[bool](b, `document.activeElement.value === "server pause"`) {
			break
		}
		b.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
	}
	_, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter))
	require.NoError(t, err)
	b.shows("Would reach 1 server")
	tabTo(`document.activeElement.matches("button.primary")`)
	_, err = chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter))
	require.NoError(t, err)
	b.met(`document.querySelector("h1 .badge").textContent === "complete"`)
}

func TestTimesAreInTheViewersZone(t *testing.T) {
	s := newSite(t, console.Config{})
	s.start("web-1")
	s.publish("server", "ping", event.Target{})
	b := s.open("/events")
	b.shows("server ping")
	require.True(t, eval[bool](b, `(() => { const t = document.querySelector("time"); return t.textContent === new Date(t.dateTime).toLocaleTimeString(undefined, {hour12: false}) && t.title.includes("UTC"); })()`))
}

func TestThePageSaysWhenItIsNotLive(t *testing.T) {
	db := teststore.Database(t)
	c, err := console.Open(t.Context(), db, console.Config{})
	require.NoError(t, err)
	web := httptest.NewServer(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	s := &site{t, db, web.URL}
	b := s.open("/events")
	b.met(`document.getElementById("live-state").textContent === "live"`)
	cancel()
	require.NoError(t, <-done)
	web.Close()
	b.shows("not live")
	b.mu.Lock()
	b.faults = nil // the browser may say that the connection was refused
	b.mu.Unlock()
}
