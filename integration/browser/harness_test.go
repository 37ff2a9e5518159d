// Package browser_test uses the console as people do, in a Chromium.
package browser_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/fleetcast/fleetcast/console"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// atMost bounds each wait; only what is broken reaches it.
const atMost = 40 * time.Second

// chromium is the browser of all tests.
var chromium context.Context

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	_ = os.Setenv("GODEBUG", "tracebacklabels=1") // as the command has it: its dumps tell goroutines apart
	path := browser()
	if path == "" {
		const advice = "no Chromium is on this machine; on Debian: apt-get install chromium fonts-dejavu-core"
		if os.Getenv("FLEETCAST_TEST_BROWSER") == "required" {
			fmt.Fprintln(os.Stderr, "the console cannot be tested in a browser: "+advice)
			return 1
		}
		fmt.Fprintln(os.Stderr, "suites not run here: in a browser ("+advice+")")
		return 0
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.WSURLReadTimeout(atMost))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var end context.CancelFunc
	chromium, end = chromedp.NewContext(allocator)
	if err := chromedp.Do(chromium); err != nil {
		fmt.Fprintln(os.Stderr, "Chromium does not start:", err)
		return 1
	}
	code := teststore.Main(m, goleak.IgnoreCurrent()) // of the browser
	end()
	return code
}

// browser returns the path of a Chromium, empty for none.
func browser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// site is a console that serves, with the fleet of its database.
type site struct {
	t   testing.TB
	db  *mongo.Database
	url string
}

func newSite(t testing.TB, cfg console.Config) *site {
	t.Helper()
	db := teststore.Database(t)
	if cfg.Refresh == 0 {
		cfg.Refresh = 200 * time.Millisecond
	}
	c, err := console.Open(t.Context(), db, cfg)
	require.NoError(t, err)
	web := httptest.NewServer(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		web.Close()
	})
	return &site{t, db, web.URL}
}

// orders is work that goes on until it is cancelled.
var orders = worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
	return worker.Work{Kind: "invoice", ID: "2026-1183", Run: printInvoice}, nil
})

func printInvoice(ctx context.Context) error {
	worker.Describe(ctx, "page 3 of 12")
	<-ctx.Done()
	return ctx.Err()
}

// start runs a server until the test ends.
func (s *site) start(name string, edits ...func(*server.Config)) {
	s.t.Helper()
	cfg := server.Config{
		Bus:  event.Config{Identity: event.Identity{Name: name, Labels: map[string]string{"zone": "eu"}}},
		Pool: worker.Config{Workers: 2, Grace: 200 * time.Millisecond}, ShutdownTimeout: 100 * time.Millisecond,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	levels, err := logging.New("info")
	require.NoError(s.t, err)
	cfg.Logger = levels
	srv, err := server.Open(s.t.Context(), s.db, orders, cfg)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	s.await(name+" in the registry", func() bool {
		entries, err := server.NewRegistry(s.db).List(s.t.Context())
		return err == nil && slices.ContainsFunc(entries, func(e server.Entry) bool { return e.Name == name })
	})
}

func (s *site) await(what string, met func() bool) {
	s.t.Helper()
	require.Eventually(s.t, met, atMost, 50*time.Millisecond, what)
}

// id is that of a server.
func (s *site) id(name string) string {
	s.t.Helper()
	entries, err := server.NewRegistry(s.db).List(s.t.Context())
	require.NoError(s.t, err)
	for _, e := range entries {
		if e.Name == name {
			return e.ID.Hex()
		}
	}
	s.t.Fatalf("there is no server %s", name)
	return ""
}

// publish publishes an event as somebody else, and waits for the answers.
func (s *site) publish(subscriber, action string, to event.Target) {
	s.t.Helper()
	bus, err := event.Open(s.t.Context(), s.db, event.Config{Directory: server.NewRegistry(s.db), App: "deploy"})
	require.NoError(s.t, err)
	_, err = bus.CallFunc(s.t.Context(), event.New(subscriber, action, nil, event.To(to)), event.Callbacks{}, event.Wait(atMost))
	require.NoError(s.t, err)
}

// published is how many events are in the log.
func (s *site) published() int64 {
	n, err := s.db.Collection(event.EventsCollection).CountDocuments(s.t.Context(), bson.D{{Key: "action", Value: bson.D{{Key: "$exists", Value: true}}}})
	require.NoError(s.t, err)
	return n
}

// tab is a page in the browser, with cookies of its own.
type tab struct {
	t    testing.TB
	site *site
	ctx  context.Context

	mu     sync.Mutex
	faults []string
}

// open opens a tab. When the test ends, nothing must have been complained of in the
// browser's console.
func (s *site) open(path string) *tab {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	ctx, late := context.WithTimeout(ctx, 3*atMost)
	b := &tab{t: s.t, site: s, ctx: ctx}
	b.do() // which opens it
	var listening sync.WaitGroup
	listening.Go(b.listen)
	s.t.Cleanup(func() {
		b.quiet()
		late()
		cancel()
		listening.Wait()
	})
	call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Berlin"})
	b.size(1280, 900)
	b.visit(path)
	return b
}

// listen notes what the browser complains of.
func (b *tab) listen() {
	for m, err := range chromedp.Console(b.ctx) {
		if err != nil {
			return
		}
		if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.Type == chromedp.ConsoleException {
			b.mu.Lock()
			b.faults = append(b.faults, string(m.Type)+": "+m.Text+" "+m.URL)
			b.mu.Unlock()
		}
	}
}

// quiet fails the test if the browser has complained.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		b.t.Errorf("the browser has complained:\n%s", strings.Join(b.faults, "\n"))
	}
	b.faults = nil
}

// complained forgets complaints that the test has expected.
func (b *tab) complained(word string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Contains(b.t, strings.Join(b.faults, "\n"), word)
	b.faults = nil
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

// call sends a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], parameters P) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, parameters) })
	require.NoError(b.t, err)
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

func (b *tab) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

func (b *tab) visit(path string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.site.url + path
	}
	b.do(chromedp.Navigate(path))
}

// click clicks what leads to another page, and waits for that.
func (b *tab) click(selector string) {
	b.t.Helper()
	_, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector)))
	require.NoError(b.t, err, selector)
}

// eval evaluates JavaScript.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	require.NoError(b.t, err, script)
	return value
}

func (b *tab) text() string { b.t.Helper(); return eval[string](b, "document.body.innerText") }

func (b *tab) path() string { b.t.Helper(); return eval[string](b, "location.pathname") }

// shows waits until the page has a text.
func (b *tab) shows(text string) {
	b.t.Helper()
	var is string
	if !waitFor(func() bool { is = b.text(); return strings.Contains(is, text) }) {
		b.t.Fatalf("the page does not show %q:\n%s", text, is)
	}
}

// met waits until a script is true.
func (b *tab) met(script string) {
	b.t.Helper()
	if !waitFor(func() bool { return eval[bool](b, script) }) {
		b.t.Fatalf("never true: %s\n%s", script, b.text())
	}
}

func waitFor(met func() bool) bool {
	for end := time.Now().Add(atMost); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if met() {
			return true
		}
	}
	return false
}
