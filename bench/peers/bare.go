package main

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// bare is the floor: the same by the driver alone, without promises. The caller
// inserts a document and reads the answers from a tailable cursor; each responder
// reads the documents from one, and inserts one answer. Nobody knows who is meant, is
// acknowledged, reconnects, or notices that it has missed something.
var bare = contender{
	name:    floor,
	about:   "the floor: insert, tailable cursors and one inserted answer each, by the bare driver on the same store",
	version: bareVersion,
	open:    openBare,
	respond: respondBare,
}

func bareVersion(ctx context.Context, s *site) (string, error) {
	store, err := s.storeVersion(ctx)
	return "driver " + moduleVersion("go.mongodb.org/mongo-driver/v2") + ", on the " + store, err
}

type bareRequest struct {
	ID     bson.ObjectID  `bson:"_id"`
	Time   bson.Timestamp `bson:"ts"`
	Action string         `bson:"action"`
	Round  int64          `bson:"round"`
	Pad    string         `bson:"pad"`
}

type bareAnswer struct {
	ID      bson.ObjectID  `bson:"_id"`
	Time    bson.Timestamp `bson:"ts"`
	EventID bson.ObjectID  `bson:"event_id"`
	Server  string         `bson:"server"`
	Kind    string         `bson:"kind"`
}

func openBare(ctx context.Context, s *site, n int) (_ *fleet, err error) {
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
	for _, name := range []string{"events", "replies"} {
		if err := createCapped(ctx, db, name); err != nil {
			return nil, err
		}
	}
	p, _, err := s.respondents(ctx, floor, n, databaseURI(uri, db.Name()))
	if err != nil {
		return nil, err
	}
	undo.add(p.end)
	answers, stop, err := tailAnswers(ctx, db)
	if err != nil {
		return nil, err
	}
	undo.add(stop)
	return &fleet{measures: bareMeasures(s, bareCollection(db, "events"), answers, n), close: undo.close}, nil
}

// createCapped creates a collection with one document, since a tailable cursor on an
// empty one is dead at once.
func createCapped(ctx context.Context, db *mongo.Database, name string) error {
	if err := db.CreateCollection(ctx, name, options.CreateCollection().SetCapped(true).SetSizeInBytes(64<<20)); err != nil {
		return err
	}
	_, err := bareCollection(db, name).InsertOne(ctx, bson.D{{Key: "ts", Value: bson.Timestamp{}}})
	return err
}

// bareCollection has the write concern that package event uses.
func bareCollection(db *mongo.Database, name string) *mongo.Collection {
	return db.Collection(name, options.Collection().SetWriteConcern(writeconcern.Majority()))
}

func tail(ctx context.Context, db *mongo.Database, name string) (*mongo.Cursor, error) {
	cursor, err := db.Collection(name).Find(ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Second))
	if err != nil {
		return nil, err
	}
	if !cursor.Next(ctx) {
		return nil, fmt.Errorf("tail %s: %w", name, cursor.Err())
	}
	return cursor, nil
}

func tailAnswers(ctx context.Context, db *mongo.Database) (<-chan bareAnswer, func(), error) {
	cursor, err := tail(ctx, db, "replies")
	if err != nil {
		return nil, nil, err
	}
	answers, done := make(chan bareAnswer, 1024), make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for cursor.Next(ctx) {
			var a bareAnswer
			if cursor.Decode(&a) == nil {
				answers <- a
			}
		}
	}()
	return answers, func() { stop(); <-done; _ = cursor.Close(context.Background()) }, nil
}

func bareMeasures(s *site, events *mongo.Collection, answers <-chan bareAnswer, n int) []measure {
	insert := func(ctx context.Context, action string, round int64) (bson.ObjectID, error) {
		r := bareRequest{ID: bson.NewObjectID(), Action: action, Round: round, Pad: pad}
		_, err := events.InsertOne(ctx, r)
		return r.ID, err
	}
	call := func(ctx context.Context, round int64) (int, error) {
		id, err := insert(ctx, "answer", round)
		if err != nil {
			return 0, err
		}
		return count(ctx, n, answers, func(a bareAnswer) bool { return a.EventID == id }), nil
	}
	send := func(ctx context.Context, round int64) error {
		_, err := insert(ctx, "note", round)
		return err
	}
	return []measure{answered(allAnswered, n, call), handled(s.tally, n, send)}
}

// count takes answers until n of them are right, or the patience is over.
func count[A any](ctx context.Context, n int, answers <-chan A, right func(A) bool) int {
	late := time.NewTimer(patience)
	defer late.Stop()
	got := 0
	for got < n {
		select {
		case a := <-answers:
			if right(a) {
				got++
			}
		case <-late.C:
			return got
		case <-ctx.Done():
			return got
		}
	}
	return got
}

func respondBare(ctx context.Context, r *responders) error {
	ended := make(chan error, r.n)
	for i := range r.n {
		db, err := connect(r.addr)
		if err != nil {
			return err
		}
		cursor, err := tail(ctx, db, "events")
		if err != nil {
			return err
		}
		go func() { ended <- answerBare(ctx, r, i, cursor, bareCollection(db, "replies")) }()
	}
	r.ready("")
	for range r.n {
		if err := <-ended; ctx.Err() == nil {
			return fmt.Errorf("a responder's cursor has ended: %w", err)
		}
	}
	return nil
}

func answerBare(ctx context.Context, r *responders, member int, cursor *mongo.Cursor, replies *mongo.Collection) error {
	name := fmt.Sprintf("s-%d", member)
	for cursor.Next(ctx) {
		var request bareRequest
		if err := cursor.Decode(&request); err != nil {
			return err
		}
		if request.Action == "note" {
			r.handled(member, request.Round)
			continue
		}
		_, err := replies.InsertOne(ctx, bareAnswer{ID: bson.NewObjectID(), EventID: request.ID, Server: name, Kind: "done"})
		if err != nil {
			return err
		}
	}
	return cursor.Err()
}
