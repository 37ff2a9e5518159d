package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

// AuditFilter chooses entries; the zero value means all.
type AuditFilter struct {
	Since      time.Duration // not older than this, by the database's clock
	Subscriber string
	Action     string
	User       string // who published it, also through sudo
	Server     string // name, or pattern, of a server that was meant or has answered
	Failed     bool   // only those of which AuditEntry.Failed
	Limit      int    // the newest so many
}

// Trail returns the entries that match, the newest last, and whether the limit
// has left out older ones.
func (r *Registry) Trail(ctx context.Context, f AuditFilter) (entries []AuditEntry, more bool, err error) {
	server := event.Target{Names: []string{f.Server}}
	if err := server.Validate(); err != nil && f.Server != "" {
		return nil, false, err
	}
	now, err := event.StoreTime(ctx, r.trail.coll.Database())
	if err != nil {
		return nil, false, err
	}
	cursor, err := r.trail.coll.Find(ctx, f.query(now), options.Find().SetSort(bson.D{{Key: "at", Value: -1}}))
	if err != nil {
		return nil, false, auditError("read", err)
	}
	defer cursor.Close(ctx)
	for cursor.Next(ctx) {
		var e AuditEntry
		if err := cursor.Decode(&e); err != nil {
			return nil, false, auditError("read", err)
		}
		e.Age = now.Sub(e.At)
		if f.Failed && !e.Failed() || f.Server != "" && !e.concerns(server) {
			continue
		}
		if f.Limit > 0 && len(entries) == f.Limit {
			more = true
			break
		}
		entries = append(entries, e)
	}
	if err := cursor.Err(); err != nil {
		return nil, false, auditError("read", err)
	}
	slices.Reverse(entries)
	return entries, more, nil
}

// query is the part of the filter that the database applies.
func (f AuditFilter) query(now time.Time) bson.D {
	query := bson.D{}
	if f.Since > 0 {
		query = append(query, bson.E{Key: "at", Value: bson.D{{Key: "$gte", Value: now.Add(-f.Since)}}})
	}
	if f.Subscriber != "" {
		query = append(query, bson.E{Key: "name", Value: f.Subscriber})
	}
	if f.Action != "" {
		query = append(query, bson.E{Key: "action", Value: f.Action})
	}
	if f.User != "" {
		query = append(query, bson.E{Key: "$or", Value: bson.A{
			bson.D{{Key: "publisher.user", Value: f.User}}, bson.D{{Key: "publisher.sudo_user", Value: f.User}},
		}})
	}
	return query
}

func (e AuditEntry) concerns(server event.Target) bool {
	if e.Deed { // for all, unless it names others
		return len(e.Target.Names) == 0 || slices.ContainsFunc(e.Target.Names, func(name string) bool {
			meant, err := server.Matches(&event.Identity{Name: name})
			return meant && err == nil
		})
	}
	return slices.ContainsFunc(e.Servers, func(s AuditOutcome) bool {
		meant, err := server.Matches(&event.Identity{Name: s.Server})
		return meant && err == nil
	})
}

// ErrNotRecorded says that no act of this id is on record.
var ErrNotRecorded = errors.New("no such event is on record")

// Recorded returns the entry of an event. It fails with [ErrNotRecorded].
func (r *Registry) Recorded(ctx context.Context, id bson.ObjectID) (AuditEntry, error) {
	now, err := event.StoreTime(ctx, r.trail.coll.Database())
	if err != nil {
		return AuditEntry{}, err
	}
	var e AuditEntry
	err = r.trail.coll.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&e)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return AuditEntry{}, fmt.Errorf("%w: %s", ErrNotRecorded, id.Hex())
	}
	if err != nil {
		return AuditEntry{}, auditError("read", err)
	}
	e.Age = now.Sub(e.At)
	return e, nil
}
