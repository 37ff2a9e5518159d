package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/fleetcast/fleetcast/event"
)

// Collection is the name of the collection of settings.
const Collection = "settings"

// StoreConfig configures a [Store]. The zero value works, without secrets.
type StoreConfig struct {
	// Keyring encrypts and decrypts secrets. Default: none.
	Keyring *Keyring
	// Secret reports whether a path has been declared secret, so that a value that was
	// set before that, in the clear, is not shown either. Default: none has.
	Secret func(path string) bool
	// By is who changes settings. Default: [event.ThisProcess].
	By event.Publisher
}

// Store is the collection of settings in a database. It is safe for concurrent use.
//
// A setting has one document for each scope, which also has its former versions: a
// change and its record are one write, so none can be without the other.
type Store struct {
	coll *mongo.Collection
	keys *Keyring
	by   event.Publisher

	declaredSecret func(path string) bool
}

// NewStore returns the settings in this database. It does no I/O.
func NewStore(db *mongo.Database, cfg StoreConfig) *Store {
	// From the primary, whatever the URI says: what was just written counts.
	lasting := options.Collection().SetReadPreference(readpref.Primary()).SetWriteConcern(writeconcern.Majority())
	s := &Store{db.Collection(Collection, lasting), cfg.Keyring, cmp.Or(cfg.By, event.ThisProcess()), cfg.Secret}
	if s.declaredSecret == nil {
		s.declaredSecret = func(string) bool { return false }
	}
	return s
}

// secret reports whether nobody shall see what is at a path.
func (s *Store) secret(path string) bool { return SecretPath(path) || s.declaredSecret(path) }

// Setting is the value of a path in a scope, as the collection has it.
type Setting struct {
	Path  string `bson:"path" json:"path"`
	Scope Scope  `bson:"scope" json:"scope"`
	// Value is a string, a bool, an int64, a float64 or a list of them; durations,
	// regular expressions and JSON are text. A secret one is ****.
	Value  any  `bson:"value" json:"value"`
	Secret bool `bson:"secret,omitempty" json:"secret,omitempty"`
	// Version counts the changes, from 1; it goes on when the setting is unset and set
	// again.
	Version   int64           `bson:"version" json:"version"`
	UpdatedAt time.Time       `bson:"updated_at" json:"updated_at"` // by the database's clock
	UpdatedBy event.Publisher `bson:"updated_by" json:"updated_by"`
}

// content is one version of a setting.
type content struct {
	Value     any             `bson:"value,omitempty"`
	Sealed    *Sealed         `bson:"sealed,omitempty"` // in place of the value of a secret
	Unset     bool            `bson:"unset,omitempty"`
	Version   int64           `bson:"version"`
	UpdatedAt time.Time       `bson:"updated_at"`
	UpdatedBy event.Publisher `bson:"updated_by"`
}

// stored is a document of the collection.
type stored struct {
	ID      string    `bson:"_id"`
	Path    string    `bson:"path"`
	Scope   Scope     `bson:"scope"`
	Now     content   `bson:",inline"`
	History []content `bson:"history,omitempty"` // former versions, the oldest first

	exists bool // in the collection
	hidden bool // nobody shall see the value, though it may be in the clear
}

// documentID is the _id: a path has no @.
func documentID(path string, scope Scope) string { return path + "@" + string(scope) }

func (s stored) isSet() bool { return s.exists && !s.Now.Unset }

// secret reports whether nobody shall see the value.
func (s stored) secret() bool { return s.Now.Sealed != nil || s.hidden }

func (s stored) setting() Setting {
	return Setting{
		Path: s.Path, Scope: s.Scope, Value: s.shown(s.Now), Secret: s.secret(),
		Version: s.Now.Version, UpdatedAt: s.Now.UpdatedAt, UpdatedBy: s.Now.UpdatedBy,
	}
}

// shown is the value of a version for people, nil when it was unset.
func (s stored) shown(c content) any {
	switch {
	case c.Unset:
		return nil
	case c.Sealed != nil || c.Value == nil || s.hidden:
		return event.Hidden
	}
	v, err := plain(c.Value)
	if err != nil || isTree(v) {
		return write(v)
	}
	return v
}

// open returns the plain value, decrypted.
func (s *Store) open(d stored) (any, error) {
	if d.Now.Sealed != nil {
		return s.keys.open(d.Path, d.Scope, *d.Now.Sealed)
	}
	return plain(d.Now.Value)
}

// Get returns a setting, or [ErrNotFound].
func (s *Store) Get(ctx context.Context, path string, scope Scope) (Setting, error) {
	d, err := s.find(ctx, path, scope)
	if err != nil {
		return Setting{}, err
	}
	if !d.isSet() {
		return Setting{}, fmt.Errorf("%s for %s: %w", path, scope, ErrNotFound)
	}
	return d.setting(), nil
}

// Reveal returns the value of a setting in the clear, or [ErrNotFound]. Before, it
// calls record, which writes down that somebody wants to see it; when that fails,
// nothing is revealed.
func (s *Store) Reveal(ctx context.Context, path string, scope Scope, record func(context.Context) error) (any, error) {
	d, err := s.find(ctx, path, scope)
	if err == nil && !d.isSet() {
		err = fmt.Errorf("%s for %s: %w", path, scope, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, errors.New("config: Store.Reveal wants to be recorded")
	}
	if err := record(ctx); err != nil {
		return nil, fmt.Errorf("%s is not revealed, because that could not be written down: %w", path, err)
	}
	value, err := s.open(d)
	if err != nil {
		return nil, fmt.Errorf("%s for %s: %w", path, scope, err)
	}
	return value, nil
}

// find reads a document, without its history, if there is one.
func (s *Store) find(ctx context.Context, path string, scope Scope) (stored, error) {
	return s.read(ctx, path, scope, options.FindOne().SetProjection(withoutHistory))
}

var withoutHistory = bson.D{{Key: "history", Value: 0}}

func (s *Store) read(ctx context.Context, path string, scope Scope, opts *options.FindOneOptionsBuilder) (stored, error) {
	d := stored{ID: documentID(path, scope), Path: path, Scope: scope, hidden: s.secret(path)}
	err := s.coll.FindOne(ctx, bson.D{{Key: "_id", Value: d.ID}}, opts).Decode(&d)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return d, unavailable("read the setting "+path, err)
	}
	d.exists = err == nil
	return d, nil
}

// Filter chooses settings; the zero value means all.
type Filter struct {
	Under string // a path; what is at it and below
	Scope Scope  // Default: all
}

func (f Filter) query() bson.D {
	query := bson.D{}
	if f.Under != "" {
		query = append(query, bson.E{Key: "path", Value: bson.Regex{Pattern: "^" + regexp.QuoteMeta(f.Under) + "(/|$)"}})
	}
	if f.Scope != "" {
		query = append(query, bson.E{Key: "scope", Value: string(f.Scope)})
	}
	return query
}

// List returns the settings that are set, by path and then by scope.
func (s *Store) List(ctx context.Context, f Filter) ([]Setting, error) {
	docs, err := s.query(ctx, f.query())
	if err != nil {
		return nil, err
	}
	settings := make([]Setting, 0, len(docs))
	for _, d := range docs {
		settings = append(settings, d.setting())
	}
	return settings, nil
}

// load reads what is set in these scopes.
func (s *Store) load(ctx context.Context, scopes []Scope) ([]stored, error) {
	in := bson.A{}
	for _, scope := range scopes {
		in = append(in, string(scope))
	}
	return s.query(ctx, bson.D{{Key: "scope", Value: bson.D{{Key: "$in", Value: in}}}})
}

func (s *Store) query(ctx context.Context, query bson.D) ([]stored, error) {
	docs, err := s.all(ctx, query, options.Find().SetProjection(withoutHistory))
	if err != nil {
		return nil, unavailable("read the settings", err)
	}
	return inOrder(docs), nil
}

func (s *Store) all(ctx context.Context, query bson.D, opts *options.FindOptionsBuilder) (docs []stored, err error) {
	cursor, err := s.coll.Find(ctx, query, opts)
	if err == nil {
		err = cursor.All(ctx, &docs)
	}
	for i := range docs {
		docs[i].hidden = s.secret(docs[i].Path)
	}
	return docs, err
}
