package server

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

	"github.com/fleetcast/fleetcast/event"
)

// ServersCollection is the name of the registry's collection.
const ServersCollection = "servers"

// Registry is the fleet's list of servers. It is safe for concurrent use, and
// is the event.Directory of buses on the same database.
type Registry struct {
	coll, tables, holds *mongo.Collection
	trail               trail
}

var _ event.Directory = (*Registry)(nil)

// NewRegistry returns the registry in this database. It does no I/O.
func NewRegistry(db *mongo.Database) *Registry {
	// From the primary, whatever the URI says: what was just written counts.
	primary := options.Collection().SetReadPreference(readpref.Primary())
	lasting := options.Collection().SetReadPreference(readpref.Primary()).SetWriteConcern(writeconcern.Majority())
	return &Registry{
		coll: db.Collection(ServersCollection, primary), tables: db.Collection(ActionsCollection, primary), holds: db.Collection(HoldsCollection, lasting),
		trail: trail{coll: db.Collection(AuditCollection, lasting)},
	}
}

// List returns all servers, lost ones too, by name.
func (r *Registry) List(ctx context.Context) ([]Entry, error) {
	now, err := event.StoreTime(ctx, r.coll.Database())
	if err != nil {
		return nil, err
	}
	cursor, err := r.coll.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "name", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	var entries []Entry
	if err := cursor.All(ctx, &entries); err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	for i := range entries {
		entries[i].Age = max(0, now.Sub(entries[i].Heartbeat.At))
	}
	return entries, nil
}

// Members implements event.Directory: the servers that are neither lost nor
// stopped.
func (r *Registry) Members(ctx context.Context) ([]event.Member, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	var members []event.Member
	for _, e := range entries {
		if !e.Lost() && e.Lifecycle != Stopped {
			members = append(members, e.member())
		}
	}
	return members, nil
}

// Purge removes the lost servers and returns them. One that beats meanwhile
// stays.
func (r *Registry) Purge(ctx context.Context) ([]Entry, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	var purged []Entry
	for _, e := range entries {
		gone, err := r.PurgeOne(ctx, e)
		if err != nil {
			return purged, err
		}
		if gone {
			purged = append(purged, e)
		}
	}
	return purged, nil
}

// PurgeOne removes a server whose entry was read just now. It reports whether it has:
// one that is not lost, or has beaten since, stays.
func (r *Registry) PurgeOne(ctx context.Context, e Entry) (bool, error) {
	if !e.Lost() {
		return false, nil
	}
	return r.removeUnchanged(ctx, e)
}

// removeUnchanged removes an entry unless it has beaten since it was read.
func (r *Registry) removeUnchanged(ctx context.Context, e Entry) (bool, error) {
	result, err := r.coll.DeleteOne(ctx, bson.D{
		{Key: "_id", Value: e.ID}, {Key: "heartbeat.at", Value: e.Heartbeat.At},
	})
	if err != nil {
		return false, fmt.Errorf("remove server %s from the registry: %w", e.Name, err)
	}
	return result.DeletedCount == 1, nil
}

// NameTakenError says that a living server has the name already.
type NameTakenError struct {
	Name string
	By   bson.ObjectID
	At   time.Time // of its last beat
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("a server named %s is in the registry already (id %s): "+
		"choose another name, or stop that one", e.Name, e.By.Hex())
}

// ensure creates the index that keeps names unique.
func (r *Registry) ensure(ctx context.Context) error {
	_, err := r.coll.Indexes().CreateOne(ctx, mongo.IndexModel{
		Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true),
	})
	if err != nil {
		return fmt.Errorf("create the registry's index on names: %w", err)
	}
	return nil
}

// register adds the entry. The name of a lost server may be taken over; that of
// a living one gives a NameTakenError.
func (r *Registry) register(ctx context.Context, e Entry) error {
	if err := r.ensure(ctx); err != nil {
		return err
	}
	r.trail.keepAs(ctx)
	if err := r.describe(ctx, e); err != nil {
		return err
	}
	return r.beat(ctx, e)
}

// beat writes the entry, with the database's time as that of the beat. One that
// has been removed from outside is there again afterwards, as if it registered.
func (r *Registry) beat(ctx context.Context, e Entry) error {
	err := r.write(ctx, e)
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	holder, err := r.named(ctx, e.Name)
	if err != nil {
		return err
	}
	if !holder.Lost() {
		return &NameTakenError{Name: e.Name, By: holder.ID, At: holder.Heartbeat.At}
	}
	if _, err := r.removeUnchanged(ctx, holder); err != nil {
		return err
	}
	return r.write(ctx, e)
}

func (r *Registry) named(ctx context.Context, name string) (Entry, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		if e.Name == name {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("the registry refused the name %s but does not have it: try again", name)
}

// write updates the entry, and adds it only when it is not there: a beat that
// was given up, and that the database carries out after the server has left, then
// brings nobody back.
func (r *Registry) write(ctx context.Context, e Entry) error {
	update := bson.D{
		{Key: "$set", Value: beatFields(e)},
		{Key: "$currentDate", Value: bson.D{{Key: "heartbeat.at", Value: true}}},
	}
	id := bson.D{{Key: "_id", Value: e.ID}}
	result, err := r.coll.UpdateOne(ctx, id, update)
	if err == nil && result.MatchedCount == 0 {
		_, err = r.coll.UpdateOne(ctx, id, update, options.UpdateOne().SetUpsert(true))
	}
	if err != nil {
		return fmt.Errorf("write server %s to the registry: %w", e.Name, err)
	}
	return nil
}

// beatFields are what a beat sets; publishers' fields are left alone, unless the
// server has applied another state.
func beatFields(e Entry) bson.D {
	h := e.Heartbeat
	set := bson.D{
		{Key: "name", Value: e.Name}, {Key: "host", Value: e.Host}, {Key: "pid", Value: e.PID},
		{Key: "version", Value: e.Version}, {Key: "labels", Value: e.Labels},
		{Key: "started_at", Value: e.StartedAt}, {Key: "lifecycle", Value: e.Lifecycle},
		{Key: "paused", Value: e.Paused}, {Key: "consumer", Value: e.Consumer}, {Key: "actions", Value: e.Actions},
		{Key: "traits", Value: e.Traits}, {Key: "table_id", Value: e.TableID},
		{Key: "heartbeat.position", Value: h.Position}, {Key: "heartbeat.state", Value: h.State},
		{Key: "heartbeat.last_error", Value: h.LastError},
		{Key: "heartbeat.lag_ms", Value: h.LagMS}, {Key: "heartbeat.gaps", Value: h.Gaps},
		{Key: "heartbeat.reconnects", Value: h.Reconnects}, {Key: "heartbeat.interval_ms", Value: h.IntervalMS},
		{Key: "heartbeat.rtt_ms", Value: h.RTTMS}, {Key: "heartbeat.rss", Value: h.RSS},
		{Key: "heartbeat.goroutines", Value: h.Goroutines}, {Key: "heartbeat.workers", Value: h.Workers},
	}
	if e.Desired.Paused != nil {
		set = append(set, bson.E{Key: "desired.paused", Value: *e.Desired.Paused})
	}
	for component, level := range e.Desired.LogLevels {
		set = append(set, bson.E{Key: "desired.log_levels." + component, Value: level})
	}
	return set
}

func (r *Registry) remove(ctx context.Context, id bson.ObjectID) error {
	_, err := r.coll.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return fmt.Errorf("leave the registry: %w", err)
	}
	return nil
}
