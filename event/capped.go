package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// DefaultLogBytes is the size of a capped collection that fleetcast creates.
const DefaultLogBytes = 64 << 20

const (
	// awaitTime is how long the store holds back an empty answer to a waiting
	// tail: the longest silence of a healthy listener.
	awaitTime = time.Second
	// answerTime is how long beyond that an answer may take before the
	// connection counts as dead; it ends half-open connections.
	answerTime = 10 * time.Second
)

// NotCappedError says that a collection exists but cannot be tailed.
type NotCappedError struct{ Namespace string }

func (e *NotCappedError) Error() string {
	return fmt.Sprintf("collection %s exists but is not capped: name another database in the URI, "+
		"or rename or drop that collection so that fleetcast can create it", e.Namespace)
}

// cappedLog is the Log on a capped collection of MongoDB, read by a
// tailable-await cursor.
type cappedLog struct {
	coll  *mongo.Collection
	bytes int64
}

// OpenCapped returns the Log on a capped collection, which it creates when it
// is missing, with bytes as its size (0 = DefaultLogBytes). Several processes
// may do so at once. An existing collection that is not capped gives a
// [*NotCappedError]; its size is left as it is.
func OpenCapped(ctx context.Context, db *mongo.Database, collection string, bytes int64) (Log, error) {
	if bytes == 0 {
		bytes = DefaultLogBytes
	}
	l := &cappedLog{coll: logCollection(db, collection), bytes: bytes}
	if err := l.ensure(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// logCollection is written with the concern majority and read from the primary,
// whatever the URI says: a position must be readable as soon as it is written.
func logCollection(db *mongo.Database, name string) *mongo.Collection {
	return db.Collection(name, options.Collection().
		SetWriteConcern(writeconcern.Majority()).SetReadPreference(readpref.Primary()))
}

// ensure creates the collection when it is missing. An insert alone would
// create one that is not capped.
func (l *cappedLog) ensure(ctx context.Context) error {
	db, name := l.coll.Database(), l.coll.Name()
	capped, err := isCapped(ctx, db, name)
	if errors.Is(err, errNoCollection) {
		opts := options.CreateCollection().SetCapped(true).SetSizeInBytes(l.bytes)
		if err = db.CreateCollection(ctx, name, opts); err == nil {
			return nil
		}
		if !hasCode(err, codeNamespaceExists) {
			return fmt.Errorf("create capped collection %s.%s: %w", db.Name(), name, err)
		}
		capped, err = isCapped(ctx, db, name) // another process was quicker
	}
	if err != nil {
		return fmt.Errorf("look for collection %s.%s: %w", db.Name(), name, err)
	}
	if !capped {
		return &NotCappedError{Namespace: db.Name() + "." + name}
	}
	return nil
}

var errNoCollection = errors.New("no such collection")

func isCapped(ctx context.Context, db *mongo.Database, name string) (bool, error) {
	specs, err := db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: name}})
	if err != nil {
		return false, err
	}
	if len(specs) == 0 {
		return false, errNoCollection
	}
	capped, _ := specs[0].Options.Lookup("capped").BooleanOK()
	return capped, nil
}

func (l *cappedLog) Append(ctx context.Context, docs ...bson.Raw) error {
	err := appendRetrying(ctx, len(docs), func(from int) (int, error) { return l.insert(ctx, docs[from:]) })
	if err != nil {
		return fmt.Errorf("insert into %s.%s: %w", l.coll.Database().Name(), l.coll.Name(), err)
	}
	return nil
}

// insert stores the documents in order up to the first one that is there
// already, and returns how many are stored now, that one included.
func (l *cappedLog) insert(ctx context.Context, docs []bson.Raw) (int, error) {
	if len(docs) == 1 {
		_, err := l.coll.InsertOne(ctx, docs[0])
		if isDuplicateID(err) {
			err = nil
		}
		return 1, err
	}
	_, err := l.coll.InsertMany(ctx, docs)
	var many mongo.BulkWriteException
	if errors.As(err, &many) && len(many.WriteErrors) > 0 && isDuplicateID(err) {
		return many.WriteErrors[0].Index + 1, nil
	}
	return len(docs), err
}

func (l *cappedLog) Mark(ctx context.Context) (Position, error) {
	id, doc, err := mark()
	if err != nil {
		return Position{}, err
	}
	if err := l.Append(ctx, doc); err != nil {
		return Position{}, err
	}
	k, ok, err := l.find(ctx, id)
	if err != nil {
		return Position{}, fmt.Errorf("read back the position mark in %s: %w", l.coll.Name(), err)
	}
	if !ok {
		return Position{}, fmt.Errorf("the store did not stamp the position mark in %s: "+
			"fleetcast needs MongoDB 4.4 or later, or its own embedded store", l.coll.Name())
	}
	return k.pos, nil
}

func (l *cappedLog) Time(ctx context.Context) (time.Time, error) {
	return StoreTime(ctx, l.coll.Database())
}

// StoreTime asks the database for its time, to the millisecond: the clock by
// which fleetcast judges heartbeats and expiry.
func StoreTime(ctx context.Context, db *mongo.Database) (time.Time, error) {
	var hello struct {
		LocalTime time.Time `bson:"localTime"`
	}
	if err := db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return time.Time{}, fmt.Errorf("ask the database for its time: %w", err)
	}
	return hello.LocalTime, nil
}

// newest returns the key of the document inserted last; ok is false when the
// collection is empty or that document is malformed.
func (l *cappedLog) newest(ctx context.Context) (k key, ok bool, err error) {
	return l.first(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: -1}}))
}

// find returns the key of the document with this id; ok is false when there is
// none.
func (l *cappedLog) find(ctx context.Context, id bson.ObjectID) (k key, ok bool, err error) {
	return l.first(ctx, bson.D{{Key: "_id", Value: id}}, options.FindOne())
}

func (l *cappedLog) first(ctx context.Context, filter bson.D, opts *options.FindOneOptionsBuilder) (k key, ok bool, err error) {
	raw, err := l.coll.FindOne(ctx, filter, opts).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return key{}, false, nil
	}
	if err == nil {
		k, ok = keyOf(raw)
	}
	return k, ok, err
}

// tail opens a tailable cursor from since on; the zero since means from the
// earliest. Documents without a proper timestamp are read as well: they are
// malformed, and to be counted.
func (l *cappedLog) tail(ctx context.Context, since bson.Timestamp) (*mongo.Cursor, error) {
	filter := bson.D{}
	if !since.IsZero() {
		filter = bson.D{{Key: "ts", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$lt", Value: since}}}}}}
	}
	opts := options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(awaitTime).SetBatchSize(tailBatch)
	return l.coll.Find(ctx, filter, opts)
}
