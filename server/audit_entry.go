package server

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// AuditEntry is the record of one act: who asked what of whom, and how it went.
type AuditEntry struct {
	ID         bson.ObjectID   `bson:"_id"` // of the event, or of the deed
	At         time.Time       `bson:"at"`  // when it was published, again if repeated, by the database's clock
	Subscriber string          `bson:"name"`
	Action     string          `bson:"action"`
	Parameters bson.Raw        `bson:"parameters,omitempty"` // secret ones are event.Hidden
	Target     event.Target    `bson:"target"`
	Publisher  event.Publisher `bson:"publisher"`
	WaitMS     int64           `bson:"wait_ms"` // how long the publisher was to wait for answers; 0: not at all
	Ended      event.Ending    `bson:"ended"`   // empty while the publisher waits, and for ever if it was killed
	Error      string          `bson:"error"`   // why it ended so
	DurationMS float64         `bson:"duration_ms"`
	// Deed says that no event carried the act and no server had to answer, see [Deed].
	Deed bool `bson:"deed"`
	// Servers are those that were meant, with their outcomes when there are any,
	// and then those that answered without being expected.
	Servers []AuditOutcome `bson:"servers"`

	// Age is how old the entry was when it was read; it is not stored.
	Age time.Duration `bson:"-"`
}

// AuditOutcome is how an act went on one server.
type AuditOutcome struct {
	ServerID   bson.ObjectID `bson:"server_id"`
	Server     string        `bson:"server"`
	Kind       string        `bson:"kind,omitempty"` // done, failed, refused or missing; empty when it is not known
	Error      string        `bson:"error,omitempty"`
	DurationMS float64       `bson:"duration_ms,omitempty"`
	Acked      bool          `bson:"acked,omitempty"`
	Deaf       bool          `bson:"deaf,omitempty"`
	Gone       bool          `bson:"gone,omitempty"`  // lost, or not in the registry any more
	Extra      bool          `bson:"extra,omitempty"` // it answered without being expected
}

// AuditMissing is the kind of outcome of a server that has not answered.
const AuditMissing = "missing"

// AuditState is how far the act of an entry has come, in one word.
type AuditState string

// The states of an entry.
const (
	AuditComplete      AuditState = "complete"       // every server has given its final answer
	AuditIncomplete    AuditState = "incomplete"     // the wait was over before that, or who was missing had gone
	AuditLeft          AuditState = "left"           // the caller left before that
	AuditPublishFailed AuditState = "publish_failed" // the event could not be stored
	AuditNotWaited     AuditState = "not_waited"     // published without waiting for answers
	AuditWaiting       AuditState = "waiting"        // the caller may be waiting still
	AuditUnknown       AuditState = "unknown"        // the caller went away without a word
	AuditFailed        AuditState = "failed"         // a deed has failed
)

// concluding is how long after its wait a caller may take to say how it went.
const concluding = 5 * time.Second

// State returns the entry's state.
func (e AuditEntry) State() AuditState {
	switch {
	case e.Ended == event.EndedUnstored:
		return AuditPublishFailed
	case e.Ended == endedFailed:
		return AuditFailed
	case e.Deed && e.Ended == "":
		return AuditUnknown
	case e.WaitMS == 0 && !e.Deed:
		return AuditNotWaited
	case e.Ended == event.EndedComplete:
		return AuditComplete
	case e.Ended == event.EndedLeft:
		return AuditLeft
	case e.Ended != "":
		return AuditIncomplete
	case e.Age < time.Duration(e.WaitMS)*time.Millisecond+concluding:
		return AuditWaiting
	}
	return AuditUnknown
}

// Count returns on how many of the servers that were meant it went so.
func (e AuditEntry) Count(kind string) int {
	n := 0
	for _, s := range e.Servers {
		if s.Kind == kind && !s.Extra {
			n++
		}
	}
	return n
}

// Failed reports whether the act is known, or has to be feared, not to have been
// done by all who were meant.
func (e AuditEntry) Failed() bool {
	switch e.State() {
	case AuditPublishFailed, AuditUnknown, AuditIncomplete, AuditFailed:
		return true
	case AuditNotWaited, AuditWaiting:
		return false
	}
	return e.Count(string(event.Done)) < len(e.Servers)-e.extra()
}

func (e AuditEntry) extra() int {
	n := 0
	for _, s := range e.Servers {
		if s.Extra {
			n++
		}
	}
	return n
}
