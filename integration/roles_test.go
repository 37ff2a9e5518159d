package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	driverevent "go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/console"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

// recorder notes what a client asks of the database, as the privileges that MongoDB's
// manual says each command needs.
type recorder struct {
	mu    sync.Mutex
	needs map[string]bool // "action collection"
	other map[string]bool // commands that are not known here
}

// free are commands that need no privilege, or are for one's own cursors and sessions.
var free = []string{"hello", "isMaster", "ping", "buildInfo", "getMore", "killCursors", "endSessions", "connectionStatus", "commitTransaction", "abortTransaction"}

func (r *recorder) monitor() *driverevent.CommandMonitor {
	return &driverevent.CommandMonitor{Started: func(_ context.Context, e *driverevent.CommandStartedEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		collection, _ := e.Command.Lookup(e.CommandName).StringValueOK()
		need := func(actions ...string) {
			for _, action := range actions {
				r.needs[action+" "+collection] = true
			}
		}
		switch e.CommandName {
		case "find", "count", "aggregate", "distinct":
			need("find")
		case "insert":
			need("insert")
		case "update":
			need("update")
			if strings.Contains(e.Command.String(), `"upsert": true`) || strings.Contains(e.Command.String(), `"upsert":true`) {
				need("insert")
			}
		case "delete":
			need("remove")
		case "findAndModify":
			need("find", "update")
			if upsert, _ := e.Command.Lookup("upsert").BooleanOK(); upsert {
				need("insert")
			}
		case "create":
			need("createCollection")
		case "createIndexes":
			need("createIndex")
		case "collMod":
			need("collMod")
		case "collStats":
			need("collStats")
		case "listIndexes":
			need("listIndexes")
		case "listCollections":
			collection = ""
			need("listCollections")
		default:
			if !slices.Contains(free, e.CommandName) {
				r.other[e.CommandName] = true
			}
		}
	}}
}

func (r *recorder) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for need := range r.needs {
		all = append(all, need)
	}
	slices.Sort(all)
	return all
}

// documentedRole reads a role of docs/security.md, as "action collection".
func documentedRole(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/security.md")
	require.NoError(t, err)
	for _, block := range regexp.MustCompile("(?s)```js\ndb.createRole\\((.*?)\\)\n```").FindAllStringSubmatch(string(text), -1) {
		var role struct {
			Role       string
			Privileges []struct {
				Resource struct{ DB, Collection string }
				Actions  []string
			}
			Roles []string
		}
		require.NoError(t, json.Unmarshal([]byte(block[1]), &role), block[1])
		if role.Role != name {
			continue
		}
		require.Empty(t, role.Roles)
		var all []string
		for _, p := range role.Privileges {
			require.Equal(t, "fleetcast", p.Resource.DB)
			for _, action := range p.Actions {
				all = append(all, action+" "+p.Resource.Collection)
			}
		}
		slices.Sort(all)
		return all
	}
	t.Fatalf("docs/security.md has no role %s", name)
	return nil
}

// TestDocumentedRolesAreWhatIsNeeded: the roles of docs/security.md allow what a server, a
// publisher and a console do, and nothing else.
func TestDocumentedRolesAreWhatIsNeeded(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	name := "roles_" + bson.NewObjectID().Hex()
	open := func() (*recorder, *mongo.Database) {
		r := &recorder{needs: map[string]bool{}, other: map[string]bool{}}
		client, err := mongo.Connect(options.Client().ApplyURI(e.uri).SetMonitor(r.monitor()))
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
		return r, client.Database(name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	servers, db := open()
	t.Cleanup(func() { _ = db.Drop(context.Background()) })
	settings, err := config.Open(ctx, config.Config{Store: config.NewStore(db, config.StoreConfig{})})
	require.NoError(t, err)
	levels, err := logging.New("error")
	require.NoError(t, err)
	source := worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) { return worker.Work{}, worker.ErrNoWork })
	run := func(name string) (stop func()) {
		srv, err := server.Open(ctx, db, source, server.Config{
			Bus: event.Config{Identity: event.Identity{Name: name}}, Pool: worker.Config{Workers: 1}, Settings: settings, Logger: levels,
			Heartbeat: time.Second, ShutdownTimeout: time.Second, AuditKeep: 24 * time.Hour,
		})
		require.NoError(t, err)
		ending, end := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- srv.Run(ending) }()
		return func() { end(); <-done }
	}
	stop := run("a")

	publishers, published := open()
	registry := server.NewRegistry(published)
	bus, err := event.Open(ctx, published, event.Config{Directory: registry})
	require.NoError(t, err)
	require.Eventually(t, func() bool { m, err := registry.Members(ctx); return err == nil && len(m) == 1 }, patience, 50*time.Millisecond)
	for _, act := range []event.Event{
		event.New("server", "ping", nil), event.New("server", "pause", bson.M{"sticky": true}), event.New("server", "resume", nil),
		event.New("logger", "set", bson.M{"level": "debug"}), event.New("config", "refresh", nil),
	} {
		_, err := bus.CallFunc(ctx, act, event.Callbacks{}, event.Wait(patience))
		require.NoError(t, err, act.Action)
	}

	consoles, watched := open()
	c, err := console.Open(ctx, watched, console.Config{})
	require.NoError(t, err)
	web := httptest.NewServer(c)
	ran := make(chan error, 1)
	watching, unwatch := context.WithCancel(ctx)
	go func() { ran <- c.Run(watching) }()
	useConsole(t, web.URL)
	time.Sleep(3 * time.Second) // some heartbeats
	stop()
	unwatch()
	require.NoError(t, <-ran)
	web.Close()

	for role, r := range map[string]*recorder{"fleetcastServer": servers, "fleetcastPublisher": publishers, "fleetcastConsole": consoles} {
		require.Empty(t, r.other, "commands of which this test knows no privilege")
		needed := append(r.list(), rare[role]...)
		slices.Sort(needed)
		require.Equal(t, documentedRole(t, role), slices.Compact(needed), role)
	}
}

// rare is what is needed, too, though not in this test.
var rare = map[string][]string{
	"fleetcastServer": {
		"find servers",                                                       // when another server has its name
		"dropIndex audit",                                                    // for a changed --audit-keep
		"find subscriptions", "insert subscriptions", "update subscriptions", // for durable listeners
	},
	"fleetcastPublisher": {
		"createCollection events", "createCollection replies", // who is there first makes them
		"find actions",              // for completion, and `actions`
		"find audit", "find events", // for `audit` and `events`
	},
	"fleetcastConsole": {
		"createCollection events", "createCollection replies",
		"remove holds",   // on resume
		"remove servers", // on purge
	},
}

// useConsole looks at every page of a console, acts, and changes a setting.
func useConsole(t *testing.T, url string) {
	t.Helper()
	for _, page := range []string{"/", "/events", "/act", "/dumps", "/settings", "/settings/edit?path=fleetcast/max_workers", "/audit"} {
		res, err := http.Get(url + page)
		require.NoError(t, err)
		_ = res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode, page)
	}
	for path, body := range map[string]string{
		"/api/v1/events": `{"subscriber": "server", "action": "pause", "parameters": {"sticky": true}, "wait": "20s"}`,
		"/api/v1/purge":  ``,
	} {
		res, err := http.Post(url+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		_ = res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode, path)
	}
	r, err := http.NewRequest("PUT", url+"/api/v1/settings", strings.NewReader(`{"path": "fleetcast/max_workers", "value": 2, "refresh": true}`))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
}
