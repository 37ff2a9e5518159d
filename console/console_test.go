package console

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/crypto/bcrypt"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// atMost bounds each wait; only what is broken reaches it.
const atMost = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(teststore.Main(m)) }

// site is a console that serves, on a database of its own.
type site struct {
	*Console
	t   testing.TB
	db  *mongo.Database
	url string
}

func newSite(t testing.TB, cfg Config) *site {
	t.Helper()
	return siteOn(t, teststore.Database(t), cfg)
}

func siteOn(t testing.TB, db *mongo.Database, cfg Config) *site {
	t.Helper()
	if cfg.Refresh == 0 {
		cfg.Refresh = 50 * time.Millisecond
	}
	c, err := Open(t.Context(), db, cfg)
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
	return &site{c, t, db, web.URL}
}

// start runs servers of these names, with two workers each that do as source says.
func (s *site) start(source worker.Source, names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.startAs(server.Config{
			Bus:  event.Config{Identity: event.Identity{Name: name, Labels: map[string]string{"zone": "eu"}}},
			Pool: worker.Config{Workers: 2},
		}, source)
	}
}

// startAs runs one server until the test ends, with subscribers of its own.
func (s *site) startAs(cfg server.Config, source worker.Source, own ...event.Subscriber) {
	s.t.Helper()
	cfg.ShutdownTimeout, cfg.Pool.Grace = 100*time.Millisecond, 200*time.Millisecond
	srv, err := server.Open(s.t.Context(), s.db, source, cfg)
	require.NoError(s.t, err)
	for _, one := range own {
		_, err := srv.Bus().Subscribe(one)
		require.NoError(s.t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	s.await("the server in the registry", func() bool {
		entries, err := s.registry.List(s.t.Context())
		return err == nil && slices.ContainsFunc(entries, func(e server.Entry) bool { return e.Name == cfg.Bus.Identity.Name })
	})
}

func (s *site) await(what string, met func() bool) {
	s.t.Helper()
	require.Eventually(s.t, met, atMost, 20*time.Millisecond, what)
}

// busy gives each worker work that goes on until it is cancelled.
var busy = worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
	return worker.Work{Kind: "order", ID: "7", Run: waitForTheEnd}, nil
})

func waitForTheEnd(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// client is a browser without JavaScript.
type client struct {
	t    testing.TB
	base string
	http *http.Client
}

func (s *site) client() *client {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &client{s.t, s.url, &http.Client{Jar: jar, Timeout: atMost, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is what came of a request.
type response struct {
	status int
	header http.Header
	body   string
}

func (c *client) do(method, path string, form url.Values, edits ...func(*http.Request)) response {
	c.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, c.base+path, body)
	require.NoError(c.t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, edit := range edits {
		edit(r)
	}
	res, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return response{res.StatusCode, res.Header, string(text)}
}

func (c *client) get(path string) response { c.t.Helper(); return c.do("GET", path, nil) }

// page gets a page that must be there.
func (c *client) page(path string) string {
	c.t.Helper()
	res := c.get(path)
	require.Equal(c.t, http.StatusOK, res.status, res.body)
	return res.body
}

func (c *client) post(path string, pairs ...string) response {
	c.t.Helper()
	return c.do("POST", path, values(pairs...))
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// published is how many events are in the log.
func (s *site) published() int {
	n, err := s.db.Collection(event.EventsCollection).CountDocuments(s.t.Context(), bson.D{{Key: "action", Value: bson.D{{Key: "$exists", Value: true}}}})
	require.NoError(s.t, err)
	return int(n)
}

// matched is the number of servers that a dry run has found.
func matched(t testing.TB, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="matched" value="(\d+)"`).FindStringSubmatch(page)
	require.NotNil(t, m, page)
	return m[1]
}

// users returns the users alice (admin), otto (operator) and vera (viewer), whose
// passwords are their names twice.
func users(t testing.TB) *Users {
	t.Helper()
	u := &Users{byName: map[string]account{}}
	for name, role := range map[string]Role{"alice": Admin, "otto": Operator, "vera": Viewer} {
		hash, err := bcrypt.GenerateFromPassword([]byte(name+name), bcrypt.MinCost) // which a file may not have: it is fast
		require.NoError(t, err)
		u.byName[name] = account{name, role, string(hash)}
	}
	return u
}

// as is a browser of somebody who has logged in.
func (s *site) as(name string) *client {
	s.t.Helper()
	c := s.client()
	res := c.post("/login", "name", name, "password", name+name)
	require.Equal(s.t, http.StatusSeeOther, res.status, res.body)
	return c
}

func TestActingFromTheFirstLookToTheLastAnswer(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	s.start(busy, "web-1", "web-2", "db-1")
	c := s.as("otto")
	fleet := c.page("/")
	for _, name := range []string{"web-1", "web-2", "db-1"} {
		require.Contains(t, fleet, name)
	}
	require.Contains(t, fleet, "otto")

	form := []string{"do", "server pause", "all", "1", "q", "web"}
	dry := c.post("/act", form...)
	require.Equal(t, http.StatusOK, dry.status, dry.body)
	require.Contains(t, dry.body, "Would reach 2 servers")
	require.NotContains(t, dry.body, "db-1", "the filter has left it out")
	require.Zero(t, s.published(), "a dry run publishes nothing")

	ids := regexp.MustCompile(`name="id" value="([0-9a-f]{24})"`).FindAllStringSubmatch(dry.body, -1)
	require.Len(t, ids, 2)
	form = []string{"subscriber", "server", "action", "pause", "id", ids[0][1], "id", ids[1][1]}
	res := c.post("/act/publish", append(form, "matched", "3")...)
	require.Equal(t, http.StatusUnprocessableEntity, res.status)
	require.Contains(t, res.body, "nothing was published yet")
	require.Zero(t, s.published())

	res = c.post("/act/publish", append(form, "matched", "2")...)
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
	var page string
	s.await("all answers", func() bool {
		page = c.page(res.header.Get("Location"))
		return strings.Contains(page, `badge good">complete`)
	})
	require.Contains(t, page, "otto@", "it was published in the user's name")
	require.Equal(t, 2, strings.Count(page, `<span class="badge done">done</span>`))

	audit := c.page("/audit?user=otto")
	require.Contains(t, audit, "server pause")
	require.Contains(t, audit, "web-1")
	require.Contains(t, c.page("/audit?user=alice"), "Nothing like that")
	require.Contains(t, c.page("/events"), "pause")
	require.Contains(t, c.page("/servers/"+ids[0][1]), "paused")
}

func TestKillOfManyWantsTheirNumber(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1", "web-2")
	c := s.client()
	dry := c.post("/act", "do", "server kill", "all", "1")
	require.Contains(t, dry.body, `name="count"`)
	require.Equal(t, "2", matched(t, dry.body))
	form := []string{"subscriber", "server", "action", "kill", "matched", "2"}
	for _, count := range []string{"", "1", "two"} {
		res := c.post("/act/publish", append(form, "count", count)...)
		require.Equal(t, http.StatusUnprocessableEntity, res.status, count)
		require.Contains(t, res.body, "type the number of servers, 2")
	}
	require.Zero(t, s.published())
	one := c.post("/act", "subscriber", "server", "action", "kill", "name", "web-1")
	require.NotContains(t, one.body, `name="count"`, "one is no mistake")
	res := c.post("/act/publish", append(form, "count", "2")...)
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
	require.Equal(t, 1, s.published())
}

func TestFormsAreCheckedBeforeAnythingIsPublished(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	c := s.client()
	for want, form := range map[string][]string{
		"is no integer":               {"subscriber", "server", "action", "resize", "p.max_workers", "many"},
		"no living server has the":    {"subscriber", "server", "action", "fly"},
		"write it as KEY=VALUE":       {"subscriber", "server", "action", "pause", "label", "zone"},
		"nobody matches":              {"subscriber", "server", "action", "pause", "name", "web-7"},
		"for the actions of workers":  {"subscriber", "server", "action", "pause", "worker", "1"},
		"name the servers, too":       {"subscriber", "worker", "action", "stop", "worker", "1"},
		"a duration such as 10s":      {"subscriber", "server", "action", "pause", "wait", "soon"},
		"look who would be reached":   {"subscriber", "server", "action", "pause"},
		"no JSON object":              {"subscriber", "server", "action", "pause", "mode", "json", "json", "{"},
		"the form names no action":    {"subscriber", "server"},
		"server id: it is empty":      {"subscriber", "server", "action", "pause", "id", "", "matched", "1"},
		"has 24 hexadecimal digits":   {"subscriber", "server", "action", "pause", "id", "7"},
		"it does not know the parame": {"subscriber", "server", "action", "pause", "mode", "json", "json", `{"wings": 2}`, "matched", "1"},
	} {
		res := c.post("/act/publish", form...)
		if strings.HasPrefix(want, "it does not") { // the servers say so
			require.Equal(t, http.StatusSeeOther, res.status)
			s.await("the refusal", func() bool { return strings.Contains(c.page(res.header.Get("Location")), "wings") })
			continue
		}
		require.GreaterOrEqual(t, res.status, 400, want)
		require.Contains(t, regexp.MustCompile(`(?s)<main.*</main>`).FindString(res.body), want)
	}
	require.Equal(t, 1, s.published(), "the one that a server has refused")
}

func TestThreadDumpsAreShownKeptAndCompared(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1") // as the command has it: its dumps tell goroutines apart
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	c := s.client()
	var ids []string
	for range 2 {
		res := c.post("/act/publish", "subscriber", "worker", "action", "thread_dump", "matched", "1")
		require.Equal(t, http.StatusSeeOther, res.status, res.body)
		id := strings.TrimPrefix(res.header.Get("Location"), "/events/")
		s.await("the dump", func() bool { return strings.Contains(c.page("/events/"+id), "console.waitForTheEnd") })
		ids = append(ids, id)
	}
	text := c.get("/events/" + ids[0] + "/dump.txt")
	require.Contains(t, text.header.Get("Content-Disposition"), "thread-dump-"+ids[0])
	require.Contains(t, text.body, "=== web-1 worker")
	require.Contains(t, c.page("/dumps"), ids[1])
	page := c.page("/compare?a=" + ids[1] + "&b=" + ids[0])
	require.Contains(t, page, "1 not moved")
	require.Contains(t, page, "console.waitForTheEnd")
	require.Equal(t, http.StatusUnprocessableEntity, c.get("/compare?a="+ids[0]+"&b="+ids[0]).status)

	s.acts.list = nil // as for a dump that somebody else has taken
	s.await("the dump of another", func() bool { _, ok := s.feed.find(mustID(t, ids[0])); return ok })
	require.Contains(t, c.page("/events/"+ids[0]+"?all=1"), "console.waitForTheEnd", "it is read from the database")
	require.Contains(t, c.page("/compare?a="+ids[0]+"&b="+ids[1]), "console.waitForTheEnd")
	require.Equal(t, http.StatusNotFound, c.get("/events/"+bson.NewObjectID().Hex()+"/dump.txt").status)
}

func mustID(t testing.TB, text string) bson.ObjectID {
	t.Helper()
	id, err := bson.ObjectIDFromHex(text)
	require.NoError(t, err)
	return id
}

func TestLostServersArePurgedOnRecord(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	now, err := event.StoreTime(t.Context(), s.db)
	require.NoError(t, err)
	for name, ago := range map[string]time.Duration{"gone": time.Hour, "there": 0} {
		_, err := s.db.Collection(server.ServersCollection).InsertOne(t.Context(), bson.D{
			{Key: "_id", Value: bson.NewObjectID()}, {Key: "name", Value: name}, {Key: "lifecycle", Value: "running"},
			{Key: "heartbeat", Value: bson.D{{Key: "at", Value: now.Add(-ago)}, {Key: "interval_ms", Value: int64(3_600_000 / 20)}}},
		})
		require.NoError(t, err)
	}
	c := s.as("alice")
	require.Contains(t, c.page("/"), "Remove 1 lost server")
	require.NotContains(t, s.as("otto").page("/"), "Remove 1 lost server")
	res := c.post("/purge")
	require.Equal(t, http.StatusSeeOther, res.status, res.body)
	page := c.page(res.header.Get("Location"))
	require.Contains(t, page, "1 lost server removed")
	require.NotContains(t, page, ">gone<")
	require.Contains(t, page, ">there<")
	require.Contains(t, c.page("/audit?user=alice"), "servers purge")
}

// messages reads a stream of server-sent events.
func (c *client) messages(ctx context.Context, path string) <-chan string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", c.base+path, nil)
	require.NoError(c.t, err)
	res, err := (&http.Client{Jar: c.http.Jar}).Do(r) //nolint:bodyclose // the goroutine below closes it
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, res.StatusCode)
	require.Equal(c.t, "text/event-stream", res.Header.Get("Content-Type"))
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<22)
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				out <- text
			}
		}
	}()
	return out
}

func TestPagesFollowTheFleet(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages := s.client().messages(ctx, "/live/fleet")
	next := func(word string) {
		t.Helper()
		for late := time.After(atMost); ; {
			select {
			case text, ok := <-messages:
				require.True(t, ok, "the stream has ended")
				if strings.Contains(text, word) {
					return
				}
			case <-late:
				t.Fatalf("no message with %q", word)
			}
		}
	}
	next("web-1")
	bus, err := event.Open(t.Context(), s.db, event.Config{Directory: s.registry})
	require.NoError(t, err)
	_, err = bus.CallFunc(t.Context(), event.New("server", "pause", nil), event.Callbacks{}, event.Wait(atMost))
	require.NoError(t, err)
	next("paused")
}

func TestStreamsEndWithTheConsole(t *testing.T) {
	db := teststore.Database(t)
	c, err := Open(t.Context(), db, Config{})
	require.NoError(t, err)
	web := httptest.NewServer(c)
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, c.Run(ctx)) })
	s := &site{c, t, db, web.URL}
	messages := s.client().messages(t.Context(), "/live/events")
	<-messages
	cancel()
	for late := time.After(atMost); ; {
		select {
		case _, ok := <-messages:
			if !ok {
				running.Wait()
				return
			}
		case <-late:
			t.Fatal("the stream goes on")
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	db := teststore.Database(t)
	for want, cfg := range map[string]Config{
		"begins with a slash": {Base: "fleet"},
		"exclude each other":  {Users: &Users{}, Authenticate: func(*http.Request) (User, error) { return User{}, errors.New("no") }},
	} {
		_, err := Open(t.Context(), db, cfg)
		require.ErrorContains(t, err, want)
	}
}

func TestBelowAPathOfAnApplication(t *testing.T) {
	s := newSite(t, Config{Base: "/fleet"})
	s.start(busy, "web-1")
	c := s.client()
	page := c.page("/fleet/")
	for _, link := range regexp.MustCompile(`(?:href|src|action|data-live)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
		require.True(t, strings.HasPrefix(link[1], "/fleet/"), link[1])
	}
	require.Equal(t, http.StatusOK, c.get("/fleet/static/console.css").status)
	res := c.post("/fleet/act/publish", "subscriber", "server", "action", "ping", "matched", "1")
	require.True(t, strings.HasPrefix(res.header.Get("Location"), "/fleet/events/"), res.header.Get("Location"))
}
