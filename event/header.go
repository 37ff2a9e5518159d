package event

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// header is what the listener needs of every event to decide whether it is
// meant; it points into the document and copies nothing.
type header struct {
	id        bson.ObjectID
	time      bson.Timestamp
	name      []byte
	action    []byte
	target    []byte // encoded Target, nil for everybody
	params    []byte // encoded parameters, nil for none
	publisher []byte // encoded Publisher, nil when not given
	secret    []byte // encoded array of paths, nil for none
	expires   time.Time
	reply     bool
	lease     time.Duration
	coalesce  bool
	mark      bool // a position mark: no event
}

// parse reads one document in a single pass. Fields it does not know are left
// alone: a newer publisher may add some.
func (h *header) parse(raw []byte) error {
	*h = header{}
	doc, ok := documentBody(raw)
	if !ok {
		return &MalformedError{Kind: "encoding", Detail: "not a BSON document"}
	}
	for len(doc) > 0 {
		elem, rest, ok := bsoncore.ReadElement(doc)
		if !ok {
			return &MalformedError{Kind: "encoding", Detail: "broken element"}
		}
		doc = rest
		if !h.set(elem) {
			return &MalformedError{Kind: "type of " + elem.Key(), Detail: "unexpected BSON " + elem.Value().Type.String()}
		}
	}
	return h.complete()
}

// set takes one field and reports whether it has the right type.
func (h *header) set(elem bsoncore.Element) (ok bool) {
	v := elem.Value()
	switch string(elem.KeyBytes()) {
	case "_id":
		h.id, ok = v.ObjectIDOK()
	case "ts":
		h.time.T, h.time.I, ok = v.TimestampOK()
	case "name":
		h.name, ok = stringBytes(v)
	case "action":
		h.action, ok = stringBytes(v)
	case "parameters":
		h.params, ok = v.Data, v.Type == bsoncore.TypeEmbeddedDocument
	case "target":
		h.target, ok = v.Data, v.Type == bsoncore.TypeEmbeddedDocument
	case "publisher":
		h.publisher, ok = v.Data, v.Type == bsoncore.TypeEmbeddedDocument
	case "secret":
		h.secret, ok = v.Data, v.Type == bsoncore.TypeArray
	case "expires_at":
		h.expires, ok = v.TimeOK()
		h.expires = h.expires.UTC()
	case "reply":
		h.reply, ok = v.BooleanOK()
	case "coalesce":
		h.coalesce, ok = v.BooleanOK()
	case "lease_ms":
		var ms int64
		ms, ok = v.AsInt64OK()
		h.lease = time.Duration(ms) * time.Millisecond
	case markField:
		h.mark, ok = v.BooleanOK()
	default:
		ok = true
	}
	return ok
}

func (h *header) complete() error {
	switch {
	case h.id.IsZero():
		return &MalformedError{Kind: "no _id"}
	case h.time.IsZero():
		return &MalformedError{Kind: "no ts", Detail: "no timestamp of the database"}
	case h.mark:
		return nil
	case len(h.name) == 0:
		return &MalformedError{Kind: "no name"}
	case len(h.action) == 0:
		return &MalformedError{Kind: "no action"}
	}
	return nil
}
