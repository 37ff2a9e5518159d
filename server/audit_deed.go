package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// Deed is an act on the database alone, such as a change to a setting: no event
// carries it, and no server answers.
type Deed struct {
	Subscriber string // whom it would be asked of if it were an event, such as "config"
	Action     string // such as "set"
	// Parameters are a document of what was done. Secret values are hidden already.
	Parameters any
	// Target are those whom it concerns. Default: everybody.
	Target event.Target
	// Publisher is who does it. Default: [event.ThisProcess].
	Publisher event.Publisher
}

// endedFailed is of a deed that was tried in vain.
const endedFailed event.Ending = "failed"

// concludeTimeout bounds how long it may take to write down how a deed went.
const concludeTimeout = 5 * time.Second

// Perform writes a deed down in the audit, does it, and writes down how it went. What
// cannot be written down is not done. It returns the error of do; when only the
// outcome could not be written, the deed is done and the entry's state is unknown.
func (r *Registry) Perform(ctx context.Context, d Deed, do func(context.Context) error) error {
	id, err := r.begin(ctx, d)
	if err != nil {
		return fmt.Errorf("%s %s is not done: %w", d.Subscriber, d.Action, err)
	}
	start := time.Now()
	err = do(ctx)
	return errors.Join(err, r.end(context.WithoutCancel(ctx), id, time.Since(start), err))
}

func (r *Registry) begin(ctx context.Context, d Deed) (bson.ObjectID, error) {
	id := bson.NewObjectID()
	e := event.Event{ID: id, Name: d.Subscriber, Action: d.Action, Target: d.Target, Publisher: cmp.Or(d.Publisher, event.ThisProcess())}
	if d.Parameters != nil {
		raw, err := bson.Marshal(d.Parameters)
		if err != nil {
			return id, fmt.Errorf("encode its parameters: %w", err)
		}
		e.Parameters = raw
	}
	return id, r.record(ctx, event.Act{Event: e}, bson.E{Key: "deed", Value: true})
}

// end has a time of its own: that the caller was interrupted shall be on record.
func (r *Registry) end(ctx context.Context, id bson.ObjectID, took time.Duration, fault error) error {
	ctx, cancel := context.WithTimeout(ctx, concludeTimeout)
	defer cancel()
	set := bson.D{{Key: "ended", Value: event.EndedComplete}, {Key: "duration_ms", Value: milliseconds(took)}}
	if fault != nil {
		set = bson.D{{Key: "ended", Value: endedFailed}, {Key: "error", Value: cut(fault.Error())}, {Key: "duration_ms", Value: milliseconds(took)}}
	}
	_, err := r.trail.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: set}})
	if err != nil {
		return auditError("complete", err)
	}
	return nil
}
