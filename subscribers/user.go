package subscribers

import (
	"context"

	"github.com/fleetcast/fleetcast/event"
)

// MaxEventName is how many characters the name of a user event may have.
const MaxEventName = 128

// UserEvent is an event of one's own, without an action of its own: a name, and
// something that goes with it. What a Serf agent's event handlers get.
type UserEvent struct {
	// Name tells events apart. Required, at most MaxEventName characters.
	Name string `bson:"name" json:"name" validate:"required,max=128" doc:"tells events apart"`
	// Payload is what goes with it: text, a bson.Binary, a bson.D or what else BSON
	// has; nil for nothing.
	Payload any `bson:"payload,omitempty" json:"payload" doc:"what goes with it"`
}

// PublishUserEvent is the action of user events, for publishing them. With
// [event.Coalesced] subscribers merge those of one name.
var PublishUserEvent = event.Define[UserEvent, any]("user", "event", event.CoalesceBy("name"), event.Doc("an event of one's own"))

// User is the subscriber "user": it hands user events to a function, one after the
// other.
type User struct {
	Handle func(ctx context.Context, e UserEvent) (result any, err error)
	// Parallel lets the function be called again while it is running.
	Parallel bool
}

// Name implements event.Subscriber.
func (u *User) Name() string { return "user" }

// Actions implements event.Subscriber.
func (u *User) Actions() []event.Action {
	var opts []event.ActionOption
	if u.Parallel {
		opts = append(opts, event.Concurrent())
	}
	return []event.Action{PublishUserEvent.Do(u.Handle, opts...)}
}
