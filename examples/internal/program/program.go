// Package program is what the example programs share: their signals, their log,
// and the fleet's database.
package program

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// Main calls run with a context that carries a logger and ends at SIGINT or
// SIGTERM; a second signal ends the process at once. An error of run is logged,
// and the exit code is 1.
func Main(run func(context.Context) error) {
	log := zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr}).With().Timestamp().Logger()
	ctx, stop := signal.NotifyContext(log.WithContext(context.Background()), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx); err != nil {
		log.Fatal().Err(err).Msg("the server ended") // exits with code 1
	}
}

// Database returns the database that FLEETCAST_URI names, by default that of
// `fleetcast dev` and `fleetcast store`. The driver connects in the background.
func Database() (*mongo.Database, error) {
	uri := cmp.Or(os.Getenv("FLEETCAST_URI"), "mongodb://127.0.0.1:27127/fleetcast")
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, fmt.Errorf("FLEETCAST_URI: %w; it looks like mongodb://HOST:PORT/DATABASE", err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, fmt.Errorf("FLEETCAST_URI: %w", err)
	}
	return client.Database(cmp.Or(parsed.Database, "fleetcast")), nil
}
