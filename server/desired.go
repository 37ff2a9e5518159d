package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// Desired is the state that somebody has asked of a server. Publishers write it
// beside the event, so that a server which could not read the event comes to it
// all the same.
type Desired struct {
	Paused *bool `bson:"paused,omitempty"`
	// LogLevels are by component, allComponents for the global one.
	LogLevels map[string]DesiredLevel `bson:"log_levels,omitempty"`
}

// Desire implements event.Recorder: it notes in the entries of the servers that
// are meant what the event asks of them, if that is a lasting state: pause,
// resume, and the log level. A sticky pause becomes a [Hold], a resume ends
// holds.
func (r *Registry) Desire(ctx context.Context, e event.Event) error {
	if err := r.changeHolds(ctx, e); err != nil {
		return err
	}
	set, err := r.desiredBy(ctx, e)
	if set == nil || err != nil {
		return err
	}
	entries, err := r.List(ctx)
	if err != nil {
		return err
	}
	ids := bson.A{}
	for _, entry := range entries { // the lost as well: they may be cut off
		if ok, err := e.Target.Matches(entry.member().Identity()); err != nil {
			return err
		} else if ok {
			ids = append(ids, entry.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err = r.coll.UpdateMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, bson.D{{Key: "$set", Value: set}})
	if err != nil {
		return fmt.Errorf("note the desired state in the registry: %w", err)
	}
	return nil
}

// desiredBy returns the fields that an event sets, nil when it sets none.
func (r *Registry) desiredBy(ctx context.Context, e event.Event) (bson.D, error) {
	switch {
	case e.Name == "server" && (e.Action == "pause" || e.Action == "resume"):
		return bson.D{{Key: "desired.paused", Value: e.Action == "pause"}}, nil
	case e.Name == "logger" && e.Action == "set":
		return r.desiredLevel(ctx, e)
	}
	return nil, nil
}

// desired reads what is asked of a server; the zero value when it has no entry.
func (r *Registry) desired(ctx context.Context, id bson.ObjectID) (Desired, error) {
	var entry struct {
		Desired Desired `bson:"desired"`
	}
	opts := options.FindOne().SetProjection(bson.D{{Key: "desired", Value: 1}})
	err := r.coll.FindOne(ctx, bson.D{{Key: "_id", Value: id}}, opts).Decode(&entry)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Desired{}, nil
	}
	if err != nil {
		return Desired{}, fmt.Errorf("read the desired state from the registry: %w", err)
	}
	return entry.Desired, nil
}

// serverSubscriber is the subscriber "server" that comes to the desired pause
// after a gap.
type serverSubscriber struct {
	subscribers.Server
	control *control
}

// Gap implements event.GapHandler.
func (s *serverSubscriber) Gap(ctx context.Context, gap event.Gap) {
	s.control.server().reconcile(ctx, gap, s.control.server().reconcilePause)
}

// reconcile applies a part of what is desired, trying until that is known. Each
// subscriber does so for its own part, in order with its events: what was published
// since is not undone.
func (s *Server) reconcile(ctx context.Context, gap event.Gap, apply func(context.Context, Desired) error) {
	ctx = s.ownLogger(ctx)
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		want, err := s.readDesired(ctx)
		if err == nil {
			err = apply(ctx, want)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if _, hook := errors.AsType[*hookError](err); hook { // events behind this one may be a stop
			zerolog.Ctx(ctx).Error().Err(err).Msg("the server has not come to its desired state; repeat the pause or resume")
			return
		}
		zerolog.Ctx(ctx).Warn().Err(err).Str("gap", gap.Reason).Msg("cannot find out the desired state; trying again until it is known")
		if !sleep(ctx, delay) {
			return
		}
	}
}

func (s *Server) readDesired(ctx context.Context) (Desired, error) {
	s.beats.show(ctx) // publishers note it in entries that are there
	bounded, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	return s.registry.desired(bounded, s.bus.Identity().ServerID)
}

// reconcilePause comes to the desired pause. An entry that is new knows of none:
// the holds do.
func (s *Server) reconcilePause(ctx context.Context, want Desired) error {
	if want.Paused == nil {
		return s.obeyHolds(ctx)
	}
	r := request{change: ChangeResume, by: ByGap}
	if *want.Paused {
		r.change = ChangePause
	}
	changed, err := s.perform(r, func() (bool, error) { return s.setPaused(ctx, *want.Paused) })
	if _, stopping := errors.AsType[*event.RefusedError](err); stopping {
		return nil
	}
	if changed {
		zerolog.Ctx(ctx).Info().Bool("paused", *want.Paused).Msg("pause or resume made up for after a gap")
	}
	return err
}
