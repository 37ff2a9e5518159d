package event

import (
	"context"
	"fmt"
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
	Output  ReplyKind = "output"  // a part of what the action prints
	Done    ReplyKind = "done"    // the action returned
	Failed  ReplyKind = "failed"  // the action failed or panicked
	Refused ReplyKind = "refused" // the action was not tried: expired, not known, not allowed
)

// Final reports whether nothing follows a reply of this kind.
func (k ReplyKind) Final() bool { return k == Done || k == Failed || k == Refused }

// maxPayload bounds the result in one reply, in bytes, well below the size of
// the largest document.
const maxPayload = 8 << 20

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
	// Truncated says that the payload was too large for a document and is missing.
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

// setResult puts an action's result into the reply.
func (r *Reply) setResult(result any) {
	if result == nil {
		return
	}
	typ, data, err := bson.MarshalValue(result)
	switch {
	case err != nil:
		r.Kind, r.Error = Failed, fmt.Sprintf("the action is done, but its result of type %T cannot be encoded: %v", result, err)
	case len(data) > maxPayload:
		r.Truncated = true
		r.Error = fmt.Sprintf("the result of %d bytes is larger than a reply may be (%d)", len(data), maxPayload)
	default:
		r.Payload = bson.RawValue{Type: typ, Value: data}
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
	replyQueue = 1024
	replyBatch = 100
	// replyPatience is how long a reply is tried to be stored; callers have
	// long gone by then.
	replyPatience = 30 * time.Second
)

// answerer stores replies. One goroutine, started and joined by Bus.Run, writes
// them in batches, so that neither the listener nor a subscriber waits for the
// store.
type answerer struct {
	log      Log
	queue    chan Reply
	dropped  atomic.Int64 // for whatever reason, in all
	overruns atomic.Int64 // because the queue was full, since that was logged
}

// send queues a reply; when the queue is full it is dropped and counted, so that
// a store which takes no writes cannot stop the listener.
func (a *answerer) send(r Reply) {
	select {
	case a.queue <- r:
	default:
		a.dropped.Add(1)
		a.overruns.Add(1)
	}
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
