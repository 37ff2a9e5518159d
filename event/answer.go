package event

import (
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// answer collects the outcomes of one event from the subscribers that share its
// name, and replies once for all of them: a server answers once.
type answer struct {
	bus   *Bus
	event Event

	mu      sync.Mutex
	pending int
	results []any
	err     error
	took    time.Duration
	refused bool // every subscriber so far has refused
}

func (b *Bus) newAnswer(e Event, subscribers int) *answer {
	return &answer{bus: b, event: e, pending: subscribers, refused: true}
}

// ack says that the event is this server's, and queued.
func (a *answer) ack() {
	if a.event.Reply {
		a.bus.answers.send(a.reply(Ack, 0))
	}
}

// finish takes the outcome of one subscriber; the last one's sends the reply.
func (a *answer) finish(result any, err error, took time.Duration) {
	if !a.event.Reply {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var refused *RefusedError
	a.refused = a.refused && errors.As(err, &refused)
	a.err = errors.Join(a.err, err)
	a.took = max(a.took, took)
	if result != nil {
		a.results = append(a.results, result)
	}
	if a.pending--; a.pending == 0 {
		a.bus.answers.send(a.final())
	}
}

func (a *answer) final() Reply {
	r := a.reply(Done, 1)
	r.DurationMS = float64(a.took.Microseconds()) / 1000
	switch len(a.results) {
	case 0:
	case 1:
		r.setResult(a.results[0])
	default:
		r.setResult(a.results)
	}
	if a.err != nil {
		r.Kind, r.Error = Failed, a.err.Error()
		if a.refused {
			r.Kind = Refused
		}
	}
	return r
}

func (a *answer) reply(kind ReplyKind, seq int) Reply {
	id := a.bus.cfg.Identity
	r := Reply{
		ID: bson.NewObjectID(), EventID: a.event.ID, ServerID: id.ServerID,
		Server: id.Name, Host: id.Host, PID: id.PID, Kind: kind, Seq: seq,
	}
	if workers := a.event.Target.WorkerIDs; len(workers) == 1 {
		r.WorkerID = workers[0]
	}
	return r
}
