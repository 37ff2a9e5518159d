package embedded

import (
	"fmt"
	"regexp"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// sqliteConflict is how SQLite names a unique index: by FerretDB's table, whose
// name ends with a hash, and the name of the index.
var sqliteConflict = regexp.MustCompile(`UNIQUE constraint failed: index '[^']*?_[0-9a-f]{8}_([^']+)'`)

// duplicate is the error of a document that is there already, in MongoDB's
// words: they name the index, which tells callers an event published twice from
// a name that is taken.
func duplicate(ns, index string, keys bsoncore.Document) *commandError {
	message := fmt.Sprintf("E11000 duplicate key error collection: %s index: %s", ns, index)
	if keys != nil {
		var parts []string
		for _, e := range elements(keys) {
			parts = append(parts, e.Key()+": "+e.Value().String())
		}
		message += " dup key: { " + strings.Join(parts, ", ") + " }"
	}
	return &commandError{code: codeDuplicateKey, keys: keys, message: message}
}

// translate mends what FerretDB says differently from MongoDB. Doc is the
// document that could not be stored, nil when it is not known. The write lock
// is held.
func (s *session) translate(r *request, doc bsoncore.Document, err error) error {
	e := asCommandError(err)
	if m := sqliteConflict.FindStringSubmatch(e.message); m != nil {
		return duplicate(r.namespace(), m[1], nil)
	}
	if e.code != codeDuplicateKey {
		return err
	}
	return s.nameConflict(r, doc)
}

// nameConflict finds out which index it was that refused doc.
func (s *session) nameConflict(r *request, doc bsoncore.Document) error {
	if id, ok := lookup(doc, "_id"); ok && s.has(r, field("_id", id)) {
		return duplicate(r.namespace(), "_id_", field("_id", id))
	}
	var unique []string
	var found error
	err := s.eachIndex(r, func(d bsoncore.Document) {
		if is, _ := lookup(d, "unique"); !truthy(is) || found != nil {
			return
		}
		unique = append(unique, nameOf(d))
		pattern, _ := lookup(d, "key")
		if keys := keysOf(doc, pattern.Data); doc != nil && s.has(r, keys) {
			found = duplicate(r.namespace(), nameOf(d), keys)
		}
	})
	if found != nil {
		return found
	}
	if err != nil || len(unique) == 0 {
		return duplicate(r.namespace(), "_id_", nil)
	}
	return duplicate(r.namespace(), strings.Join(unique, " or "), nil)
}

// keysOf are the values of doc in an index.
func keysOf(doc, pattern bsoncore.Document) bsoncore.Document {
	b := bsoncore.NewDocumentBuilder()
	for _, e := range elements(pattern) {
		var v bsoncore.Value
		if doc != nil {
			v, _ = doc.LookupErr(strings.Split(e.Key(), ".")...)
		}
		if v.Type == 0 {
			v.Type = bsoncore.TypeNull
		}
		b.AppendValue(e.Key(), v)
	}
	return b.Build()
}

// has asks FerretDB for a document.
func (s *session) has(r *request, filter bsoncore.Document) bool {
	reply, err := s.backend.send(newRequest(r.db(), bson.D{{Key: "find", Value: r.collection()},
		{Key: "filter", Value: bson.Raw(filter)}, {Key: "limit", Value: int32(1)}}))
	return err == nil && len(firstBatchOf(reply)) > 0
}
