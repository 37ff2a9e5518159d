package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

// HoldsCollection is the name of the collection of holds.
const HoldsCollection = "holds"

// Hold is a sticky pause: servers that it is meant for start paused, until a
// resume ends it. It has no limit in time.
type Hold struct {
	ID        bson.ObjectID   `bson:"_id"` // of the event that made it
	Target    event.Target    `bson:"target"`
	Publisher event.Publisher `bson:"publisher"`
	At        time.Time       `bson:"at"` // by the database's clock
}

// EndedBy reports whether a resume with this target ends the hold: one for
// everybody ends all, one for some ends those for just the same.
func (h Hold) EndedBy(target event.Target) bool {
	return target.IsZero() || sameTarget(h.Target, target)
}

func sameTarget(a, b event.Target) bool {
	return sameValues(a.Names, b.Names) && sameValues(a.Hosts, b.Hosts) && maps.Equal(a.Labels, b.Labels) &&
		len(a.ServerIDs)+len(b.ServerIDs)+len(a.PIDs)+len(b.PIDs)+len(a.WorkerIDs)+len(b.WorkerIDs) == 0
}

func sameValues(a, b []string) bool {
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b))))
}

// Holds returns the holds that are in force, the oldest first.
func (r *Registry) Holds(ctx context.Context) ([]Hold, error) {
	var holds []Hold
	cursor, err := r.holds.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "at", Value: 1}}))
	if err == nil {
		err = cursor.All(ctx, &holds)
	}
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	return holds, nil
}

// changeHolds adds or removes the holds that an event makes or ends. It comes
// before the entries are changed and the event is published, and servers read
// the holds after they have registered: so one of both sees the other.
func (r *Registry) changeHolds(ctx context.Context, e event.Event) error {
	if e.Name != "server" {
		return nil
	}
	switch sticky, _ := e.Parameters.Lookup("sticky").BooleanOK(); {
	case e.Action == "resume":
		return r.endHolds(ctx, e.Target)
	case e.Action == "pause" && sticky:
		return r.addHold(ctx, e)
	}
	return nil
}

func (r *Registry) addHold(ctx context.Context, e event.Event) error {
	if t := e.Target; len(t.ServerIDs)+len(t.PIDs)+len(t.WorkerIDs) > 0 {
		return fmt.Errorf("%w: a sticky pause is for servers that start later, too, and these have other ids: "+
			"name servers, hosts or labels, or everybody", event.ErrInvalid)
	}
	update := bson.D{
		{Key: "$setOnInsert", Value: bson.D{{Key: "target", Value: e.Target}, {Key: "publisher", Value: e.Publisher}}},
		{Key: "$currentDate", Value: bson.D{{Key: "at", Value: true}}},
	}
	_, err := r.holds.UpdateOne(ctx, bson.D{{Key: "_id", Value: e.ID}}, update, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("note the hold: %w", err)
	}
	return nil
}

func (r *Registry) endHolds(ctx context.Context, target event.Target) error {
	holds, err := r.Holds(ctx)
	if err != nil {
		return err
	}
	ids := bson.A{}
	for _, h := range holds {
		if h.EndedBy(target) {
			ids = append(ids, h.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := r.holds.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}); err != nil {
		return fmt.Errorf("end the holds: %w", err)
	}
	return nil
}

// awaitHolds pauses the server if a hold is for it, trying until that is known
// and done, or ctx ends.
func (s *Server) awaitHolds(ctx context.Context) bool {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := s.obeyHolds(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		zerolog.Ctx(ctx).Warn().Err(err).Msg("cannot obey the holds, so no work is taken; trying again until it is done")
		if !sleep(ctx, delay) {
			return false
		}
	}
}

// obeyHolds pauses the server if a hold is for it that is younger than what
// events have told the server. It has the turn while it looks, so that a resume
// comes before, and has ended the hold, or after.
func (s *Server) obeyHolds(ctx context.Context) error {
	done, err := s.hooks.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	hold, err := s.findHold(ctx)
	if err != nil || hold == nil {
		return err
	}
	r := request{change: ChangePause, by: ByHold}
	changed, err := s.perform(r, func() (bool, error) { return s.setPausedNow(ctx, true) })
	if _, stopping := errors.AsType[*event.RefusedError](err); stopping {
		return nil
	}
	if changed {
		zerolog.Ctx(ctx).Warn().Str("by", hold.Publisher.User+"@"+hold.Publisher.Host).Time("since", hold.At).
			Str("event_id", hold.ID.Hex()).Msg("paused by a hold (pause --sticky); it lasts until resume")
	}
	return err
}

func (s *Server) findHold(ctx context.Context) (*Hold, error) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	holds, err := s.registry.Holds(ctx)
	if err != nil {
		return nil, err
	}
	id := s.bus.Identity()
	s.mu.Lock()
	told := s.toldAt
	s.mu.Unlock()
	for _, h := range holds {
		if !h.At.After(told) {
			continue
		}
		if meant, err := h.Target.Matches(&id); meant && err == nil { // a kind of target of later versions is not ours
			return &h, nil
		}
	}
	return nil, nil
}
