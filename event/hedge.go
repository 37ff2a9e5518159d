package event

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// hedgeInterval is how long one connection may be silent before the question is
// put to another one as well.
const hedgeInterval = 500 * time.Millisecond

// findLiveConnection returns when the database has answered. After a silence all
// of the driver's idle connections may be half-open, and each would cost the
// time-out of one command. Here each costs hedgeInterval: those that are silent
// are held, so that the next question takes the next connection, and are closed
// in the end. The driver keeps its idle connections on a stack: the one that
// has answered is used next.
func findLiveConnection(ctx context.Context, db *mongo.Database) error {
	return hedge(ctx, func(ctx context.Context) error {
		return db.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err()
	})
}

// hedge asks, asks again at each hedgeInterval without an answer, and returns
// the first answer. It gives up after answerTime.
func hedge(ctx context.Context, ask func(context.Context) error) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answers := make(chan error, answerTime/hedgeInterval+1)
	again := time.NewTicker(hedgeInterval)
	defer again.Stop()
	for {
		asking.Go(func() { answers <- ask(ctx) })
		select {
		case err := <-answers:
			return err
		case <-ctx.Done():
			return fmt.Errorf("no connection answered: %w", context.Cause(ctx))
		case <-again.C:
		}
	}
}
