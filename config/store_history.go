package config

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

// Record is one change to a setting that is on record.
type Record struct {
	Path    string `bson:"path" json:"path"`
	Scope   Scope  `bson:"scope" json:"scope"`
	Version int64  `bson:"version" json:"version"`
	// Old and New are as [Setting.Value]; nil where it was not set. Old is unknown of
	// the oldest record that is kept, if that is not the first version.
	Old    any             `bson:"old" json:"old"`
	New    any             `bson:"new" json:"new"`
	Secret bool            `bson:"secret,omitempty" json:"secret,omitempty"`
	At     time.Time       `bson:"at" json:"at"` // by the database's clock
	By     event.Publisher `bson:"by" json:"by"`
}

// History returns the changes on record of the settings that match, the newest first:
// of each path and scope the last [MaxHistory] at most. Limit bounds their number, 0
// does not.
func (s *Store) History(ctx context.Context, f Filter, limit int) ([]Record, error) {
	docs, err := s.all(ctx, f.query(), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, unavailable("read the history of the settings", err)
	}
	records := []Record{}
	for _, d := range docs {
		records = append(records, d.records()...)
	}
	slices.SortStableFunc(records, func(a, b Record) int { return b.At.Compare(a.At) })
	if limit > 0 && len(records) > limit {
		records = records[:limit]
	}
	return records, nil
}

// records are the changes to a document, the newest first.
func (s stored) records() []Record {
	versions := append(slices.Clip(s.History), s.Now)
	var list []Record
	for i := len(versions) - 1; i >= 0; i-- {
		c := versions[i]
		r := Record{Path: s.Path, Scope: s.Scope, Version: c.Version, New: s.shown(c), Secret: s.secret() || c.Sealed != nil, At: c.UpdatedAt, By: c.UpdatedBy}
		if i > 0 {
			r.Old = s.shown(versions[i-1])
			r.Secret = r.Secret || versions[i-1].Sealed != nil
		}
		list = append(list, r)
	}
	return list
}
