package embedded

import (
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// aggregate runs the few stages that mean something on an event log.
func (s *session) aggregate(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	pipeline := a.docs("pipeline")
	if a.err == nil && len(pipeline) > 0 {
		if _, ok := lookup(pipeline[0], "$changeStream"); ok {
			return nil, refuse(codeNotInReplicaSet, "The $changeStream stage is only supported on replica sets: tail a capped collection instead")
		}
	}
	coll := s.capped(r)
	if coll == nil {
		return s.backend.send(r)
	}
	size := a.cursorSize()
	a.hint(coll)
	a.ignored("cursor")
	a.unless("explain", "let", "collation")
	if err := a.done(); err != nil {
		return nil, err
	}
	docs, err := coll.aggregate(pipeline)
	if err != nil {
		return nil, err
	}
	c := &cursor{coll: coll, filter: everything, limit: -1, results: docs, sorted: true}
	return s.open(c, size, false)
}

func (a *args) cursorSize() int {
	sub := newArgs(a.doc("cursor"))
	size := sub.int("batchSize", firstBatch)
	a.fail(sub.err)
	return int(min(size, 1<<30))
}

func (c *capped) aggregate(pipeline []bsoncore.Document) ([]bsoncore.Document, error) {
	if len(pipeline) > 0 {
		if v, ok := lookup(pipeline[0], "$collStats"); ok {
			return c.statsStage(v, pipeline[1:])
		}
	}
	docs, err := query{coll: c, filter: everything}.matching()
	if err != nil {
		return nil, err
	}
	return runStages(docs, pipeline)
}

func runStages(docs []bsoncore.Document, pipeline []bsoncore.Document) (_ []bsoncore.Document, err error) {
	for _, stage := range pipeline {
		elems := elements(stage)
		if len(elems) != 1 {
			return nil, refuse(codeBadValue, "A pipeline stage specification object must contain exactly one field.")
		}
		if docs, err = runStage(docs, elems[0].Key(), elems[0].Value()); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

func runStage(docs []bsoncore.Document, name string, v bsoncore.Value) ([]bsoncore.Document, error) {
	spec, isDoc := v.DocumentOK()
	n, isNumber := wholeNumber(v)
	switch {
	case name == "$match" && isDoc:
		p, err := compileFilter(spec)
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(docs, not(p)), nil
	case name == "$sort" && isDoc && len(elements(spec)) > 0:
		o, err := compileSort(spec)
		if err != nil {
			return nil, err
		}
		if o.natural {
			return nil, refuse(codeBadValue, "the stage $sort by $natural is not supported")
		}
		o.sort(docs)
		return docs, nil
	case name == "$limit" && isNumber && n > 0:
		return docs[:min(n, int64(len(docs)))], nil
	case name == "$skip" && isNumber && n >= 0:
		return docs[min(n, int64(len(docs))):], nil
	case name == "$project" && isDoc && len(elements(spec)) > 0:
		p, err := compileProjection(spec)
		if err != nil {
			return nil, err
		}
		for i, d := range docs {
			docs[i] = p.apply(d)
		}
		return docs, nil
	case name == "$count" && v.Type == bsoncore.TypeString && text(v) != "" && !strings.HasPrefix(text(v), "$"):
		return countStage(docs, text(v), bsoncore.Value{}), nil
	case name == "$group" && isDoc:
		return groupStage(docs, spec)
	}
	return nil, refuse(codeUnrecognizedStage, "pipeline stage %s of this form is not supported by the embedded store on a capped collection", name)
}

// countStage gives one document with the number of documents, and none for
// none, as MongoDB does.
func countStage(docs []bsoncore.Document, field string, id bsoncore.Value) []bsoncore.Document {
	if len(docs) == 0 {
		return nil
	}
	b := bsoncore.NewDocumentBuilder()
	if id.Type != 0 {
		b.AppendValue("_id", id)
	}
	return []bsoncore.Document{b.AppendInt32(field, int32(len(docs))).Build()}
}

// groupStage is what drivers count with: {_id: <constant>, n: {$sum: 1}}.
func groupStage(docs []bsoncore.Document, spec bsoncore.Document) ([]bsoncore.Document, error) {
	elems := elements(spec)
	if len(elems) == 2 && elems[0].Key() == "_id" && isConstant(elems[0].Value()) {
		sum, _ := lookup(elems[1].Value().Data, "$sum")
		if n, ok := wholeNumber(sum); elems[1].Value().Type == bsoncore.TypeEmbeddedDocument && ok && n == 1 {
			return countStage(docs, elems[1].Key(), elems[0].Value()), nil
		}
	}
	return nil, refuse(codeUnrecognizedStage, "$group is supported by the embedded store on a capped collection only to count: {_id: null, n: {$sum: 1}}")
}

func isConstant(v bsoncore.Value) bool {
	return v.Type == bsoncore.TypeNull || bracket(v.Type) == 3 || v.Type == bsoncore.TypeBoolean
}

func (c *capped) statsStage(spec bsoncore.Value, rest []bsoncore.Document) ([]bsoncore.Document, error) {
	wanted, ok := spec.DocumentOK()
	if !ok {
		return nil, refuse(codeBadValue, "$collStats must take a nested object")
	}
	out := bson.D{{Key: "ns", Value: c.namespace()}, {Key: "localTime", Value: bson.NewDateTimeFromTime(time.Now())}}
	for _, e := range elements(wanted) {
		switch e.Key() {
		case "storageStats":
			out = append(out, bson.E{Key: "storageStats", Value: c.stats(1)})
		case "count":
			out = append(out, bson.E{Key: "count", Value: c.state().count})
		default:
			return nil, refuse(codeBadValue, "$collStats with %s is not supported by the embedded store", e.Key())
		}
	}
	return runStages([]bsoncore.Document{document(out)}, rest)
}

// stats are the storage statistics of a collection, sizes divided by scale.
func (c *capped) stats(scale int64) bson.D {
	s := c.state()
	sizes := bson.D{}
	for _, i := range c.indexes() {
		sizes = append(sizes, bson.E{Key: i.Name, Value: int64(0)})
	}
	d := bson.D{{Key: "size", Value: s.bytes / scale}, {Key: "count", Value: s.count}}
	if s.count > 0 {
		d = append(d, bson.E{Key: "avgObjSize", Value: s.bytes / s.count})
	}
	maxDocs := s.opts.Max
	if maxDocs == 0 {
		maxDocs = -1
	}
	return append(d, bson.D{{Key: "storageSize", Value: s.bytes / scale}, {Key: "capped", Value: true},
		{Key: "max", Value: maxDocs}, {Key: "maxSize", Value: s.opts.Size / scale},
		{Key: "nindexes", Value: int32(len(sizes))}, {Key: "totalIndexSize", Value: int64(0)},
		{Key: "indexSizes", Value: sizes}, {Key: "scaleFactor", Value: scale}}...)
}

func (s *session) collStats(r *request) (bsoncore.Document, error) {
	coll := s.capped(r)
	if coll == nil {
		return s.backend.send(r)
	}
	a := newArgs(r.body)
	scale := a.int("scale", 1)
	if err := a.done(); err != nil {
		return nil, err
	}
	if scale == 0 {
		return nil, refuse(codeBadValue, "scale has to be at least 1")
	}
	return okReply(append(bson.D{{Key: "ns", Value: coll.namespace()}}, coll.stats(scale)...)...), nil
}

func (s *session) distinct(r *request) (bsoncore.Document, error) {
	coll := s.capped(r)
	if coll == nil {
		return s.backend.send(r)
	}
	a := newArgs(r.body)
	q, key := query{coll: coll}, a.string("key")
	q.filter, q.id = a.filter("query")
	a.hint(coll)
	a.unless("collation")
	if err := a.done(); err != nil {
		return nil, err
	}
	docs, err := q.matching()
	if err != nil {
		return nil, err
	}
	return okReply(bson.E{Key: "values", Value: distinctValues(docs, strings.Split(key, "."))}), nil
}

func distinctValues(docs []bsoncore.Document, path []string) bson.A {
	var values []bsoncore.Value
	for _, d := range docs {
		walk(d, path, func(v bsoncore.Value, exists bool) bool {
			switch {
			case v.Type == bsoncore.TypeArray:
				for _, e := range elements(v.Data) {
					values = append(values, e.Value())
				}
			case exists:
				values = append(values, v)
			}
			return false
		})
	}
	slices.SortStableFunc(values, compare)
	out := bson.A{}
	for i, v := range values {
		if i == 0 || compare(v, values[i-1]) != 0 {
			out = append(out, bson.RawValue{Type: bson.Type(v.Type), Value: v.Data})
		}
	}
	return out
}
