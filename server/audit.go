package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

var _ event.Auditor = (*Registry)(nil)

// audited are the subscribers whose events are recorded without being asked.
var audited = []string{"server", "worker", "logger", "config", "exec"}

// idle are their actions that change and reveal nothing.
var idle = []string{"ping", "server refresh", "config list"}

// Audits implements event.Auditor: the actions of the built-in subscribers are
// recorded, but for ping, refresh of a server and list of its settings.
func (r *Registry) Audits(e event.Event) bool {
	return slices.Contains(audited, e.Name) && !slices.Contains(idle, e.Action) && !slices.Contains(idle, e.Name+" "+e.Action)
}

// maxAuditError bounds the text of an error in the record, in bytes: panics come
// with their stacks.
const maxAuditError = 1 << 10

// Audit implements event.Auditor.
func (r *Registry) Audit(ctx context.Context, act event.Act) error { return r.record(ctx, act) }

// record writes an act down, with more fields.
func (r *Registry) record(ctx context.Context, act event.Act, more ...bson.E) error {
	r.trail.ensureOnce(ctx)
	e := act.Event
	note := bson.D{
		{Key: "name", Value: e.Name}, {Key: "action", Value: e.Action}, {Key: "target", Value: e.Target},
		{Key: "publisher", Value: e.Publisher}, {Key: "wait_ms", Value: act.Wait.Milliseconds()},
		{Key: "servers", Value: asked(act.Expected)},
	}
	note = append(note, more...)
	if parameters := e.Redacted(); len(parameters) > 0 {
		note = append(note, bson.E{Key: "parameters", Value: parameters})
	}
	result, err := r.trail.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: e.ID}},
		bson.D{{Key: "$setOnInsert", Value: note}, {Key: "$currentDate", Value: bson.D{{Key: "at", Value: true}}}},
		options.UpdateOne().SetUpsert(true))
	if err == nil && result.MatchedCount > 0 {
		err = r.tryAgain(ctx, e.ID)
	}
	if err != nil {
		return auditError("write", err)
	}
	return nil
}

// tryAgain forgets that an event could not be published: it is being published
// again.
func (r *Registry) tryAgain(ctx context.Context, id bson.ObjectID) error {
	_, err := r.trail.coll.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: id}, {Key: "ended", Value: event.EndedUnstored}},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "ended", Value: ""}, {Key: "error", Value: ""}}}})
	return err
}

// Conclude implements event.Auditor. Of several, when a call is repeated, the last
// one counts: it knows most.
func (r *Registry) Conclude(ctx context.Context, act event.Act, how event.Conclusion) error {
	set := bson.D{{Key: "ended", Value: how.Ending}}
	if how.Err != nil {
		set = append(set, bson.E{Key: "error", Value: cut(how.Err.Error())})
	}
	if how.Ending != event.EndedUnstored {
		set = append(set, bson.E{Key: "duration_ms", Value: milliseconds(how.Summary.Duration)},
			bson.E{Key: "servers", Value: outcomes(how.Summary.Servers)})
	}
	_, err := r.trail.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: act.Event.ID}}, bson.D{{Key: "$set", Value: set}})
	if err != nil {
		return auditError("complete", err)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func asked(members []event.Member) []AuditOutcome {
	list := make([]AuditOutcome, 0, len(members))
	for _, m := range members {
		list = append(list, AuditOutcome{ServerID: m.ServerID, Server: m.Name, Deaf: m.Deaf})
	}
	return list
}

func outcomes(servers []event.Outcome) []AuditOutcome {
	list := make([]AuditOutcome, 0, len(servers))
	for _, s := range servers {
		o := AuditOutcome{ServerID: s.ServerID, Server: s.Server, Deaf: s.Deaf, Gone: s.Gone, Acked: s.Acked, Extra: !s.Expected}
		if s.Reply == nil {
			o.Kind = AuditMissing
		} else {
			o.Kind, o.Error, o.DurationMS = string(s.Reply.Kind), cut(s.Reply.Error), s.Reply.DurationMS
		}
		list = append(list, o)
	}
	return list
}

// cut shortens an error to what the record keeps, and not within a character.
func cut(text string) string {
	if len(text) <= maxAuditError {
		return text
	}
	end := maxAuditError
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end] + " …"
}

// isUnauthorized reports whether the database user lacks a right.
func isUnauthorized(err error) bool {
	const codeUnauthorized = 13
	server, ok := errors.AsType[mongo.ServerError](err)
	return ok && server.HasErrorCode(codeUnauthorized)
}

func auditError(what string, err error) error {
	hint := ""
	if isUnauthorized(err) {
		hint = "; publishers need the rights to insert and update there"
	}
	return fmt.Errorf("%s the record in the collection %s: %w%s", what, AuditCollection, err, hint)
}
