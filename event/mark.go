package event

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// mark returns the document of a new position mark, its timestamp empty.
func mark() (bson.ObjectID, bson.Raw, error) {
	id := bson.NewObjectID()
	raw, err := bson.Marshal(bson.D{
		{Key: "_id", Value: id},
		{Key: "ts", Value: bson.Timestamp{}},
		{Key: markField, Value: true},
		{Key: "publisher", Value: thisProcess()},
	})
	return id, raw, err
}

// markSoon marks the position of now, and gives up after answerTime.
func markSoon(ctx context.Context, log Log) (Position, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return log.Mark(ctx)
}

func timeOf(ts bson.Timestamp) time.Time {
	if ts.IsZero() {
		return time.Time{}
	}
	return time.Unix(int64(ts.T), 0).UTC()
}
