package embedded

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// createIndexes records the indexes of a capped collection, where queries scan
// in any case, and gives FerretDB those of others, without their TTL.
func (s *session) createIndexes(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	specs := r.docs(a, "indexes")
	if a.err != nil {
		return nil, a.err
	}
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if coll := s.capped(r); coll != nil {
		a.ignored("commitQuorum")
		if err := a.done(); err != nil {
			return nil, err
		}
		return coll.createIndexes(specs)
	}
	var ttls []ttlIndex
	for i, spec := range specs {
		t, isTTL, err := s.ttlOf(r, spec)
		if err != nil {
			return nil, err
		}
		if isTTL {
			ttls = append(ttls, t)
			specs[i] = without(spec, "expireAfterSeconds")
		}
	}
	forward := newRequest(r.db(), bson.D{{Key: "createIndexes", Value: r.collection()}, {Key: "indexes", Value: rawArray(specs)}})
	reply, err := s.backend.send(forward)
	if err != nil {
		return nil, err
	}
	return reply, s.store.ttl.add(ttls...)
}

func rawArray(docs []bsoncore.Document) bson.A {
	a := bson.A{}
	for _, d := range docs {
		a = append(a, bson.Raw(d))
	}
	return a
}

// ttlOf reads the TTL of an index, by MongoDB's rules for it.
func (s *session) ttlOf(r *request, spec bsoncore.Document) (t ttlIndex, ok bool, err error) {
	after, ok := lookup(spec, "expireAfterSeconds")
	key, _ := lookup(spec, "key")
	fields, _ := key.DocumentOK()
	t = ttlIndex{DB: r.db(), Collection: r.collection(), Name: nameOf(spec)}
	old, had := s.store.ttl.find(t.DB, t.Collection, t.Name)
	if !ok {
		if had {
			return t, false, refuse(codeIndexOptions, "An equivalent index already exists with the same name but different options: %s", t.Name)
		}
		return t, false, nil
	}
	const longest = 1<<31 - 1
	t.Seconds, ok = wholeNumber(after)
	elems := elements(fields)
	switch {
	case !ok || t.Seconds < 0 || t.Seconds > longest:
		return t, false, refuse(codeCannotCreateIndex, "TTL index 'expireAfterSeconds' option must be a whole number of 0 to %d", longest)
	case len(elems) != 1 || elems[0].Key() == "_id":
		return t, false, refuse(codeCannotCreateIndex, "TTL indexes are single-field indexes, and not of _id")
	case had && old.Seconds != t.Seconds:
		return t, false, refuse(codeIndexOptions, "An equivalent index already exists with the same name but different options: "+
			"%s expires after %d s; drop it first", t.Name, old.Seconds)
	}
	t.Field = elems[0].Key()
	return t, true, nil
}

func (c *capped) createIndexes(specs []bsoncore.Document) (bsoncore.Document, error) {
	before, after := 0, 0
	err := c.setIndexes(func(list []index) ([]index, error) {
		next := slices.Clone(list)
		before = len(list) + 1
		for _, spec := range specs {
			var err error
			if next, err = addIndex(next, spec); err != nil {
				return nil, err
			}
		}
		after = len(next) + 1
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return okReply(bson.E{Key: "numIndexesBefore", Value: int32(before)}, bson.E{Key: "numIndexesAfter", Value: int32(after)},
		bson.E{Key: "createdCollectionAutomatically", Value: false}), nil
}

func addIndex(list []index, spec bsoncore.Document) ([]index, error) {
	a := newArgs(nil)
	a.body = spec
	key, name := a.doc("key"), a.string("name")
	a.ignored("v", "ns", "background", "sparse", "hidden")
	a.unless("unique", "expireAfterSeconds", "partialFilterExpression", "collation")
	if err := a.done(); err != nil {
		return nil, err
	}
	if _, ttl := lookup(spec, "expireAfterSeconds"); ttl {
		return nil, refuse(codeCannotCreateIndex, "Cannot create TTL index on a capped collection")
	}
	if len(elements(key)) == 0 || name == "" {
		return nil, refuse(codeCannotCreateIndex, "an index needs a name and a key with at least one field")
	}
	primary, _ := lookup(idIndex(), "key")
	if name == "_id_" || string(key) == string(primary.Data) {
		return list, nil
	}
	for _, i := range list {
		switch same := string(i.Key) == string(key); {
		case i.Name == name && same:
			return list, nil
		case i.Name == name:
			return nil, refuse(codeIndexConflict, "An existing index has the same name as the requested index: %s", name)
		case same:
			return nil, refuse(codeIndexOptions, "Index already exists with a different name: %s", i.Name)
		}
	}
	return append(list, index{Name: name, Key: bson.Raw(key)}), nil
}

func (s *session) dropIndexes(r *request) (bsoncore.Document, error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	which, _ := lookup(r.body, "index")
	if coll := s.capped(r); coll != nil {
		return coll.dropIndexes(which)
	}
	reply, err := s.backend.send(r)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	if err := s.eachIndex(r, func(d bsoncore.Document) { left[nameOf(d)] = true }); err != nil {
		return nil, err
	}
	return reply, s.store.ttl.remove(func(i ttlIndex) bool {
		return i.DB == r.db() && i.Collection == r.collection() && !left[i.Name]
	})
}

func (c *capped) dropIndexes(which bsoncore.Value) (bsoncore.Document, error) {
	before := len(c.indexes())
	err := c.setIndexes(func(list []index) ([]index, error) {
		name, isName := which.StringValueOK()
		if isName && name == "*" {
			return nil, nil
		}
		left := slices.DeleteFunc(slices.Clone(list), func(i index) bool {
			return isName && i.Name == name || which.Type == bsoncore.TypeEmbeddedDocument && string(i.Key) == string(which.Data)
		})
		if len(left) == len(list) {
			return nil, refuse(codeIndexNotFound, "index not found, or it is that of _id: %v", which)
		}
		return left, nil
	})
	return okReply(bson.E{Key: "nIndexesWas", Value: int32(before)}), err
}

// eachIndex visits FerretDB's indexes of an ordinary collection.
func (s *session) eachIndex(r *request, visit func(bsoncore.Document)) error {
	reply, err := s.backend.send(newRequest(r.db(), bson.D{{Key: "listIndexes", Value: r.collection()}}))
	if err != nil {
		return err
	}
	for _, d := range firstBatchOf(reply) {
		visit(d)
	}
	return nil
}

func (s *session) listIndexes(r *request) (bsoncore.Document, error) {
	b := newBatch(-1)
	if coll := s.capped(r); coll != nil {
		for _, i := range coll.indexes() {
			b.add(document(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: i.Key}, {Key: "name", Value: i.Name}}))
		}
		return b.reply("firstBatch", r.namespace(), 0), nil
	}
	err := s.eachIndex(r, func(d bsoncore.Document) {
		if t, ok := s.store.ttl.find(r.db(), r.collection(), nameOf(d)); ok {
			d = with(d, "expireAfterSeconds", bsoncore.Value{Type: bsoncore.TypeInt32, Data: bsoncore.AppendInt32(nil, int32(t.Seconds))})
		}
		b.add(d)
	})
	if err != nil {
		return nil, err
	}
	return b.reply("firstBatch", r.namespace(), 0), nil
}
