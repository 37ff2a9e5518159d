package embedded

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// exists asks FerretDB for an ordinary collection.
func (s *session) exists(db, name string) (bool, error) {
	found, err := s.ordinary(db)
	return slices.ContainsFunc(found, func(d bsoncore.Document) bool { return nameOf(d) == name }), err
}

func nameOf(d bsoncore.Document) string {
	v, _ := lookup(d, "name")
	return text(v)
}

// ordinary lists FerretDB's collections of a database.
func (s *session) ordinary(db string) ([]bsoncore.Document, error) {
	reply, err := s.backend.send(newRequest(db, bson.D{{Key: "listCollections", Value: 1}}))
	if err != nil {
		return nil, err
	}
	return firstBatchOf(reply), nil
}

func firstBatchOf(reply bsoncore.Document) []bsoncore.Document {
	c, _ := lookup(reply, "cursor")
	b, _ := lookup(c.Data, "firstBatch")
	return docsOf(b)
}

func docsOf(array bsoncore.Value) []bsoncore.Document {
	var docs []bsoncore.Document
	for _, e := range elements(array.Data) {
		if d, ok := e.Value().DocumentOK(); ok {
			docs = append(docs, d)
		}
	}
	return docs
}

// create makes a collection. That it is there already is a success when it was
// created alike, as in MongoDB since 7.0.
func (s *session) create(r *request) (bsoncore.Document, error) {
	if err := validName(r); err != nil {
		return nil, err
	}
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if wanted, _ := lookup(r.body, "capped"); truthy(wanted) {
		return s.createCapped(r)
	}
	if s.capped(r) != nil {
		return nil, alreadyExists(r)
	}
	reply, err := s.backend.send(r)
	if e := asCommandError(err); err != nil && e.code == codeNamespaceExists && newArgs(r.body).done() == nil {
		return okReply(), nil // with no options, as before
	}
	return reply, err
}

func alreadyExists(r *request) error {
	return refuse(codeNamespaceExists, "Collection already exists with different options. NS: %s", r.namespace())
}

func (s *session) createCapped(r *request) (bsoncore.Document, error) {
	opts, err := createOptions(r)
	if err != nil {
		return nil, err
	}
	if coll := s.capped(r); coll != nil {
		if old := coll.state().opts; old.Size != opts.Size || old.Max != opts.Max {
			return nil, alreadyExists(r)
		}
		return okReply(), nil
	}
	exists, err := s.exists(r.db(), r.collection())
	if err != nil {
		return nil, err
	}
	if exists {
		return nil, alreadyExists(r)
	}
	if err := s.store.catalog.create(opts); err != nil {
		return nil, err
	}
	return okReply(), nil
}

// createOptions reads what a capped collection shall be like.
func createOptions(r *request) (cappedOptions, error) {
	a := newArgs(r.body)
	opts := cappedOptions{DB: r.db(), Name: r.collection(), UUID: newUUID()}
	a.bool("capped", true)
	opts.Size, opts.Max = a.int("size", 0), a.int("max", 0)
	a.ignored("autoIndexId", "storageEngine", "indexOptionDefaults", "flags", "idIndex")
	a.unless("validator", "validationLevel", "validationAction", "collation", "timeseries", "expireAfterSeconds",
		"clusteredIndex", "viewOn", "pipeline", "changeStreamPreAndPostImages", "encryptedFields")
	if err := a.done(); err != nil {
		return opts, err
	}
	const largest = 1 << 50 // a petabyte, as in MongoDB
	switch {
	case opts.Size == 0:
		return opts, refuse(codeInvalidOptions, "the 'size' field is required when 'capped' is true")
	case opts.Size > largest:
		return opts, refuse(codeBadValue, "size of a capped collection: at most %d bytes", int64(largest))
	case opts.Max >= 1<<31:
		return opts, refuse(codeBadValue, "max in a capped collection has to be < 2^31 or not set")
	}
	opts.Size = roundCapped(opts.Size)
	return opts, nil
}

func (s *session) drop(r *request) (bsoncore.Document, error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if coll := s.capped(r); coll != nil {
		n := len(coll.indexes())
		return okReply(bson.E{Key: "nIndexesWas", Value: int32(n)}, bson.E{Key: "ns", Value: r.namespace()}), s.store.catalog.drop(coll)
	}
	reply, err := s.backend.send(r)
	if err != nil {
		return nil, err
	}
	return reply, s.store.ttl.remove(func(i ttlIndex) bool { return i.DB == r.db() && i.Collection == r.collection() })
}

func (s *session) dropDatabase(r *request) (bsoncore.Document, error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	for _, coll := range s.store.catalog.inDatabase(r.db()) {
		if err := s.store.catalog.drop(coll); err != nil {
			return nil, err
		}
	}
	if _, err := s.backend.send(r); err != nil {
		return nil, err
	}
	return okReply(bson.E{Key: "dropped", Value: r.db()}), s.store.ttl.remove(func(i ttlIndex) bool { return i.DB == r.db() })
}

// rename works for ordinary collections.
func (s *session) rename(r *request) (bsoncore.Document, error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	from := r.collection() // with its database
	if s.store.catalog.get(from) != nil {
		return nil, unsupported("renaming a capped collection")
	}
	to, _ := lookup(r.body, "to")
	target, _ := to.StringValueOK()
	if s.store.catalog.get(target) != nil {
		return nil, refuse(codeNamespaceExists, "target namespace exists: %s is a capped collection", target)
	}
	reply, err := s.backend.send(r)
	if err != nil {
		return nil, err
	}
	return reply, s.store.ttl.change(func(list []ttlIndex) []ttlIndex { return renamed(list, from, target) })
}

func renamed(list []ttlIndex, from, to string) []ttlIndex {
	for i := range list {
		if list[i].DB+"."+list[i].Collection == from {
			list[i].DB, list[i].Collection, _ = strings.Cut(to, ".")
		}
	}
	return list
}

func (s *session) listCollections(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	filter, _ := a.filter("filter")
	nameOnly := a.bool("nameOnly", false)
	if a.err != nil {
		return nil, a.err
	}
	docs, err := s.ordinary(r.db())
	if err != nil {
		return nil, err
	}
	for _, coll := range s.store.catalog.inDatabase(r.db()) {
		docs = append(docs, coll.describe())
	}
	slices.SortFunc(docs, func(a, b bsoncore.Document) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	b := newBatch(-1)
	for _, d := range docs {
		if !filter(d) {
			continue
		}
		if nameOnly {
			kind, _ := lookup(d, "type")
			d = bsoncore.NewDocumentBuilder().AppendString("name", nameOf(d)).AppendValue("type", kind).Build()
		}
		if !b.add(d) {
			return nil, unsupported("so many collections")
		}
	}
	return b.reply("firstBatch", r.db()+".$cmd.listCollections", 0), nil
}

func (s *session) listDatabases(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	filter, _ := a.filter("filter")
	nameOnly := a.bool("nameOnly", false)
	if a.err != nil {
		return nil, a.err
	}
	reply, err := s.backend.send(newRequest(r.db(), bson.D{{Key: "listDatabases", Value: 1}}))
	if err != nil {
		return nil, err
	}
	sizes := s.store.catalog.databases()
	theirs, _ := lookup(reply, "databases")
	for _, d := range docsOf(theirs) {
		size, _ := lookup(d, "sizeOnDisk")
		n, _ := wholeNumber(size)
		sizes[nameOf(d)] += n
	}
	listed, total := bson.A{}, int64(0)
	for _, name := range sortedKeys(sizes) {
		d := bson.D{{Key: "name", Value: name}, {Key: "sizeOnDisk", Value: sizes[name]}, {Key: "empty", Value: false}}
		if !filter(document(d)) {
			continue
		}
		total += sizes[name]
		if nameOnly {
			d = d[:1]
		}
		listed = append(listed, d)
	}
	fields := bson.D{{Key: "databases", Value: listed}}
	if !nameOnly {
		fields = append(fields, bson.E{Key: "totalSize", Value: total}, bson.E{Key: "totalSizeMb", Value: total >> 20})
	}
	return okReply(fields...), nil
}

// dbStats adds the capped collections to FerretDB's sums.
func (s *session) dbStats(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	scale := max(1, a.int("scale", 1))
	if a.err != nil {
		return nil, a.err
	}
	reply, err := s.backend.send(r)
	if err != nil {
		return nil, err
	}
	more := map[string]int64{}
	for _, coll := range s.store.catalog.inDatabase(r.db()) {
		st := coll.state()
		more["collections"]++
		more["indexes"] += int64(1 + len(st.opts.Indexes))
		more["objects"] += st.count
		for _, size := range []string{"dataSize", "storageSize", "totalSize"} {
			more[size] += st.bytes / scale
		}
	}
	for _, field := range sortedKeys(more) {
		v, _ := lookup(reply, field)
		sum := bsoncore.AppendInt64(nil, int64(float(v))+more[field])
		reply = with(reply, field, bsoncore.Value{Type: bsoncore.TypeInt64, Data: sum})
	}
	return reply, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
