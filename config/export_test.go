package config

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.yaml.in/yaml/v3"
)

// Reparse parses a plain value and shows it.
func Reparse(typ string, v any) (any, error) {
	parsed, err := parse(typ, v)
	if err != nil {
		return nil, err
	}
	return show(parsed), nil
}

// Written is how a default is written.
var Written = write

// Redirect gives settings that do not run yet another collection, as if the database
// were there now.
func Redirect(s *Settings, store *Store) { s.cfg.Store = store }

// YAML writes an export.
func YAML(list []Exported) ([]byte, error) { return yaml.Marshal(list) }

// WithKeyring returns the same collection with other keys.
func WithKeyring(s *Store, k *Keyring) *Store {
	other := *s
	other.keys = k
	return &other
}

// WithSecret returns the same collection with other paths that are secret.
func WithSecret(s *Store, secret func(path string) bool) *Store {
	other := *s
	other.declaredSecret = secret
	return &other
}

// PutSealed writes a sealed value where it does not belong.
func PutSealed(ctx context.Context, s *Store, path string, scope Scope, sealed Sealed) error {
	set := bson.D{{Key: "path", Value: path}, {Key: "scope", Value: scope}, {Key: "sealed", Value: sealed}}
	_, err := s.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: documentID(path, scope)}}, bson.D{{Key: "$set", Value: set}}, options.UpdateOne().SetUpsert(true))
	return err
}

// Documents are all documents of the collection, as they are.
func Documents(ctx context.Context, s *Store) (string, error) {
	cursor, err := s.coll.Find(ctx, bson.D{})
	if err != nil {
		return "", err
	}
	var docs []bson.Raw
	if err := cursor.All(ctx, &docs); err != nil {
		return "", err
	}
	var all strings.Builder
	for _, d := range docs {
		all.Write(d)
	}
	return all.String(), nil
}
