package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

// ActionsCollection is the name of the collection of action tables: one for all
// servers whose actions are the same.
const ActionsCollection = "actions"

// actionTable is a document of that collection; its id follows from the table.
type actionTable struct {
	ID    string             `bson:"_id"`
	Table []event.ActionInfo `bson:"table"`
}

func newActionTable(table []event.ActionInfo) actionTable {
	raw, err := bson.Marshal(actionTable{Table: table})
	if err != nil {
		return actionTable{} // cannot happen: a table has texts and numbers
	}
	sum := sha256.Sum256(raw)
	return actionTable{hex.EncodeToString(sum[:12]), table}
}

// describe stores the table of the server's actions, if it is a new one.
func (r *Registry) describe(ctx context.Context, e Entry) error {
	if e.TableID == "" {
		return nil
	}
	id := bson.D{{Key: "_id", Value: e.TableID}}
	set := bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "table", Value: e.Table}}}}
	_, err := r.tables.UpdateOne(ctx, id, set, options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) { // another server was quicker
		return fmt.Errorf("describe the actions in the registry: %w", err)
	}
	return nil
}

// ListTables is List with the tables of the servers' actions.
func (r *Registry) ListTables(ctx context.Context) ([]Entry, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	cursor, err := r.tables.Find(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("read the action tables: %w", err)
	}
	var tables []actionTable
	if err := cursor.All(ctx, &tables); err != nil {
		return nil, fmt.Errorf("read the action tables: %w", err)
	}
	byID := map[string][]event.ActionInfo{}
	for _, t := range tables {
		byID[t.ID] = t.Table
	}
	for i := range entries {
		entries[i].Table = byID[entries[i].TableID]
	}
	return entries, nil
}
