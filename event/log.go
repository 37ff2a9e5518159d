package event

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// markField flags a document by which a listener marked its position.
const markField = "mark"

// Log is the seam for I/O: an append-only sequence of documents that many
// processes share. Each document has an ObjectID as _id and, at its top level,
// a timestamp ts that the store sets.
//
// Every Log must pass the conformance suite in event/eventtest. All methods are
// safe for concurrent use.
type Log interface {
	// Append stores the documents, in their order. One whose _id is already
	// stored counts as stored: appending is idempotent.
	Append(ctx context.Context, docs ...bson.Raw) error

	// Mark returns the position of now: documents whose Append returned before
	// Mark was called lie before it, those appended after it has returned lie
	// behind it.
	Mark(ctx context.Context) (Position, error)

	// Read hands every document behind from to r, in the order of the log and
	// each once; the zero Position means the earliest. It reconnects for ever
	// and returns, with nil, only when ctx ends.
	Read(ctx context.Context, from Position, r Reader) error

	// Time is the store's clock.
	Time(ctx context.Context) (time.Time, error)
}

// Reader takes what a Log reads. Its methods are called by one goroutine, in
// order, and must not block: they hold up the log.
type Reader interface {
	// Entry is called for each document but marks. The document is valid only
	// during the call. pos is the position right behind it.
	Entry(doc bson.Raw, pos Position)
	// Gap is called when documents behind the position can no longer be read.
	Gap(gap Gap)
	// State is called at every change, and while listening each time the store
	// has confirmed that there is nothing more, about once a second. pos is the
	// position reached; err says why it is connecting.
	State(s State, pos Position, err error)
}

// Position is a place in a Log: right behind the document with this _id. With
// the zero ID it is the place before the first document of that second.
type Position struct {
	Time bson.Timestamp `bson:"ts"`
	ID   bson.ObjectID  `bson:"id"`
}

// At is the position of a moment by the store's clock, to the second.
func At(t time.Time) Position { return Position{Time: bson.Timestamp{T: uint32(t.Unix())}} }

// IsZero reports whether p is the place before the earliest document.
func (p Position) IsZero() bool { return p == Position{} }

func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d/%s", p.Time.T, p.Time.I, p.ID.Hex())
}

// Gap says that documents can no longer be read.
type Gap struct {
	Since  time.Time // of the last document that was read, to the second
	Until  time.Time // of the next one that can be read, zero if none yet
	Reason string    // for people
}

// State is what a listener is doing.
type State string

// The states of a listener.
const (
	StateConnecting State = "connecting" // it has no cursor
	StateBehind     State = "behind"     // it reads what came before now
	StateListening  State = "listening"  // it has read all and waits for more
)
