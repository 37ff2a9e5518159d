package event

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// answer collects the outcomes of one event from the subscribers that share its
// name, and replies once for all of them: a server answers once.
type answer struct {
	bus   *Bus
	event Event
	lease *lease // nil unless the event has one

	mu      sync.Mutex
	seq     int
	pending int
	results []any
	err     error
	took    time.Duration
	refused bool // every subscriber so far has refused
}

func (b *Bus) newAnswer(e Event, subscribers int) *answer {
	a := &answer{bus: b, event: e, pending: subscribers, refused: true}
	if e.Reply && e.Lease > 0 {
		a.lease = b.leases.grant(e)
	}
	return a
}

type answerKey struct{}

// FromContext returns the event that is being handled.
func FromContext(ctx context.Context) (Event, bool) {
	if a, ok := ctx.Value(answerKey{}).(*answer); ok {
		return a.event, true
	}
	return Event{}, false
}

// Now returns the time by the database's clock, as [Bus.StoreTime] does, within an
// action; elsewhere that of this process. With it an action whose effect ends by
// itself knows what is left.
func Now(ctx context.Context) time.Time {
	if a, ok := ctx.Value(answerKey{}).(*answer); ok {
		return a.bus.StoreTime()
	}
	return time.Now()
}

var (
	errNoAction = errors.New("event.Emit: the context is not that of an action")
	errAnswered = errors.New("event.Emit: the action has given its answer already")
)

// Emit sends a part of what the running action prints to the caller, as a reply
// of kind [Output]; a server's replies come in order. The payload is anything
// that encodes to a BSON value of 256 KiB at most. Emit waits while too many
// replies wait to be stored, and fails when ctx has ended. It does nothing when
// nobody has asked for answers. It is safe for concurrent use.
func Emit(ctx context.Context, payload any) error {
	a, ok := ctx.Value(answerKey{}).(*answer)
	if !ok {
		return errNoAction
	}
	if !a.event.Reply {
		return nil
	}
	typ, data, err := bson.MarshalValue(payload)
	if err != nil {
		return fmt.Errorf("encode output of type %T: %w", payload, err)
	}
	if len(data) > maxPayload {
		return fmt.Errorf("output of %d bytes: at most %d at a time", len(data), maxPayload)
	}
	return a.emit(ctx, bson.RawValue{Type: typ, Value: data})
}

func (a *answer) emit(ctx context.Context, payload bson.RawValue) error {
	if err := a.bus.answers.reserve(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == 0 {
		a.bus.answers.release()
		return errAnswered
	}
	r := a.reply(Output)
	r.Payload = payload
	a.bus.answers.sendReserved(r)
	return nil
}

// ack says that the event is this server's, and queued.
func (a *answer) ack() {
	if !a.event.Reply {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bus.answers.send(a.reply(Ack))
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
	if merged, ok := result.(Superseded); result != nil && (!ok || !slices.Contains(a.results, any(merged))) {
		a.results = append(a.results, result) // several subscribers that merge the event say so once
	}
	if a.pending--; a.pending == 0 {
		a.lease.end()
		a.conclude()
	}
}

// conclude sends the final reply. A large result travels ahead of it in parts,
// by a goroutine that may wait: the listener may be the one that is here.
func (a *answer) conclude() {
	result, err := encodeResult(a.results)
	if err == nil && len(result.Value) > maxPayload {
		a.bus.handlers.Go(func() { a.concludeInParts(result) })
		return
	}
	r := a.final()
	r.setResult(result, err)
	a.sendFinal(r)
}

func (a *answer) concludeInParts(result bson.RawValue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	parts, err := pack(result)
	for _, data := range parts {
		_ = a.bus.answers.reserve(context.Background()) // the answerer works until all actions have ended
		r := a.reply(Part)
		r.Payload = bson.RawValue{Type: bson.TypeBinary, Value: data}
		a.bus.answers.sendReserved(r)
	}
	r := a.final()
	r.Parts = len(parts)
	r.setResult(bson.RawValue{}, err)
	a.sendFinal(r)
}

// final returns the last reply, without its result.
func (a *answer) final() Reply {
	r := a.reply(Done)
	r.DurationMS = float64(a.took.Microseconds()) / 1000
	if a.err != nil {
		r.Kind, r.Error = Failed, a.err.Error()
		if a.refused {
			r.Kind = Refused
		}
	}
	return r
}

// reply returns the next reply. a.mu is held.
func (a *answer) reply(kind ReplyKind) Reply {
	id := a.bus.cfg.Identity
	r := Reply{
		ID: bson.NewObjectID(), EventID: a.event.ID, ServerID: id.ServerID,
		Server: id.Name, Host: id.Host, PID: id.PID, Kind: kind, Seq: a.seq,
	}
	a.seq++
	if workers := a.event.Target.WorkerIDs; len(workers) == 1 {
		r.WorkerID = workers[0]
	}
	return r
}
