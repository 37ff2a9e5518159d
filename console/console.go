// Package console is the web console of a fleet: its servers, live; what is asked of
// them, with a dry run before and every answer after; their events, thread dumps,
// settings and audit. It is an [http.Handler], for a process of its own (`fleetcast
// console`) or below a path of an application:
//
//	c, err := console.Open(ctx, db, console.Config{Base: "/fleet", Authenticate: login})
//	go c.Run(ctx)
//	mux.Handle("/fleet/", c)
//
// # What it guarantees
//
//   - Whatever is asked for ends in a page that says who was meant, who has answered
//     and who has not. Before that it names who would be meant, and if others are by
//     then it asks again.
//   - The registry is read once in [Config.Refresh], however many browsers look on, and
//     not at all when none does. A browser that does not take what it is sent is
//     dropped after ten seconds, and holds up no other.
//   - Pages can be read and acted upon without JavaScript.
//   - Without a login it serves this machine alone: requests from other addresses, and
//     for other hosts than this one, are refused.
//   - What somebody may do is one table, see [Role].
//   - Every act is published in the name of the user who has logged in, and is in the
//     audit.
//
// Nothing is fetched from another host, and no other origin can act in a user's name.
package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// Defaults of Config.
const (
	DefaultRefresh    = time.Second
	DefaultStuckAfter = 10 * time.Minute
)

// Config configures a Console. The zero value serves this machine alone, without a
// login.
type Config struct {
	// Base is the path that the console is mounted under, such as "/fleet", without a
	// slash at its end. Default: the root.
	Base string
	// Users may log in with their passwords. Default: nobody.
	Users *Users
	// Authenticate says who makes a request, in place of Users: for applications that
	// have a login of their own, and for proxies that do. An error refuses the request.
	// It is called for each request, by many goroutines.
	Authenticate func(*http.Request) (User, error)
	// SecureCookies keeps the cookie of a login to TLS also where the console itself is
	// reached without, behind a proxy that has it. Requests by TLS have it in any case.
	SecureCookies bool
	// ReadOnly lets nobody change anything, whatever the role.
	ReadOnly bool
	// Log says how events and replies are kept, as for the servers' buses.
	Log event.LogConfig
	// Keyring encrypts secret settings. Default: they cannot be set.
	Keyring *config.Keyring
	// Refresh is the time between two looks at the registry. Default 1 s.
	Refresh time.Duration
	// StuckAfter is how long a worker may be busy before it shows as stuck, unless its
	// server says so by itself. Default 10 minutes; negative means never.
	StuckAfter time.Duration
}

// Console is the console. Make it with Open. It is safe for concurrent use.
type Console struct {
	cfg      Config
	db       *mongo.Database
	registry *server.Registry
	bus      *event.Bus
	events   event.Log
	replies  event.Log
	handler  http.Handler
	sessions *sessions
	streams  chan struct{} // as many as may be open

	// changes tells every open page that something is new: it looks for itself.
	changes *event.Topic[change]
	fleet   *fleet
	feed    *feed
	acts    *acts

	calls   sync.WaitGroup  // running acts
	running context.Context // ends with Run
	stop    context.CancelCauseFunc
	log     *zerolog.Logger
}

// change is what has changed.
type change struct{}

// errStopped is why acts end with Run.
var errStopped = errors.New("the console has stopped")

// appName is what publishers of this console are known by.
const appName = "fleetcast console"

// maxStreams bounds the browsers' event streams.
const maxStreams = 1000

// Open opens the console on a database, in which it creates the collections of events
// and replies when they are missing. It logs to the logger of ctx.
func Open(ctx context.Context, db *mongo.Database, cfg Config) (*Console, error) {
	cfg.Refresh = cmp.Or(max(cfg.Refresh, 0), DefaultRefresh)
	cfg.StuckAfter = cmp.Or(cfg.StuckAfter, DefaultStuckAfter)
	if cfg.Base != "" && (!strings.HasPrefix(cfg.Base, "/") || strings.HasSuffix(cfg.Base, "/")) {
		return nil, fmt.Errorf("console.Config.Base %q: it begins with a slash and does not end in one, as /fleet", cfg.Base)
	}
	if cfg.Users != nil && cfg.Authenticate != nil {
		return nil, errors.New("console.Config: Users and Authenticate exclude each other")
	}
	c := &Console{
		cfg: cfg, db: db, registry: server.NewRegistry(db), changes: event.NewTopic[change]("console changes"),
		streams: make(chan struct{}, maxStreams), log: zerolog.Ctx(ctx), sessions: newSessions(),
	}
	var err error
	if c.bus, err = event.Open(ctx, db, event.Config{Directory: c.registry, Log: cfg.Log, App: appName}); err != nil {
		return nil, err
	}
	if c.events, err = event.OpenLog(ctx, db, event.EventsCollection, cfg.Log); err != nil {
		return nil, err
	}
	if c.replies, err = event.OpenLog(ctx, db, event.RepliesCollection, cfg.Log); err != nil {
		return nil, err
	}
	c.running, c.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	c.fleet = newFleet(c.registry, cfg, c.changed)
	c.feed = newFeed(c.changed)
	c.acts = newActs()
	c.handler = c.routes()
	return c, nil
}

// changed tells the open pages.
func (c *Console) changed() { c.changes.Post(change{}) }

// Run follows the fleet until ctx ends; then acts that are waited for are left to
// themselves, open pages are closed, and it returns nil. A Console runs once.
func (c *Console) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { c.fleet.run(ctx, func() bool { return len(c.streams) > 0 }) })
	running.Go(func() { c.feed.run(ctx, c.events, c.replies) })
	<-ctx.Done()
	c.stop(errStopped)
	running.Wait()
	c.calls.Wait()
	c.changes.Close()
	return nil
}

// ServeHTTP implements [http.Handler].
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// parseID reads an id in a path or a form.
func parseID(text string) (bson.ObjectID, error) {
	id, err := bson.ObjectIDFromHex(text)
	if err != nil {
		return id, &pageError{http.StatusNotFound, fmt.Sprintf("%q is no id: it has 24 hexadecimal digits", text)}
	}
	return id, nil
}
