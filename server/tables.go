package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
)

// ActionsCollection is the name of the collection that describes servers: one
// document for all whose actions and declared settings are the same.
const ActionsCollection = "actions"

// description is a document of that collection; its id follows from the rest.
type description struct {
	ID       string               `bson:"_id"`
	Table    []event.ActionInfo   `bson:"table"`
	Settings []config.Declaration `bson:"settings,omitempty"`
}

func newDescription(table []event.ActionInfo, settings []config.Declaration) description {
	d := description{Table: table, Settings: settings}
	raw, err := bson.Marshal(d)
	if err != nil {
		return description{} // cannot happen: it has texts and numbers
	}
	sum := sha256.Sum256(raw)
	d.ID = hex.EncodeToString(sum[:12])
	return d
}

// declarations are the settings that the server has declared.
func (s *Server) declarations() []config.Declaration {
	if s.given.Settings == nil {
		return nil
	}
	return s.given.Settings.Declarations()
}

// describe stores what the server can do and be told, if it is something new.
func (r *Registry) describe(ctx context.Context, e Entry) error {
	if e.TableID == "" {
		return nil
	}
	id := bson.D{{Key: "_id", Value: e.TableID}}
	set := bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "table", Value: e.Table}, {Key: "settings", Value: e.Settings}}}}
	_, err := r.tables.UpdateOne(ctx, id, set, options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) { // another server was quicker
		return fmt.Errorf("describe the server in the registry: %w", err)
	}
	return nil
}

// ListTables is List with the tables of the servers' actions and settings.
func (r *Registry) ListTables(ctx context.Context) ([]Entry, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	cursor, err := r.tables.Find(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("read the action tables: %w", err)
	}
	var tables []description
	if err := cursor.All(ctx, &tables); err != nil {
		return nil, fmt.Errorf("read the action tables: %w", err)
	}
	byID := map[string]description{}
	for _, t := range tables {
		byID[t.ID] = t
	}
	for i := range entries {
		d := byID[entries[i].TableID]
		entries[i].Table, entries[i].Settings = d.Table, d.Settings
	}
	return entries, nil
}
