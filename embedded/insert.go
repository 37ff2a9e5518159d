package embedded

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// prepare is what MongoDB does to a document before it stores it: _id comes
// first and is made when it is missing, and empty timestamps at the top level
// are filled in. The result is a copy.
func prepare(doc bsoncore.Document, c *clock) (bsoncore.Document, error) {
	if len(doc) > maxDocument {
		return nil, refuse(codeBadValue, "object to insert too large: %d bytes, at most %d", len(doc), maxDocument)
	}
	id, ok := lookup(doc, "_id")
	if !ok {
		oid := bson.NewObjectID()
		id = bsoncore.Value{Type: bsoncore.TypeObjectID, Data: oid[:]}
	}
	switch id.Type {
	case bsoncore.TypeArray, bsoncore.TypeRegex, bsoncore.TypeUndefined:
		return nil, refuse(codeBadValue, "can't use a value of type %v for _id", id.Type)
	}
	at, out := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)+20))
	out = bsoncore.AppendValueElement(out, "_id", id)
	for rest := doc[4 : len(doc)-1]; len(rest) > 0; {
		elem, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return nil, refuse(codeBadValue, "malformed document")
		}
		rest = after
		if string(elem.KeyBytes()) == "_id" {
			continue
		}
		var err error
		if out, err = appendStamped(out, elem, c); err != nil {
			return nil, err
		}
	}
	return bsoncore.AppendDocumentEnd(out, at)
}

func appendStamped(out []byte, elem bsoncore.Element, c *clock) ([]byte, error) {
	if elem[0] != byte(bsoncore.TypeTimestamp) || !isEmptyStamp(elem.Value()) {
		return append(out, elem...), nil
	}
	now, err := c.next()
	if err != nil {
		return nil, err
	}
	return bsoncore.AppendTimestampElement(out, elem.Key(), now.T, now.I), nil
}

func isEmptyStamp(v bsoncore.Value) bool {
	t, i, ok := v.TimestampOK()
	return ok && t == 0 && i == 0
}

// stamp fills in the empty timestamps at the top level of a document for an
// ordinary collection; it returns doc itself when there are none.
func stamp(doc bsoncore.Document, c *clock) (bsoncore.Document, error) {
	empty := false
	for _, e := range elements(doc) {
		empty = empty || e.Key() != "_id" && isEmptyStamp(e.Value())
	}
	if !empty {
		return doc, nil
	}
	at, out := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)))
	for _, e := range elements(doc) {
		var err error
		if e.Key() == "_id" {
			out = append(out, e...)
		} else if out, err = appendStamped(out, e, c); err != nil {
			return nil, err
		}
	}
	return bsoncore.AppendDocumentEnd(out, at)
}
