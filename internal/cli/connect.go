package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

const defaultDatabase = "fleetcast"

// store is an open connection to the database.
type store struct {
	client *mongo.Client
	db     *mongo.Database
	hosts  string // for messages: the URI may hold a password
	log    event.LogConfig
}

// dial parses the URI. The driver connects in the background.
func (a *app) dial(uri string, selection time.Duration) (*store, error) {
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, usageError("--uri: %w; it looks like mongodb://HOST:PORT/DATABASE", err)
	}
	name := parsed.Database
	if name == "" {
		name = defaultDatabase
	}
	opts := options.Client().ApplyURI(uri).SetServerSelectionTimeout(selection)
	if parsed.AppName == "" {
		opts.SetAppName("fleetcast")
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, usageError("--uri: %w", err)
	}
	return &store{
		client: client, db: client.Database(name), hosts: strings.Join(parsed.Hosts, ","),
		log: event.LogConfig{Strategy: event.Strategy(a.strategy)},
	}, nil
}

func (s *store) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.client.Disconnect(ctx) // nothing is left to be lost
}

// connect opens the database for a command that gives up after --timeout.
func (a *app) connect(ctx context.Context) (*store, error) {
	s, err := a.dial(a.uri, a.timeout)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if err := s.client.Ping(bounded, nil); err != nil {
		s.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.unreachable(err, a.timeout)
	}
	return s, nil
}

// connectForever opens the database for a long-lived command.
func (a *app) connectForever(ctx context.Context, uri string) (*store, error) {
	const each = 5 * time.Second
	s, err := a.dial(uri, each)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for delay := 250 * time.Millisecond; ; delay = min(2*delay, 10*time.Second) {
		bounded, cancel := context.WithTimeout(ctx, each)
		err := s.client.Ping(bounded, nil)
		cancel()
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || strings.Contains(err.Error(), "auth error") { // trying again is no use
			s.close()
			return nil, cmp.Or(ctx.Err(), s.unreachable(err, time.Since(start)))
		}
		zerolog.Ctx(ctx).Warn().Err(s.unreachable(err, time.Since(start).Round(time.Second))).
			Dur("retry_in_ms", delay).Msg("waiting for the database")
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// unreachable says what was tried, for how long, and what to do.
func (s *store) unreachable(err error, tried time.Duration) error {
	cause := err.Error()
	if i := strings.LastIndex(cause, "Last error: "); i >= 0 { // the driver lists each server's
		cause, _, _ = strings.Cut(cause[i+len("Last error: "):], " }")
	}
	if strings.Contains(cause, "auth error") {
		return fmt.Errorf("the MongoDB at %s refuses the login: %s; check user, password and authSource in the URI", s.hosts, cause)
	}
	return fmt.Errorf("no MongoDB reachable at %s (tried for %s): %s; "+
		"is it running? name another with --uri or FLEETCAST_URI, or start one with `fleetcast dev`",
		s.hosts, tried, cause)
}

// openBus opens the bus of a command that publishes and waits for answers.
func (s *store) openBus(ctx context.Context) (*event.Bus, error) {
	return event.Open(ctx, s.db, event.Config{Directory: server.NewRegistry(s.db), Log: s.log})
}
