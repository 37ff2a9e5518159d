// Package connect opens the fleet's database for the example programs.
package connect

import (
	"cmp"
	"fmt"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

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
