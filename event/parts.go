package event

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	// maxPayload is the largest payload of one reply, in bytes. A larger result is
	// compressed and travels in parts of this size.
	maxPayload = 256 << 10
	// maxResult is the largest result of an action, encoded, in bytes.
	maxResult = 16 << 20
)

var (
	// The coders are safe for concurrent use; one at a time is enough of them.
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) { return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) })
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxResult))
	})
)

// encodeResult encodes the result of one subscriber, or those of several as an
// array; the zero value when there is none.
func encodeResult(results []any) (bson.RawValue, error) {
	var result any
	switch len(results) {
	case 0:
		return bson.RawValue{}, nil
	case 1:
		result = results[0]
	default:
		result = results
	}
	typ, data, err := bson.MarshalValue(result)
	switch {
	case err != nil:
		return bson.RawValue{}, fmt.Errorf("the action is done, but its result of type %T cannot be encoded: %w", result, err)
	case len(data) > maxResult:
		return bson.RawValue{}, &tooLargeError{size: len(data)}
	}
	return bson.RawValue{Type: typ, Value: data}, nil
}

// tooLargeError says that a result is missing from its reply.
type tooLargeError struct{ size int }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the result of %d bytes is larger than a result may be (%d)", e.size, maxResult)
}

// packed is what is compressed: a value and its type.
type packed struct {
	Value bson.RawValue `bson:"value"`
}

// pack compresses a result into the binary payloads of its parts.
func pack(result bson.RawValue) (parts [][]byte, err error) {
	raw, err := bson.Marshal(packed{result})
	if err != nil {
		return nil, err
	}
	coder, err := encoder()
	if err != nil {
		return nil, err
	}
	rest := coder.EncodeAll(raw, nil)
	for len(rest) > 0 {
		n := min(len(rest), maxPayload)
		_, data, err := bson.MarshalValue(rest[:n])
		if err != nil {
			return nil, err
		}
		parts, rest = append(parts, data), rest[n:]
	}
	return parts, nil
}

func unpack(data []byte) (bson.RawValue, error) {
	coder, err := decoder()
	if err != nil {
		return bson.RawValue{}, err
	}
	raw, err := coder.DecodeAll(data, nil)
	if err != nil {
		return bson.RawValue{}, err
	}
	var p packed
	err = bson.Unmarshal(raw, &p)
	return p.Value, err
}

// Assembler puts the results together that came in parts; [Bus.Call] does that
// by itself. The zero value works. It is not safe for concurrent use.
type Assembler struct {
	parts map[replier][]byte
}

// replier is one server's answer to one event.
type replier struct{ event, server bson.ObjectID }

// Add takes the next reply in the order of the collection. It returns the reply,
// with its whole result, and false for a part. A result of which a part is
// missing is missing: the reply is then marked as truncated.
func (a *Assembler) Add(r Reply) (Reply, bool) {
	from := replier{r.EventID, r.ServerID}
	if r.Kind == Part {
		if a.parts == nil {
			a.parts = map[replier][]byte{}
		}
		if _, data, ok := r.Payload.BinaryOK(); ok {
			a.parts[from] = append(a.parts[from], data...)
		}
		return r, false
	}
	if r.Parts == 0 {
		return r, true
	}
	var err error
	if r.Payload, err = unpack(a.parts[from]); err != nil {
		r.Payload, r.Truncated = bson.RawValue{}, true
		r.Error = fmt.Sprintf("the result came in %d parts, which are not all there: %v", r.Parts, err)
	}
	delete(a.parts, from)
	return r, true
}
