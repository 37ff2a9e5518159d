package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Strategy is how a Log is kept in a database.
type Strategy string

// The strategies.
const (
	// Auto is Capped where the store can do that, and Polling elsewhere; a
	// collection that exists decides, so that all processes agree.
	Auto Strategy = "auto"
	// Capped is a capped collection and a tailable cursor: MongoDB 4.4 or later.
	Capped Strategy = "capped"
	// Polling is an ordinary collection: any store that speaks MongoDB's
	// protocol, such as Amazon DocumentDB, Azure Cosmos DB and FerretDB.
	Polling Strategy = "polling"
)

// LogConfig configures a Log in a database. The zero value works.
type LogConfig struct {
	// Strategy is Auto unless given.
	Strategy Strategy
	// Bytes is the size of a capped collection that is to be created. Default
	// DefaultLogBytes.
	Bytes int64
	// PollInterval is the time between two polls. Default 250 ms.
	PollInterval time.Duration
	// Keep is how long a polled collection keeps its documents, at least a
	// minute. Default 24 h.
	Keep time.Duration
}

func (c LogConfig) check() error {
	switch {
	case c.Bytes < 0:
		return fmt.Errorf("event.LogConfig.Bytes is %d: a capped collection has a positive size", c.Bytes)
	case c.PollInterval < 0:
		return fmt.Errorf("event.LogConfig.PollInterval is %s: it may not be negative", c.PollInterval)
	case c.Keep != 0 && c.Keep < leastKeep:
		return fmt.Errorf("event.LogConfig.Keep is %s: a listener that is away for a moment needs at least %s", c.Keep, leastKeep)
	}
	return nil
}

// ParseStrategy reads a strategy's name.
func ParseStrategy(name string) (Strategy, error) {
	switch s := Strategy(name); s {
	case Auto, Capped, Polling:
		return s, nil
	}
	return "", fmt.Errorf("%q is not a strategy: choose auto, capped or polling", name)
}

// OpenLog returns the Log in a collection, which it creates when it is missing.
// Several processes may do so at once.
func OpenLog(ctx context.Context, db *mongo.Database, collection string, cfg LogConfig) (Log, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	switch cfg.Strategy {
	case Capped:
		return OpenCapped(ctx, db, collection, cfg.Bytes)
	case Polling:
		return OpenPolling(ctx, db, collection, cfg)
	case Auto, "":
		return openAuto(ctx, db, collection, cfg)
	}
	_, err := ParseStrategy(string(cfg.Strategy))
	return nil, err
}

func openAuto(ctx context.Context, db *mongo.Database, collection string, cfg LogConfig) (Log, error) {
	log, err := OpenCapped(ctx, db, collection, cfg.Bytes)
	if err == nil {
		zerolog.Ctx(ctx).Debug().Str("collection", collection).Str("strategy", string(Capped)).Msg("chose a strategy")
		return log, nil
	}
	var notCapped *NotCappedError
	switch {
	case errors.As(err, &notCapped):
		polled, fault := isPolled(ctx, db.Collection(collection))
		if fault != nil || !polled {
			return nil, errors.Join(err, fault)
		}
	case !cannotDo(err):
		return nil, err
	}
	zerolog.Ctx(ctx).Info().Str("collection", collection).Str("strategy", string(Polling)).
		AnErr("capped", err).Msg("chose a strategy: the collection cannot be tailed")
	return OpenPolling(ctx, db, collection, cfg)
}
