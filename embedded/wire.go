package embedded

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

const (
	headerBytes     = 16
	maxMessageBytes = 48_000_000
	maxDocument     = 16 << 20
	// maxDepth is how deep documents may nest, as in MongoDB; it also bounds
	// the recursion of everything that walks a document.
	maxDepth = 180
)

// request is one message of a client: a command and, beside it, sequences of
// documents that belong into its fields.
type request struct {
	id     int32
	op     wiremessage.OpCode
	quiet  bool // the client wants no reply
	body   bsoncore.Document
	series []series
}

type series struct {
	field string
	docs  []bsoncore.Document
}

var errMalformed = errors.New("malformed message")

func malformed(what string) error { return fmt.Errorf("%w: %s", errMalformed, what) }

// readRequest reads one message. Every document in it is sound afterwards.
func readRequest(r *bufio.Reader) (*request, error) {
	head, err := r.Peek(headerBytes)
	if err != nil {
		return nil, err
	}
	length, id, _, op, _, _ := wiremessage.ReadHeader(head)
	if length < headerBytes || length > maxMessageBytes {
		return nil, malformed(fmt.Sprintf("length %d", length))
	}
	raw, err := readN(r, int(length))
	if err != nil {
		return nil, err
	}
	req := &request{id: id, op: op}
	switch op {
	case wiremessage.OpMsg:
		err = req.parseMsg(raw[headerBytes:])
	case wiremessage.OpQuery:
		err = req.parseQuery(raw[headerBytes:])
	default:
		err = fmt.Errorf("unsupported message type %v: this client is too old, or wants compression that was not agreed on", op)
	}
	return req, err
}

// readN reads n bytes, and does not believe a length before the bytes are there.
func readN(r io.Reader, n int) ([]byte, error) {
	const believed = 1 << 20
	buf := make([]byte, min(n, believed))
	for read := 0; ; {
		m, err := io.ReadFull(r, buf[read:])
		if read += m; err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if read == n {
			return buf, nil
		}
		grown := make([]byte, min(n, 4*read))
		copy(grown, buf)
		buf = grown
	}
}

func (r *request) parseMsg(b []byte) error {
	flags, b, ok := wiremessage.ReadMsgFlags(b)
	if !ok {
		return malformed("no flags")
	}
	if unknown := flags & 0xffff &^ (wiremessage.ChecksumPresent | wiremessage.MoreToCome); unknown != 0 {
		return malformed(fmt.Sprintf("unknown flags %#x", uint32(unknown)))
	}
	r.quiet = flags&wiremessage.MoreToCome != 0
	if flags&wiremessage.ChecksumPresent != 0 {
		if len(b) < 4 {
			return malformed("no checksum")
		}
		b = b[:len(b)-4] // the transport below has one of its own
	}
	for len(b) > 0 {
		if b, ok = r.parseSection(b); !ok {
			return malformed("bad section")
		}
	}
	if r.body == nil {
		return malformed("no body")
	}
	return r.check()
}

func (r *request) parseSection(b []byte) (rest []byte, ok bool) {
	kind, b, ok := wiremessage.ReadMsgSectionType(b)
	if !ok {
		return nil, false
	}
	switch kind {
	case wiremessage.SingleDocument:
		if r.body != nil {
			return nil, false
		}
		r.body, b, ok = wiremessage.ReadMsgSectionSingleDocument(b)
		return b, ok
	case wiremessage.DocumentSequence:
		if !soundSequence(b) {
			return nil, false
		}
		field, docs, b, ok := wiremessage.ReadMsgSectionDocumentSequence(b)
		r.series = append(r.series, series{field, docs})
		return b, ok
	}
	return nil, false
}

// soundSequence checks the length before the driver's package slices by it.
func soundSequence(b []byte) bool {
	if len(b) < 5 {
		return false
	}
	n := int32(binary.LittleEndian.Uint32(b))
	return n >= 5 && int(n) <= len(b)
}

// parseQuery reads the legacy message in which drivers say hello.
func (r *request) parseQuery(b []byte) error {
	_, b, ok := wiremessage.ReadQueryFlags(b)
	if ok {
		_, b, ok = wiremessage.ReadQueryFullCollectionName(b)
	}
	if ok {
		_, b, ok = wiremessage.ReadQueryNumberToSkip(b)
	}
	if ok {
		_, b, ok = wiremessage.ReadQueryNumberToReturn(b)
	}
	if ok {
		r.body, _, ok = wiremessage.ReadQueryQuery(b)
	}
	if !ok {
		return malformed("bad query")
	}
	return r.check()
}

func (r *request) check() error {
	if !sound(r.body) {
		return malformed("the command is not BSON")
	}
	for _, s := range r.series {
		for _, d := range s.docs {
			if !sound(d) {
				return malformed("a document in " + s.field + " is not BSON")
			}
		}
	}
	return nil
}

// encode is the message that carries the request on.
func (r *request) encode() []byte {
	start, b := wiremessage.AppendHeaderStart(nil, r.id, 0, wiremessage.OpMsg)
	b = wiremessage.AppendMsgFlags(b, 0)
	b = wiremessage.AppendMsgSectionType(b, wiremessage.SingleDocument)
	b = append(b, r.body...)
	for _, s := range r.series {
		b = wiremessage.AppendMsgSectionType(b, wiremessage.DocumentSequence)
		at, c := bsoncore.ReserveLength(b)
		c = append(append(c, s.field...), 0)
		for _, d := range s.docs {
			c = append(c, d...)
		}
		b = bsoncore.UpdateLength(c, at, int32(len(c))-at)
	}
	return bsoncore.UpdateLength(b, start, int32(len(b))-start)
}

// encodeReply is the message that answers r with doc, appended to dst.
func (r *request) encodeReply(dst []byte, doc bsoncore.Document) []byte {
	if r.op == wiremessage.OpQuery {
		start, b := wiremessage.AppendHeaderStart(dst, wiremessage.NextRequestID(), r.id, wiremessage.OpReply)
		b = wiremessage.AppendReplyFlags(b, wiremessage.AwaitCapable)
		b = wiremessage.AppendReplyCursorID(b, 0)
		b = wiremessage.AppendReplyStartingFrom(b, 0)
		b = wiremessage.AppendReplyNumberReturned(b, 1)
		b = append(b, doc...)
		return bsoncore.UpdateLength(b, start, int32(len(b))-start)
	}
	start, b := wiremessage.AppendHeaderStart(dst, wiremessage.NextRequestID(), r.id, wiremessage.OpMsg)
	b = wiremessage.AppendMsgFlags(b, 0)
	b = wiremessage.AppendMsgSectionType(b, wiremessage.SingleDocument)
	b = append(b, doc...)
	return bsoncore.UpdateLength(b, start, int32(len(b))-start)
}

// sound reports whether every level of doc is well-formed BSON.
func sound(doc bsoncore.Document) bool { return soundTo(doc, maxDepth) }

func soundTo(doc []byte, depth int) bool {
	if depth == 0 || len(doc) < 5 || doc[len(doc)-1] != 0 ||
		int64(binary.LittleEndian.Uint32(doc)) != int64(len(doc)) {
		return false
	}
	rest := doc[4 : len(doc)-1]
	for len(rest) > 0 {
		elem, after, ok := bsoncore.ReadElement(rest)
		if !ok || elem.Validate() != nil {
			return false
		}
		if !soundValue(elem.Value(), depth) {
			return false
		}
		rest = after
	}
	return true
}

func soundValue(v bsoncore.Value, depth int) bool {
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
		return soundTo(v.Data, depth-1)
	case bsoncore.TypeCodeWithScope:
		_, scope, ok := v.CodeWithScopeOK()
		return ok && soundTo(scope, depth-1)
	}
	return true
}

func newRequest(db string, command bson.D) *request {
	return &request{id: wiremessage.NextRequestID(), op: wiremessage.OpMsg,
		body: document(append(command, bson.E{Key: "$db", Value: db}))}
}

// command is the name of the command, which is its first field.
func (r *request) command() string {
	first, err := r.body.IndexErr(0)
	if err != nil {
		return ""
	}
	return first.Key()
}

func (r *request) db() string {
	v, _ := lookup(r.body, "$db")
	s, _ := v.StringValueOK()
	return s
}

// collection is the value of the first field, which for most commands names
// the collection that they are about.
func (r *request) collection() string {
	first, err := r.body.IndexErr(0)
	if err != nil {
		return ""
	}
	s, _ := first.Value().StringValueOK()
	return s
}

func (r *request) namespace() string { return r.db() + "." + r.collection() }

// docs are the documents of a field, in the command or beside it.
func (r *request) docs(a *args, field string) []bsoncore.Document {
	docs := a.docs(field)
	for _, s := range r.series {
		if s.field == field {
			docs = append(docs, s.docs...)
		}
	}
	return docs
}
