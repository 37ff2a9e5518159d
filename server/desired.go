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
	Paused   *bool  `bson:"paused,omitempty"`
	LogLevel string `bson:"log_level,omitempty"`
}

// Desire implements event.Recorder: it notes in the entries of the servers that
// are meant what the event asks of them, if that is a lasting state: pause,
// resume, and the log level.
func (r *Registry) Desire(ctx context.Context, e event.Event) error {
	set := desiredBy(e)
	if set == nil {
		return nil
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
func desiredBy(e event.Event) bson.D {
	switch {
	case e.Name == "server" && (e.Action == "pause" || e.Action == "resume"):
		return bson.D{{Key: "desired.paused", Value: e.Action == "pause"}}
	case e.Name == "logger" && e.Action == "set":
		if level, ok := e.Parameters.Lookup("level").StringValueOK(); ok && new(subscribers.Level).SetLevel(level) == nil {
			return bson.D{{Key: "desired.log_level", Value: level}}
		}
	}
	return nil
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

// serverSubscriber is the subscriber "server" that comes to the desired state
// after a gap.
type serverSubscriber struct {
	subscribers.Server
	control *control
}

// Gap implements event.GapHandler.
func (s *serverSubscriber) Gap(ctx context.Context, gap event.Gap) {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := s.control.reconcile(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		zerolog.Ctx(ctx).Warn().Err(err).Str("gap", gap.Reason).Msg("cannot find out the desired state; trying again until it is known")
		if !sleep(ctx, delay) {
			return
		}
	}
}

// reconcile applies what is desired and not so.
func (c *control) reconcile(ctx context.Context) error {
	s := c.server()
	bounded, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	want, err := s.registry.desired(bounded, s.bus.Identity().ServerID)
	if err != nil {
		return err
	}
	if want.Paused != nil {
		changed, err := s.setPaused(ctx, *want.Paused)
		if err != nil {
			return err
		}
		if changed {
			c.log(ctx).Bool("paused", *want.Paused).Msg("pause or resume made up for after a gap")
		}
	}
	if logger := s.cfg.Logger; logger != nil && want.LogLevel != "" && logger.Level() != want.LogLevel {
		if err := logger.SetLevel(want.LogLevel); err != nil {
			return err
		}
		c.log(ctx).Str("level", want.LogLevel).Msg("log level set after a gap")
	}
	return nil
}
