package embedded

import (
	"time"

	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// maxWrites is how many writes one command may carry.
const maxWrites = 100_000

// results collects what became of the writes of one command.
type results struct {
	ordered  bool
	n        int64
	modified int64
	upserted bson.A
	errors   bson.A
}

// failed notes a write's failure; it is true when the others are not to be
// tried.
func (w *results) failed(index int, err error) (stop bool) {
	w.errors = append(w.errors, asCommandError(err).writeError(index))
	return w.ordered
}

func (w *results) reply(more ...bson.E) bsoncore.Document {
	d := bson.D{{Key: "n", Value: int32(w.n)}}
	d = append(d, more...)
	if len(w.upserted) > 0 {
		d = append(d, bson.E{Key: "upserted", Value: w.upserted})
	}
	if len(w.errors) > 0 {
		d = append(d, bson.E{Key: "writeErrors", Value: w.errors})
	}
	return okReply(d...)
}

// insert goes to where the collection lives. Which that is may change until
// the collection or the write lock is held.
func (s *session) insert(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	docs, ordered := r.docs(a, "documents"), a.bool("ordered", true)
	if a.err != nil {
		return nil, a.err
	}
	if len(docs) == 0 || len(docs) > maxWrites {
		return nil, refuse(codeInvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWrites, len(docs))
	}
	if err := validName(r); err != nil {
		return nil, err
	}
	for {
		if coll := s.capped(r); coll != nil {
			if err := a.done(); err != nil {
				return nil, err
			}
			reply, err := insertCapped(coll, docs, ordered)
			if errors.Is(err, errDropped) {
				continue // it is made anew as an ordinary one, as in MongoDB
			}
			return reply, err
		}
		reply, capped, err := s.insertOrdinary(r, docs, ordered)
		if !capped {
			return reply, err
		}
	}
}

func validName(r *request) error {
	if db, name := r.db(), r.collection(); db == "" || name == "" || strings.ContainsAny(name, "\x00$") || strings.ContainsAny(db, "/\\. \"$*<>:|?\x00") {
		return refuse(codeInvalidNamespace, "Invalid namespace specified '%s.%s'", db, name)
	}
	return nil
}

func insertCapped(coll *capped, docs []bsoncore.Document, ordered bool) (bsoncore.Document, error) {
	w := results{ordered: ordered}
	for i, doc := range docs {
		err := coll.insert(doc)
		switch {
		case err == nil:
			w.n++
			continue
		case errors.Is(err, errDropped) && i == 0:
			return nil, err
		}
		if w.failed(i, err) {
			return w.reply(), nil
		}
	}
	return w.reply(), nil
}

func (s *session) insertOrdinary(r *request, docs []bsoncore.Document, ordered bool) (_ bsoncore.Document, capped bool, err error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if s.capped(r) != nil {
		return nil, true, nil
	}
	stamped := make([]bsoncore.Document, len(docs))
	for i, d := range docs {
		if stamped[i], err = stamp(d, s.store.clock); err != nil {
			return nil, false, err
		}
	}
	forward := newRequest(r.db(), bson.D{{Key: "insert", Value: r.collection()}, {Key: "ordered", Value: ordered}})
	forward.series = []series{{"documents", stamped}}
	reply, err := s.backend.send(forward)
	if err != nil {
		return nil, false, err
	}
	var result writeReply
	if err := bson.Unmarshal(reply, &result); err != nil {
		return nil, false, err
	}
	w := results{n: result.N}
	for _, e := range result.Errors {
		var doc bsoncore.Document
		if e.Index >= 0 && e.Index < len(stamped) {
			doc = stamped[e.Index]
		}
		w.failed(e.Index, s.translate(r, doc, e.error()))
	}
	return w.reply(), false, nil
}

// writeReply is FerretDB's answer to inserts and updates.
type writeReply struct {
	N        int64 `bson:"n"`
	Modified int64 `bson:"nModified"`
	Upserted []struct {
		ID bson.RawValue `bson:"_id"`
	} `bson:"upserted"`
	Errors []writeFault `bson:"writeErrors"`
}

type writeFault struct {
	Index   int    `bson:"index"`
	Code    int32  `bson:"code"`
	Message string `bson:"errmsg"`
}

func (f writeFault) error() error { return refuse(code(f.Code), "%s", f.Message) }

// update carries out the updates one by one: FerretDB would end the command at
// the first conflict, and not say at which.
func (s *session) update(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	updates, ordered := r.docs(a, "updates"), a.bool("ordered", true)
	if a.err != nil {
		return nil, a.err
	}
	if err := validName(r); err != nil {
		return nil, err
	}
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if s.capped(r) != nil {
		return nil, unsupported("updates of a capped collection")
	}
	w := results{ordered: ordered}
	for i, u := range updates {
		if err := s.updateOne(r, u, i, &w); err != nil && w.failed(i, err) {
			break
		}
	}
	return w.reply(bson.E{Key: "nModified", Value: int32(w.modified)}), nil
}

func (s *session) updateOne(r *request, update bsoncore.Document, index int, w *results) error {
	update, err := stampUpdate(update, "u", s.store.clock)
	if err != nil {
		return err
	}
	forward := newRequest(r.db(), bson.D{{Key: "update", Value: r.collection()}})
	forward.series = []series{{"updates", []bsoncore.Document{update}}}
	reply, err := s.backend.send(forward)
	if err != nil {
		return s.translate(r, nil, err)
	}
	var result writeReply
	if err := bson.Unmarshal(reply, &result); err != nil {
		return err
	}
	w.n += result.N
	w.modified += result.Modified
	for _, u := range result.Upserted {
		w.upserted = append(w.upserted, bson.D{{Key: "index", Value: int32(index)}, {Key: "_id", Value: u.ID}})
	}
	for _, e := range result.Errors {
		return s.translate(r, nil, e.error())
	}
	return nil
}

func (s *session) remove(r *request) (bsoncore.Document, error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if s.capped(r) != nil {
		return nil, unsupported("deleting from a capped collection")
	}
	return s.backend.send(r)
}

// findAndModify adds what FerretDB lacks: timestamps and a projection.
func (s *session) findAndModify(r *request) (bsoncore.Document, error) {
	fields, err := compileProjection(newArgs(r.body).doc("fields"))
	if err != nil {
		return nil, err
	}
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	if s.capped(r) != nil {
		return nil, unsupported("findAndModify on a capped collection")
	}
	forward := *r
	if forward.body, err = stampUpdate(r.body, "update", s.store.clock); err != nil {
		return nil, err
	}
	forward.body = without(forward.body, "fields")
	reply, err := s.backend.send(&forward)
	if err != nil {
		return nil, s.translate(r, nil, err)
	}
	v, _ := lookup(reply, "value")
	if d, ok := v.DocumentOK(); ok {
		reply = with(reply, "value", bsoncore.Value{Type: v.Type, Data: fields.apply(d)})
	}
	return reply, nil
}

// stampUpdate puts the store's timestamps into an update: for $currentDate
// those of type timestamp, in a replacement the empty ones. The update is in
// the given field of doc.
func stampUpdate(doc bsoncore.Document, field string, c *clock) (bsoncore.Document, error) {
	v, _ := lookup(doc, field)
	change, ok := v.DocumentOK()
	if !ok {
		return doc, nil
	}
	var stamped bsoncore.Document
	var err error
	if isOperators(v) {
		stamped, err = stampCurrentDate(change, c)
	} else {
		stamped, err = stamp(change, c)
	}
	if err != nil {
		return nil, err
	}
	return with(doc, field, bsoncore.Value{Type: bsoncore.TypeEmbeddedDocument, Data: stamped}), nil
}

func stampCurrentDate(change bsoncore.Document, c *clock) (bsoncore.Document, error) {
	current, _ := lookup(change, "$currentDate")
	dates, ok := current.DocumentOK()
	if !ok {
		return change, nil
	}
	set := bsoncore.NewDocumentBuilder()
	if v, ok := lookup(change, "$set"); ok {
		for _, e := range elements(v.Data) {
			set.AppendValue(e.Key(), e.Value())
		}
	}
	for _, e := range elements(dates) {
		kind := "date"
		if v, ok := lookup(e.Value().Data, "$type"); ok && e.Value().Type == bsoncore.TypeEmbeddedDocument {
			kind = text(v)
		}
		switch kind {
		case "date": // FerretDB refuses dotted names here
			set.AppendDateTime(e.Key(), time.Now().UnixMilli())
		case "timestamp":
			now, err := c.next()
			if err != nil {
				return nil, err
			}
			set.AppendTimestamp(e.Key(), now.T, now.I)
		default:
			return nil, refuse(codeBadValue, "The '$type' string field is required to be 'date' or 'timestamp': %s", kind)
		}
	}
	change = without(change, "$currentDate")
	return with(change, "$set", bsoncore.Value{Type: bsoncore.TypeEmbeddedDocument, Data: set.Build()}), nil
}

// with returns doc with the field set.
func with(doc bsoncore.Document, key string, v bsoncore.Value) bsoncore.Document {
	b, found := bsoncore.NewDocumentBuilder(), false
	for _, e := range elements(doc) {
		if e.Key() == key {
			b.AppendValue(key, v)
			found = true
		} else {
			b.AppendValue(e.Key(), e.Value())
		}
	}
	if !found {
		b.AppendValue(key, v)
	}
	return b.Build()
}

// without returns doc without the field.
func without(doc bsoncore.Document, key string) bsoncore.Document {
	b := bsoncore.NewDocumentBuilder()
	for _, e := range elements(doc) {
		if e.Key() != key {
			b.AppendValue(e.Key(), e.Value())
		}
	}
	return b.Build()
}
