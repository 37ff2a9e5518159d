package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Defaults of LogConfig for polling.
const (
	DefaultPollInterval = 250 * time.Millisecond
	DefaultKeep         = 24 * time.Hour

	// leastKeep is well above tailWindow: a poll finds the last document again.
	leastKeep = time.Minute
)

const (
	storedField = "stored_at"      // a Date, which the TTL index needs
	pollingTTL  = "fleetcast_keep" // the TTL index; also tells a polled collection
	pollingTS   = "fleetcast_ts"
)

// pollingLog is the Log on an ordinary collection, for stores without capped
// collections or tailable cursors.
type pollingLog struct {
	coll     *mongo.Collection
	interval time.Duration
	keep     time.Duration
}

// OpenPolling returns the Log on an ordinary collection, which is asked every
// cfg.PollInterval for what is new, and whose documents a TTL index removes
// after cfg.Keep. An entry reaches its readers between one and two intervals
// after it was appended. A capped collection of that name is an error.
func OpenPolling(ctx context.Context, db *mongo.Database, collection string, cfg LogConfig) (Log, error) {
	l := &pollingLog{
		coll:     logCollection(db, collection),
		interval: cmp.Or(cfg.PollInterval, DefaultPollInterval),
		keep:     cmp.Or(cfg.Keep, DefaultKeep),
	}
	capped, err := isCapped(ctx, db, collection)
	if err != nil && !errors.Is(err, errNoCollection) {
		return nil, fmt.Errorf("look for collection %s.%s: %w", db.Name(), collection, err)
	}
	if capped {
		return nil, fmt.Errorf("collection %s.%s is capped and cannot be polled: use the strategy capped or auto", db.Name(), collection)
	}
	if err := l.ensure(ctx); err != nil {
		return nil, fmt.Errorf("create the indexes of %s.%s: %w", db.Name(), collection, err)
	}
	return l, nil
}

// ensure creates the indexes, one at a time: not every store takes several of
// which some are there.
func (l *pollingLog) ensure(ctx context.Context) error {
	indexes := l.coll.Indexes()
	_, err := indexes.CreateOne(ctx, mongo.IndexModel{
		Keys: bson.D{{Key: "ts", Value: 1}}, Options: options.Index().SetName(pollingTS),
	})
	if err == nil {
		_, err = indexes.CreateOne(ctx, mongo.IndexModel{
			Keys:    bson.D{{Key: storedField, Value: 1}},
			Options: options.Index().SetName(pollingTTL).SetExpireAfterSeconds(int32(l.keep.Seconds())),
		})
	}
	return err
}

// isPolled reports whether the collection was made by OpenPolling.
func isPolled(ctx context.Context, coll *mongo.Collection) (bool, error) {
	specs, err := coll.Indexes().ListSpecifications(ctx)
	for _, spec := range specs {
		if spec.Name == pollingTTL {
			return true, nil
		}
	}
	return false, err
}

// Append stamps each document by the database's clock. An insert cannot do that
// in every store, an update can; it is made such that a repetition does not
// match, and so never stamps again.
func (l *pollingLog) Append(ctx context.Context, docs ...bson.Raw) error {
	models := make([]mongo.WriteModel, 0, len(docs))
	for _, doc := range docs {
		model, err := stampedUpsert(doc)
		if err != nil {
			return err
		}
		models = append(models, model)
	}
	err := appendRetrying(ctx, len(models), func(from int) (int, error) {
		_, err := l.coll.BulkWrite(ctx, models[from:])
		var many mongo.BulkWriteException
		if errors.As(err, &many) && len(many.WriteErrors) > 0 && isDuplicateID(err) {
			return many.WriteErrors[0].Index + 1, nil
		}
		return len(models) - from, err
	})
	if err != nil {
		return fmt.Errorf("insert into %s.%s: %w", l.coll.Database().Name(), l.coll.Name(), err)
	}
	return nil
}

func stampedUpsert(doc bson.Raw) (mongo.WriteModel, error) {
	var fields bson.D
	if err := bson.Unmarshal(doc, &fields); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	filter, set := bson.D{}, bson.D{}
	dates := bson.D{{Key: storedField, Value: true}}
	for _, f := range fields {
		ts, isTS := f.Value.(bson.Timestamp)
		switch {
		case f.Key == "_id":
			filter = bson.D{{Key: "_id", Value: f.Value}, {Key: storedField, Value: bson.D{{Key: "$exists", Value: false}}}}
		case f.Key == "ts" && isTS && ts.IsZero():
			dates = append(dates, bson.E{Key: "ts", Value: bson.D{{Key: "$type", Value: "timestamp"}}})
		default:
			set = append(set, f)
		}
	}
	update := bson.D{{Key: "$currentDate", Value: dates}}
	if len(set) > 0 {
		update = append(update, bson.E{Key: "$setOnInsert", Value: set})
	}
	return mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(update).SetUpsert(true), nil
}

// Mark implements Log.
func (l *pollingLog) Mark(ctx context.Context) (Position, error) {
	id, doc, err := mark()
	if err != nil {
		return Position{}, err
	}
	if err := l.Append(ctx, doc); err != nil {
		return Position{}, err
	}
	raw, err := l.coll.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Raw()
	if err != nil {
		return Position{}, fmt.Errorf("read back the position mark in %s: %w", l.coll.Name(), err)
	}
	k, ok := keyOf(raw)
	if !ok {
		return Position{}, fmt.Errorf("the store did not stamp the position mark in %s: it does not know $currentDate", l.coll.Name())
	}
	return k.pos, nil
}

// Time implements Log.
func (l *pollingLog) Time(ctx context.Context) (time.Time, error) {
	return StoreTime(ctx, l.coll.Database())
}

// Read implements Log.
func (l *pollingLog) Read(ctx context.Context, from Position, r Reader) error {
	p := &poller{log: l, reader: r, start: from, pos: from, newest: from.Time.T}
	r.State(StateConnecting, p.pos, nil)
	delays := backoff{}
	for {
		err := p.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			p.silent = mongo.IsTimeout(err)
			r.State(StateConnecting, p.pos, err)
			delays.wait(ctx)
			continue
		}
		delays.reset()
		timer := time.NewTimer(l.interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
