package faultproxy

import (
	"bufio"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

const (
	headerBytes     = 16
	maxMessageBytes = 48_000_000
)

// message is one message of the wire protocol, as it came.
type message struct {
	raw    []byte
	id     int32 // of a request
	answer int32 // in a reply, the id of the request
	op     wiremessage.OpCode
}

func readMessage(r *bufio.Reader) (message, error) {
	head, err := r.Peek(headerBytes)
	if err != nil {
		return message{}, err
	}
	length, id, answer, op, _, _ := wiremessage.ReadHeader(head)
	if length < headerBytes || length > maxMessageBytes {
		return message{}, fmt.Errorf("a message of %d bytes", length)
	}
	m := message{raw: make([]byte, length), id: id, answer: answer, op: op}
	_, err = io.ReadFull(r, m.raw)
	return m, err
}

// command is the name of the command in a request, "" when it cannot be known
// or when the client wants no reply to it.
func (m message) command() string {
	if m.op != wiremessage.OpMsg {
		return ""
	}
	flags, rest, ok := wiremessage.ReadMsgFlags(m.raw[headerBytes:])
	if !ok || flags&wiremessage.MoreToCome != 0 {
		return ""
	}
	kind, rest, ok := wiremessage.ReadMsgSectionType(rest)
	if !ok || kind != wiremessage.SingleDocument {
		return "" // drivers send the command first
	}
	body, _, ok := wiremessage.ReadMsgSectionSingleDocument(rest)
	if !ok {
		return ""
	}
	first, err := body.IndexErr(0)
	if err != nil {
		return ""
	}
	return first.Key()
}

// Error is what a server answers to a command that it does not carry out.
type Error struct {
	Code   int
	Name   string
	Text   string   // default: the name
	Labels []string // such as RetryableWriteError
}

// reply is the message by which a server answers a request with e.
func (e Error) reply(to int32) []byte {
	text := e.Text
	if text == "" {
		text = e.Name
	}
	doc := bsoncore.NewDocumentBuilder().AppendDouble("ok", 0).AppendString("errmsg", text).
		AppendInt32("code", int32(e.Code)).AppendString("codeName", e.Name)
	if len(e.Labels) > 0 {
		labels := bsoncore.NewArrayBuilder()
		for _, label := range e.Labels {
			labels.AppendString(label)
		}
		doc.AppendArray("errorLabels", labels.Build())
	}
	start, b := wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), to, wiremessage.OpMsg)
	b = wiremessage.AppendMsgFlags(b, 0)
	b = wiremessage.AppendMsgSectionType(b, wiremessage.SingleDocument)
	b = append(b, bson.Raw(doc.Build())...)
	return bsoncore.UpdateLength(b, start, int32(len(b))-start)
}

// Errors that servers give when something is wrong with them or with a cursor,
// not with the command; see https://www.mongodb.com/docs/manual/reference/error-codes/.
var (
	CursorNotFound        = Error{Code: 43, Name: "CursorNotFound"}
	CappedPositionLost    = Error{Code: 136, Name: "CappedPositionLost"}
	QueryPlanKilled       = Error{Code: 175, Name: "QueryPlanKilled"}
	ShutdownInProgress    = Error{Code: 91, Name: "ShutdownInProgress"}
	PrimarySteppedDown    = Error{Code: 189, Name: "PrimarySteppedDown"}
	NotWritablePrimary    = Error{Code: 10107, Name: "NotWritablePrimary"}
	InterruptedAtShutdown = Error{Code: 11600, Name: "InterruptedAtShutdown"}
	InterruptedByFailover = Error{Code: 11602, Name: "InterruptedDueToReplStateChange"}
	NotPrimaryNoSecondary = Error{Code: 13435, Name: "NotPrimaryNoSecondaryOk"}
)

// Errors are all of those above.
func Errors() []Error {
	return []Error{
		CursorNotFound, CappedPositionLost, QueryPlanKilled, ShutdownInProgress, PrimarySteppedDown,
		NotWritablePrimary, InterruptedAtShutdown, InterruptedByFailover, NotPrimaryNoSecondary,
	}
}
