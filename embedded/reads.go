package embedded

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// query is what find, count and distinct have in common.
type query struct {
	coll    *capped
	filter  predicate
	id      bsoncore.Value // the filter asks for this _id; zero = for any
	order   order
	project projection
	skip    int64
	limit   int64 // 0 = none
}

func (a *args) filter(name string) (predicate, bsoncore.Value) {
	spec := a.doc(name)
	p, err := compileFilter(spec)
	if err != nil {
		a.fail(err)
	}
	id, _ := lookup(spec, "_id")
	switch id.Type {
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeRegex, bsoncore.TypeArray, bsoncore.TypeNull:
		id = bsoncore.Value{} // not, or not surely, one value
	}
	return p, id
}

// hint understands $natural; an index need not be used, only be known.
func (a *args) hint(coll *capped) (backward bool) {
	v, ok := a.get("hint")
	if !ok {
		return false
	}
	d, isDoc := v.DocumentOK()
	if natural, ok := lookup(d, "$natural"); isDoc && ok {
		n, _ := wholeNumber(natural)
		return n < 0
	}
	name, _ := v.StringValueOK()
	for _, i := range coll.indexes() {
		if i.Name == name || isDoc && string(i.Key) == string(d) {
			return false
		}
	}
	if !isDoc || len(elements(d)) > 0 {
		a.fail(refuse(codeBadValue, "hint provided does not correspond to an existing index"))
	}
	return false
}

func (s *session) find(r *request) (bsoncore.Document, error) {
	coll := s.capped(r)
	if coll == nil {
		return s.findOrdinary(r)
	}
	a := newArgs(r.body)
	c := &cursor{coll: coll, noTimeout: a.bool("noCursorTimeout", false),
		tailable: a.bool("tailable", false), await: a.bool("awaitData", false)}
	size, single := a.int("batchSize", firstBatch), a.bool("singleBatch", false)
	q := query{coll: coll, skip: a.int("skip", 0), limit: a.int("limit", 0)}
	q.filter, q.id = a.filter("filter")
	var err error
	if q.project, err = compileProjection(a.doc("projection")); err != nil {
		a.fail(err)
	}
	if q.order, err = compileSort(a.doc("sort")); err != nil {
		a.fail(err)
	}
	hinted := a.hint(coll)
	a.ignored("oplogReplay", "allowPartialResults")
	a.unless("min", "max", "returnKey", "showRecordId", "let", "collation")
	if err := a.done(); err != nil {
		return nil, err
	}
	if !q.order.natural {
		q.order.backward = hinted && len(q.order.keys) == 0
	}
	if err := c.check(q.order, single); err != nil {
		return nil, err
	}
	if err := c.start(q); err != nil {
		return nil, err
	}
	return s.open(c, int(min(size, 1<<30)), single)
}

// check refuses what MongoDB refuses of tails.
func (c *cursor) check(o order, single bool) error {
	switch {
	case c.await && !c.tailable:
		return refuse(codeFailedToParse, "Cannot set 'awaitData' without also setting 'tailable'")
	case c.tailable && (len(o.keys) > 0 || o.backward):
		return refuse(codeBadValue, "cannot use tailable option with a sort other than {$natural: 1}")
	case c.tailable && single:
		return refuse(codeBadValue, "cannot use tailable option with the 'singleBatch' option")
	}
	return nil
}

// start puts the cursor at the beginning of the query's results.
func (c *cursor) start(q query) error {
	c.filter, c.project, c.skip, c.backward = q.filter, q.project, q.skip, q.order.backward
	if c.limit = q.limit; c.limit == 0 {
		c.limit = -1
	}
	st := c.coll.state()
	switch {
	case c.tailable:
		c.done = st.count == 0 // as in MongoDB: a tail of an empty collection is dead
	case len(q.order.keys) > 0 || q.id.Type != 0:
		docs, err := q.matching()
		q.order.sort(docs)
		c.results, c.sorted = docs, true
		return err
	case c.backward:
		c.next = st.next - 1
	}
	return nil
}

// open gives the first batch, and keeps the cursor when there may be more.
func (s *session) open(c *cursor, size int, single bool) (bsoncore.Document, error) {
	b := newBatch(size)
	if err := c.fill(b); err != nil {
		return nil, err
	}
	if c.sorted && len(c.results) == 0 {
		c.done = true
	}
	if !c.done && !single {
		s.store.cursors.add(c)
	}
	return b.reply("firstBatch", c.coll.namespace(), c.id), nil
}

// matching returns all documents that the query finds, in natural order.
func (q query) matching() ([]bsoncore.Document, error) {
	var found []bsoncore.Document
	if q.id.Type != 0 {
		if doc, _ := q.coll.byID(q.id); doc != nil && q.filter(doc) {
			found = append(found, doc)
		}
		return found, nil
	}
	var buf [chunk]bsoncore.Document
	for next := uint64(0); ; {
		n, first, err := q.coll.read(buf[:], next, 0, false)
		if err != nil || n == 0 {
			return found, err
		}
		for _, doc := range buf[:n] {
			if q.filter(doc) {
				found = append(found, doc)
			}
		}
		next = first + uint64(n)
	}
}

// findOrdinary lets FerretDB answer, except that it must not tail.
func (s *session) findOrdinary(r *request) (bsoncore.Document, error) {
	if tailable, _ := lookup(r.body, "tailable"); !truthy(tailable) {
		return s.backend.send(r)
	}
	exists, err := s.exists(r.db(), r.collection())
	if err != nil {
		return nil, err
	}
	if exists {
		return nil, refuse(codeBadValue, "error processing query: tailable cursor requested on non capped collection %s", r.namespace())
	}
	return newBatch(0).reply("firstBatch", r.namespace(), 0), nil
}

func (s *session) getMore(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	id := a.int("getMore", 0)
	if id&ownCursor == 0 {
		return s.backend.send(r)
	}
	ns := r.db() + "." + a.string("collection")
	size := a.int("batchSize", 0)
	_, timed := lookup(r.body, "maxTimeMS")
	wait := time.Duration(a.int("maxTimeMS", defaultWait.Milliseconds())) * time.Millisecond
	a.ignored("term", "lastKnownCommittedOpTime")
	if err := a.done(); err != nil {
		return nil, err
	}
	c, err := s.store.cursors.take(id, ns)
	if err != nil {
		return nil, err
	}
	if timed && !c.await {
		s.store.cursors.release(c, true)
		return nil, refuse(codeBadValue, "cannot set maxTimeMS on getMore command for a non-awaitData cursor")
	}
	if size == 0 || size > 1<<30 {
		size = -1
	}
	b := newBatch(int(size))
	if c.await {
		err = c.fillWaiting(s.ctx, b, wait)
	} else {
		err = c.fill(b)
	}
	keep := err == nil && !c.done
	s.store.cursors.release(c, keep)
	if err != nil {
		return nil, err
	}
	if !keep {
		id = 0
	}
	return b.reply("nextBatch", ns, id), nil
}

func (s *session) killCursors(r *request) (bsoncore.Document, error) {
	a := newArgs(r.body)
	ids, ok := a.get("cursors")
	if !ok || ids.Type != bsoncore.TypeArray {
		return nil, refuse(codeTypeMismatch, "killCursors needs an array of cursors")
	}
	killed, missing, others := bson.A{}, bson.A{}, bson.A{}
	for _, e := range elements(ids.Data) {
		id, ok := e.Value().Int64OK()
		switch {
		case !ok:
			return nil, refuse(codeTypeMismatch, "killCursors needs cursor ids of type long")
		case id&ownCursor == 0:
			others = append(others, id)
		case s.store.cursors.kill(id):
			killed = append(killed, id)
		default:
			missing = append(missing, id)
		}
	}
	if len(others) > 0 {
		theirs, err := s.killOthers(r, others)
		if err != nil {
			return nil, err
		}
		killed, missing = append(killed, theirs.Killed...), append(missing, theirs.Missing...)
	}
	return okReply(bson.E{Key: "cursorsKilled", Value: killed}, bson.E{Key: "cursorsNotFound", Value: missing},
		bson.E{Key: "cursorsAlive", Value: bson.A{}}, bson.E{Key: "cursorsUnknown", Value: bson.A{}}), nil
}

type killReply struct {
	Killed  bson.A `bson:"cursorsKilled"`
	Missing bson.A `bson:"cursorsNotFound"`
}

func (s *session) killOthers(r *request, ids bson.A) (reply killReply, err error) {
	b, err := s.backend.send(newRequest(r.db(), bson.D{{Key: "killCursors", Value: r.collection()}, {Key: "cursors", Value: ids}}))
	if err != nil {
		return reply, err
	}
	return reply, bson.Unmarshal(b, &reply)
}

func (s *session) count(r *request) (bsoncore.Document, error) {
	coll := s.capped(r)
	if coll == nil {
		return s.backend.send(r)
	}
	a := newArgs(r.body)
	q := query{coll: coll, skip: a.int("skip", 0), limit: a.int("limit", 0)}
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
	n := max(0, int64(len(docs))-q.skip)
	if q.limit > 0 {
		n = min(n, q.limit)
	}
	return okReply(bson.E{Key: "n", Value: int32(n)}), nil
}

func (s *session) explain(r *request) (bsoncore.Document, error) {
	v, _ := lookup(r.body, "explain")
	inner, ok := v.DocumentOK()
	if first, err := inner.IndexErr(0); ok && err == nil {
		if name, _ := first.Value().StringValueOK(); s.store.catalog.get(r.db()+"."+name) != nil {
			return nil, unsupported("explain on a capped collection")
		}
	}
	return s.backend.send(r)
}
