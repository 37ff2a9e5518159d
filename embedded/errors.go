package embedded

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// code is an error code of MongoDB; see
// https://www.mongodb.com/docs/manual/reference/error-codes/.
type code int32

const (
	codeInternal           code = 1
	codeBadValue           code = 2
	codeFailedToParse      code = 9
	codeUnauthorized       code = 13
	codeTypeMismatch       code = 14
	codeIllegalOperation   code = 20
	codeNamespaceNotFound  code = 26
	codeIndexNotFound      code = 27
	codeCursorNotFound     code = 43
	codeNamespaceExists    code = 48
	codeCannotCreateIndex  code = 67
	codeInvalidOptions     code = 72
	codeInvalidNamespace   code = 73
	codeIndexConflict      code = 86
	codeIndexOptions       code = 85
	codeNotSupported       code = 115
	codeCappedPositionLost code = 136
	codeQueryPlanKilled    code = 175
	codeCursorKilled       code = 237
	codeDuplicateKey       code = 11000
	codeInterruptedAtClose code = 11600
	codeCursorInUse        code = 12051
	codeOutOfDiskSpace     code = 14031
	codeNotInReplicaSet    code = 40573
	codeUnsupportedOpQuery code = 352
	codeInvalidLength      code = 16
	codeMissingField       code = 40414
	codeUnknownField       code = 40415
	codeUnrecognizedStage  code = 40324
)

var codeNames = map[code]string{
	codeInternal:           "InternalError",
	codeBadValue:           "BadValue",
	codeFailedToParse:      "FailedToParse",
	codeUnauthorized:       "Unauthorized",
	codeTypeMismatch:       "TypeMismatch",
	codeIllegalOperation:   "IllegalOperation",
	codeNamespaceNotFound:  "NamespaceNotFound",
	codeIndexNotFound:      "IndexNotFound",
	codeCursorNotFound:     "CursorNotFound",
	codeNamespaceExists:    "NamespaceExists",
	codeCannotCreateIndex:  "CannotCreateIndex",
	codeInvalidOptions:     "InvalidOptions",
	codeInvalidNamespace:   "InvalidNamespace",
	codeIndexConflict:      "IndexKeySpecsConflict",
	codeIndexOptions:       "IndexOptionsConflict",
	codeInvalidLength:      "InvalidLength",
	codeUnsupportedOpQuery: "UnsupportedOpQueryCommand",
	codeNotSupported:       "CommandNotSupported",
	codeCappedPositionLost: "CappedPositionLost",
	codeQueryPlanKilled:    "QueryPlanKilled",
	codeCursorKilled:       "CursorKilled",
	codeDuplicateKey:       "DuplicateKey",
	codeInterruptedAtClose: "InterruptedAtShutdown",
	codeCursorInUse:        "CursorInUse",
	codeOutOfDiskSpace:     "OutOfDiskSpace",
}

// commandError is a failure told to the client in MongoDB's shape.
type commandError struct {
	code    code
	message string
	keys    bsoncore.Document // of a duplicate key: {field: value}
}

func (e *commandError) Error() string { return e.message }

func refuse(c code, format string, args ...any) *commandError {
	return &commandError{code: c, message: fmt.Sprintf(format, args...)}
}

// unsupported refuses what MongoDB can do and this store cannot.
func unsupported(format string, args ...any) *commandError {
	return refuse(codeNotSupported, "the embedded store does not support "+format+
		": it serves development and tests, use a MongoDB server for this", args...)
}

func asCommandError(err error) *commandError {
	if e, ok := errors.AsType[*commandError](err); ok {
		return e
	}
	return refuse(codeInternal, "embedded store: %v", err)
}

func (e *commandError) name() string {
	if name, ok := codeNames[e.code]; ok {
		return name
	}
	return fmt.Sprintf("Location%d", e.code)
}

// reply is the document that answers a failed command.
func (e *commandError) reply() bsoncore.Document {
	d := bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: e.message},
		{Key: "code", Value: int32(e.code)}, {Key: "codeName", Value: e.name()}}
	return document(append(d, e.keyFields()...))
}

// writeError is the entry of a failed write in a reply's writeErrors.
func (e *commandError) writeError(index int) bson.D {
	d := bson.D{{Key: "index", Value: int32(index)}, {Key: "code", Value: int32(e.code)}}
	d = append(d, e.keyFields()...)
	return append(d, bson.E{Key: "errmsg", Value: e.message})
}

func (e *commandError) keyFields() bson.D {
	if e.keys == nil {
		return nil
	}
	pattern := bson.D{}
	elems, _ := e.keys.Elements()
	for _, elem := range elems {
		pattern = append(pattern, bson.E{Key: elem.Key(), Value: int32(1)})
	}
	return bson.D{{Key: "keyPattern", Value: pattern}, {Key: "keyValue", Value: bson.Raw(e.keys)}}
}

// document encodes d, which must consist of encodable values.
func document(d bson.D) bsoncore.Document {
	b, err := bson.Marshal(d)
	if err != nil {
		return document(bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(codeInternal)},
			{Key: "codeName", Value: codeNames[codeInternal]}, {Key: "errmsg", Value: "encode the reply: " + err.Error()}})
	}
	return b
}

// okReply answers a command that succeeded, with fields of its own.
func okReply(fields ...bson.E) bsoncore.Document {
	return document(append(fields, bson.E{Key: "ok", Value: 1.0}))
}
