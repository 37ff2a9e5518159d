package event

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// ReplyKind says what an answer means.
type ReplyKind string

// The kinds of answers. Done, Failed and Refused are final: a server gives one
// of them, once, for each event that it was asked to answer.
const (
	Ack     ReplyKind = "ack"     // it is mine, and queued
	Output  ReplyKind = "output"  // a part of what the action prints, see Emit
	Part    ReplyKind = "part"    // a piece of a large result, compressed; Call puts them together
	Done    ReplyKind = "done"    // the action returned
	Failed  ReplyKind = "failed"  // the action failed or panicked
	Refused ReplyKind = "refused" // the action was not tried: expired, not known, not allowed
)

// Final reports whether nothing follows a reply of this kind.
func (k ReplyKind) Final() bool { return k == Done || k == Failed || k == Refused }

// Reply is a document by which a server answers an event.
type Reply struct {
	ID       bson.ObjectID  `bson:"_id"`
	Time     bson.Timestamp `bson:"ts"` // stamped by the database
	EventID  bson.ObjectID  `bson:"event_id"`
	ServerID bson.ObjectID  `bson:"server_id"`
	Server   string         `bson:"server"`
	Host     string         `bson:"host"`
	PID      int            `bson:"pid"`
	// WorkerID is set when the event's target named exactly one worker.
	WorkerID int           `bson:"worker_id,omitempty"`
	Kind     ReplyKind     `bson:"kind"`
	Seq      int           `bson:"seq"` // from 0, per event and server
	Payload  bson.RawValue `bson:"payload,omitempty"`
	// Error is the text of a failed or refused reply.
	Error string `bson:"error,omitempty"`
	// DurationMS is how long the action ran, in milliseconds.
	DurationMS float64 `bson:"duration_ms,omitempty"`
	// Parts is how many replies of kind Part have come before with the result,
	// which is then not in Payload; see Assembler.
	Parts int `bson:"parts,omitempty"`
	// Truncated says that the result was too large and is missing; Error says more.
	Truncated bool `bson:"truncated,omitempty"`
}

// DecodeReply reads a reply from its document. It fails with a
// [*MalformedError], and with [ErrMark] for a position mark.
func DecodeReply(raw bson.Raw) (Reply, error) {
	k, ok := keyOf(raw)
	if !ok {
		return Reply{}, &MalformedError{Kind: "reply without _id or ts"}
	}
	if k.mark {
		return Reply{}, ErrMark
	}
	var r Reply
	if err := bson.Unmarshal(raw, &r); err != nil {
		return Reply{}, &MalformedError{Kind: "undecodable reply", Detail: err.Error()}
	}
	return r, nil
}

// Result decodes the payload, the action's typed result, into v.
func (r Reply) Result(v any) error {
	if err := r.Payload.Unmarshal(v); err != nil {
		return fmt.Errorf("decode the result of server %s: %w", r.Server, err)
	}
	return nil
}

// setResult puts an encoded result into the reply, or why there is none.
func (r *Reply) setResult(result bson.RawValue, err error) {
	var large *tooLargeError
	switch {
	case errors.As(err, &large):
		r.Truncated = true
		r.Error = strings.TrimPrefix(r.Error+"\n"+err.Error(), "\n")
	case err != nil:
		r.Kind = Failed
		r.Error = strings.TrimPrefix(r.Error+"\n"+err.Error(), "\n")
	default:
		r.Payload = result
	}
}

// replyDocument is Reply as it is stored: without the payload when there is none.
type replyDocument struct {
	Reply   `bson:",inline"`
	Payload *bson.RawValue `bson:"payload,omitempty"`
}

func (r Reply) encode() (bson.Raw, error) {
	doc := replyDocument{Reply: r}
	if len(r.Payload.Value) > 0 {
		doc.Payload = &r.Payload
	}
	return bson.Marshal(doc)
}

const (
	// replyQueue is how many acknowledgements and final answers may wait to be
	// stored, and outputQueue how many replies before the final one beside them.
	replyQueue  = 1024
	outputQueue = 64
	replyBatch  = 100
	// replyPatience is how long a reply is tried to be stored; callers have
	// long gone by then.
	replyPatience = 30 * time.Second
)

// answerer stores replies. One goroutine, started and joined by Bus.Run, writes
// them in batches, so that neither the listener nor a subscriber waits for the
// store.
type answerer struct {
	log      Log
	queue    chan Reply    // has room for all that have a place
	places   chan struct{} // taken by replies that nobody waits with
	reserved chan struct{} // taken by output and parts, which wait for a place
	dropped  atomic.Int64  // for whatever reason, in all
	overruns atomic.Int64  // because the queue was full, since that was logged
}

func newAnswerer(log Log) answerer {
	return answerer{
		log: log, queue: make(chan Reply, replyQueue+outputQueue),
		places: make(chan struct{}, replyQueue), reserved: make(chan struct{}, outputQueue),
	}
}

// send queues a reply; when the queue is full it is dropped and counted, so that
// a store which takes no writes cannot stop the listener. It says whether it was
// queued.
func (a *answerer) send(r Reply) bool {
	select {
	case a.places <- struct{}{}:
		a.queue <- r
		return true
	default:
		a.dropped.Add(1)
		a.overruns.Add(1)
		return false
	}
}

// reserve waits for a place in the queue for sendReserved.
func (a *answerer) reserve(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case a.reserved <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *answerer) release()             { <-a.reserved }
func (a *answerer) sendReserved(r Reply) { a.queue <- r }

// took gives a place free.
func (a *answerer) took(r Reply) {
	if r.Kind == Output || r.Kind == Part {
		a.release()
		return
	}
	<-a.places
}

// run writes until stop is closed and the queue is empty. ctx carries the
// logger; its end does not stop the answers to what has been done.
func (a *answerer) run(ctx context.Context, stop <-chan struct{}) {
	ctx = context.WithoutCancel(ctx)
	for {
		select {
		case r := <-a.queue:
			a.store(ctx, a.batch(ctx, r))
			continue
		default:
		}
		select {
		case r := <-a.queue:
			a.store(ctx, a.batch(ctx, r))
		case <-stop:
			return
		}
	}
}

// batch encodes a reply and those that wait behind it.
func (a *answerer) batch(ctx context.Context, r Reply) []bson.Raw {
	docs := make([]bson.Raw, 0, 1)
	for {
		a.took(r)
		doc, err := r.encode()
		if err != nil {
			zerolog.Ctx(ctx).Error().Err(err).Str(fieldEvent, r.EventID.Hex()).Msg("cannot encode a reply")
		} else {
			docs = append(docs, doc)
		}
		if len(docs) == replyBatch {
			return docs
		}
		select {
		case r = <-a.queue:
		default:
			return docs
		}
	}
}

func (a *answerer) store(ctx context.Context, batch []bson.Raw) {
	ctx, cancel := context.WithTimeout(ctx, replyPatience)
	defer cancel()
	err := a.log.Append(ctx, batch...)
	for delays := (backoff{}); err != nil && delays.wait(ctx); {
		err = a.log.Append(ctx, batch...) // the ids make that harmless
	}
	if n := a.overruns.Swap(0); n > 0 {
		zerolog.Ctx(ctx).Warn().Int64("replies", n).
			Msg("replies were dropped, because too many waited to be stored; callers will show this server as missing")
	}
	if err != nil {
		a.dropped.Add(int64(len(batch)))
		zerolog.Ctx(ctx).Warn().Err(err).Int("replies", len(batch)).Msg("replies could not be stored; callers will show this server as missing")
	}
}
