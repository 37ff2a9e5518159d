package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// ours is fleetcast as users have it: the responders are servers with an entry in
// the registry, the caller's bus reads the registry at each call.
var ours = contender{
	name:  "fleetcast",
	about: "bus.Call and bus.Publish to servers of the registry, each with a MongoDB client of its own",
	version: func(ctx context.Context, s *site) (string, error) {
		store, err := s.storeVersion(ctx)
		return "this tree, on the " + store, err
	},
	open:    openOurs,
	respond: respondOurs,
}

// note is the parameters of both actions.
type note struct {
	Round int64  `bson:"round"`
	Pad   string `bson:"pad"`
}

var pad = strings.Repeat("x", payloadBytes-8)

func openOurs(ctx context.Context, s *site, n int) (_ *fleet, err error) {
	var undo closers
	defer func() {
		if err != nil {
			undo.close()
		}
	}()
	db, uri, drop, err := s.database(ctx)
	if err != nil {
		return nil, err
	}
	undo.add(drop)
	p, _, err := s.respondents(ctx, "fleetcast", n, databaseURI(uri, db.Name()))
	if err != nil {
		return nil, err
	}
	undo.add(p.end)
	bus, err := event.Open(ctx, db, event.Config{Directory: server.NewRegistry(db)})
	if err != nil {
		return nil, err
	}
	undo.add(runBus(bus))
	return &fleet{measures: oursMeasures(s, bus, n), close: undo.close}, nil
}

func oursMeasures(s *site, bus *event.Bus, n int) []measure {
	call := func(ctx context.Context, round int64) (int, error) {
		var sum event.Summary
		e := event.New("peers", "answer", note{Round: round, Pad: pad})
		for _, err := range bus.Call(ctx, e, event.Wait(patience), event.Summarize(&sum)) {
			if err != nil {
				return 0, err
			}
		}
		return sum.Done, nil
	}
	match := func(ctx context.Context, _ int64) (int, error) {
		members, err := bus.Match(ctx, event.New("peers", "answer", nil))
		return len(members), err
	}
	send := func(ctx context.Context, round int64) error {
		_, err := bus.Publish(ctx, event.New("peers", "note", note{Round: round, Pad: pad}))
		return err
	}
	return []measure{
		answered(allAnswered, n, call),
		answered("of which: who is meant, by the registry", n, match),
		handled(s.tally, n, send),
	}
}

// runBus runs a bus until the function that it returns is called.
func runBus(bus *event.Bus) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = bus.Run(ctx) }()
	<-bus.Listening()
	return func() { cancel(); <-done }
}

// databaseURI puts the database's name into the URI of a store, whose options stay.
func databaseURI(uri, database string) string {
	uri, query, _ := strings.Cut(uri, "?")
	scheme, rest, _ := strings.Cut(uri, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	if query != "" {
		query = "?" + query
	}
	return scheme + "://" + hosts + "/" + database + query
}

// connect opens a client on such a URI.
func connect(uri string) (*mongo.Database, error) {
	_, rest, _ := strings.Cut(uri, "://")
	_, path, _ := strings.Cut(rest, "/")
	database, _, _ := strings.Cut(path, "?")
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, err
	}
	return client.Database(database), nil
}

func respondOurs(ctx context.Context, r *responders) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for i := range r.n {
		srv, err := oneOfOurs(ctx, r, i)
		if err != nil {
			return err
		}
		running.Go(func() { _ = srv.Run(ctx) })
	}
	if err := registered(ctx, r.addr, r.n); err != nil {
		return err
	}
	r.ready("")
	<-ctx.Done()
	return nil
}

func oneOfOurs(ctx context.Context, r *responders, i int) (*server.Server, error) {
	db, err := connect(r.addr)
	if err != nil {
		return nil, err
	}
	srv, err := server.Open(ctx, db, nil, server.Config{Bus: event.Config{Identity: event.Identity{Name: fmt.Sprintf("s-%d", i)}}})
	if err != nil {
		return nil, err
	}
	_, err = srv.Bus().Subscribe(responder{r, i})
	return srv, err
}

// responder is the subscriber: one action answers, the other one reports.
type responder struct {
	*responders
	member int
}

func (responder) Name() string { return "peers" }

func (r responder) Actions() []event.Action {
	return []event.Action{
		event.On("answer", func(context.Context, note) error { return nil }),
		event.On("note", func(_ context.Context, p note) error { r.handled(r.member, p.Round); return nil }),
	}
}

// registered returns when n servers are in the registry.
func registered(ctx context.Context, uri string, n int) error {
	db, err := connect(uri)
	if err != nil {
		return err
	}
	defer func() { _ = db.Client().Disconnect(context.Background()) }()
	registry := server.NewRegistry(db)
	return poll(ctx, func() (bool, error) {
		members, err := registry.Members(ctx)
		return len(members) >= n, err
	})
}

// poll asks every 20 ms, until it is so.
func poll(ctx context.Context, is func() (bool, error)) error {
	for {
		if yes, err := is(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
