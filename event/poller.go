package event

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// poller is one Read of a pollingLog. Only the goroutine in Read touches it.
//
// Each poll reads again what came within tailWindow of the newest timestamp, so
// that a document which becomes visible late is not missed. What is new is held
// back until the next poll: by then the order of those that were stored at the
// same time is settled.
type poller struct {
	log    *pollingLog
	reader Reader
	start  Position
	pos    Position // of the last document that was handed on
	newest uint32   // the highest timestamp handed on, in seconds
	seen   recent
	odd    map[string]bool // ids of malformed documents that were handed on
	polled time.Time       // the last success, by this process's clock
	silent bool            // the last poll ended in a time-out

	horizon bson.Timestamp // the highest timestamp at the last poll
}

func (p *poller) poll(ctx context.Context) error {
	if p.silent {
		if err := findLiveConnection(ctx, p.log.coll.Database()); err != nil {
			return err
		}
		p.silent = false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	docs, err := p.read(ctx)
	if err != nil {
		return err
	}
	if p.polled.IsZero() {
		p.reader.State(StateBehind, p.pos, nil)
	}
	if err := p.checkGap(ctx, docs); err != nil {
		return err
	}
	p.polled = time.Now()
	horizon, waiting := p.horizon, false
	for _, raw := range docs {
		k, ok := keyOf(raw)
		switch {
		case !ok:
			p.oddEntry(raw)
		case p.seen.has(k.pos.ID) || p.isOld(k.pos):
		case k.pos.Time.After(horizon):
			waiting = true
		default:
			p.entry(k, raw)
		}
		if ok && k.pos.Time.After(p.horizon) {
			p.horizon = k.pos.Time
		}
	}
	if waiting {
		p.reader.State(StateBehind, p.pos, nil)
	} else {
		p.reader.State(StateListening, p.pos, nil)
	}
	return nil
}

// read returns the documents since the window began, in the order of their
// timestamps.
func (p *poller) read(ctx context.Context) ([]bson.Raw, error) {
	filter := bson.D{}
	if since := p.since(); !since.IsZero() {
		filter = bson.D{{Key: "ts", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$lt", Value: since}}}}}}
	}
	cursor, err := p.log.coll.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "ts", Value: 1}, {Key: "_id", Value: 1}}))
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	return docs, cursor.All(ctx, &docs)
}

func (p *poller) since() bson.Timestamp {
	if p.newest <= tailWindow {
		return bson.Timestamp{}
	}
	return bson.Timestamp{T: p.newest - tailWindow}
}

// checkGap tells when the document at the position is gone. One that has gone
// because its time was over, while this reader was polling, is no loss.
func (p *poller) checkGap(ctx context.Context, docs []bson.Raw) error {
	if p.pos.ID.IsZero() {
		return nil
	}
	for _, raw := range docs {
		if k, ok := keyOf(raw); ok && k.pos.ID == p.pos.ID {
			return nil
		}
	}
	now, err := p.log.Time(ctx)
	if err != nil {
		return err
	}
	expired := now.Sub(timeOf(p.pos.Time)) >= p.log.keep
	if !expired || p.polled.IsZero() || time.Since(p.polled) >= p.log.keep {
		gap := Gap{Since: timeOf(p.pos.Time),
			Reason: "the last event read is no longer in the collection: its time was over, or the collection was emptied, while the listener was away"}
		if len(docs) > 0 {
			k, _ := keyOf(docs[0])
			gap.Until = timeOf(k.pos.Time)
		}
		p.reader.Gap(gap)
	}
	p.pos.ID = bson.ObjectID{} // a moment from here on
	return nil
}

// isOld reports whether a document was there before the start position.
func (p *poller) isOld(pos Position) bool {
	if p.start.ID.IsZero() {
		return pos.Time.Before(p.start.Time)
	}
	return !pos.Time.After(p.start.Time)
}

func (p *poller) entry(k key, raw bson.Raw) {
	p.seen.add(k.pos)
	p.pos = k.pos
	if k.pos.Time.T > p.newest {
		p.newest = k.pos.Time.T
		p.seen.forget(p.newest - tailWindow)
	}
	if !k.mark {
		p.reader.Entry(raw, p.pos)
	}
}

// oddEntry hands on a malformed document once. Without a timestamp nobody can
// tell whether it was there before the start.
func (p *poller) oddEntry(raw bson.Raw) {
	const most = 10_000
	id := string(raw.Lookup("_id").Value)
	if p.odd[id] || len(p.odd) >= most {
		return
	}
	if p.odd == nil {
		p.odd = map[string]bool{}
	}
	p.odd[id] = true
	p.reader.Entry(raw, p.pos)
}
