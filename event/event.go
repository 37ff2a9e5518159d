package event

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// DefaultMaxParameters is the largest size of an event's encoded parameters,
// in bytes, unless [Config] says otherwise.
const DefaultMaxParameters = 64 << 10

// Event is one document in the events collection: what is to be done, by which
// subscriber, on which servers. Make one with [New]; the zero value is not
// valid.
type Event struct {
	// ID is the event's identity. Publishing an event with an ID that is
	// already in the collection is a success and makes no second event.
	ID bson.ObjectID
	// Time is stamped by the database when the event is published.
	Time bson.Timestamp
	// Name is the subscriber that is meant, such as "server".
	Name string
	// Action is what the subscriber shall do, such as "stop".
	Action string
	// Parameters are the action's own, a BSON document; nil means none.
	Parameters bson.Raw
	// Target says which servers are meant; the zero value means all.
	Target Target
	// Publisher says who published the event; filled in by Publish.
	Publisher Publisher
	// ExpiresAt is the moment, by the database's clock, after which the event
	// is refused. Zero means the action's own limit.
	ExpiresAt time.Time
	// Reply asks the servers for answers; set by [Bus.Call].
	Reply bool
	// Secret are the paths of the parameters that readers do not show; see the
	// function of this name. New fills it in for tagged structs.
	Secret []string
	// Audited asks the publishing bus to record the event, see [Auditor]; it is not
	// stored. Those for the built-in subscribers are recorded in any case.
	Audited bool
	// Lease is how long the servers go on with it without a word of the caller;
	// set by [Bus.Call] with [Lease]. Zero means for as long as it takes.
	Lease time.Duration
	// Coalesce lets subscribers merge it with others, see [Coalesced].
	Coalesce bool

	by  string // see By
	err error  // a fault found by New, reported by Publish
}

// Publisher says who published an event.
type Publisher struct {
	User string `bson:"user,omitempty" json:"user,omitempty"` // uid:N for one without a name
	// SudoUser is who became User by sudo or doas.
	SudoUser string `bson:"sudo_user,omitempty" json:"sudo_user,omitempty"`
	Host     string `bson:"host,omitempty" json:"host,omitempty"`
	PID      int    `bson:"pid,omitempty" json:"pid,omitempty"`
	App      string `bson:"app,omitempty" json:"app,omitempty"` // see Config.App
}

// Option changes an event that [New] makes.
type Option func(*Event)

// To limits the event to the servers that t matches. Default: everybody.
func To(t Target) Option { return func(e *Event) { e.Target = t } }

// Expires lets the event be refused by servers that see it later than at, by
// the database's clock.
func Expires(at time.Time) Option { return func(e *Event) { e.ExpiresAt = at } }

// By lets the event be published in the name of a user whom this program knows, such
// as the one who has logged in to a console. Default: the user of the process.
func By(user string) Option { return func(e *Event) { e.by = user } }

// New makes an event for the named subscriber and action. The parameters are
// anything that encodes to a BSON document: usually the action's own parameter
// struct, or bson.M, bson.Raw, or nil for none. A fault in them is reported by
// [Bus.Publish].
func New(subscriber, action string, parameters any, opts ...Option) Event {
	e := Event{ID: bson.NewObjectID(), Name: subscriber, Action: action}
	e.Parameters, e.err = encodeParameters(parameters)
	e.Secret = secretsIn(reflect.TypeOf(parameters))
	for _, opt := range opts {
		opt(&e)
	}
	return e
}

func encodeParameters(parameters any) (bson.Raw, error) {
	switch p := parameters.(type) {
	case nil, None, *None:
		return nil, nil
	case bson.Raw:
		if len(p) == 0 {
			return nil, nil
		}
		return p, p.Validate()
	}
	raw, err := bson.Marshal(parameters)
	if err != nil {
		return nil, fmt.Errorf("encode parameters of type %T: %w", parameters, err)
	}
	return raw, nil
}

// document is the shape of an event in the collection; see docs/protocol.md.
// The database replaces an empty timestamp at the top level by its own time.
type document struct {
	ID         bson.ObjectID  `bson:"_id"`
	Time       bson.Timestamp `bson:"ts"`
	Name       string         `bson:"name"`
	Action     string         `bson:"action"`
	Parameters bson.Raw       `bson:"parameters,omitempty"`
	Target     *Target        `bson:"target,omitempty"`
	Publisher  Publisher      `bson:"publisher"`
	ExpiresAt  time.Time      `bson:"expires_at,omitempty"`
	Reply      bool           `bson:"reply,omitempty"`
	Secret     []string       `bson:"secret,omitempty"`
	LeaseMS    int64          `bson:"lease_ms,omitempty"`
	Coalesce   bool           `bson:"coalesce,omitempty"`
}

// encode returns the event's document with an empty timestamp.
func (e Event) encode() (bson.Raw, error) {
	doc := document{
		ID: e.ID, Name: e.Name, Action: e.Action, Parameters: e.Parameters,
		Publisher: e.Publisher, ExpiresAt: e.ExpiresAt, Reply: e.Reply, Secret: e.Secret, LeaseMS: e.Lease.Milliseconds(), Coalesce: e.Coalesce,
	}
	if !e.Target.IsZero() {
		doc.Target = &e.Target
	}
	raw, err := bson.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return raw, nil
}

// Decode reads an event from its document in the collection; the event shares
// the document's memory. It fails with a [*MalformedError] when the document is
// not an event, and with [ErrMark] when it is the position mark of a listener.
func Decode(raw bson.Raw) (Event, error) {
	var h header
	if err := h.parse(raw); err != nil {
		return Event{}, err
	}
	if h.mark {
		return Event{}, ErrMark
	}
	return h.event()
}

// event decodes what parse has only looked at.
func (h *header) event() (Event, error) {
	e := Event{
		ID: h.id, Time: h.time, Name: string(h.name), Action: string(h.action),
		Parameters: h.params, ExpiresAt: h.expires, Reply: h.reply, Lease: h.lease, Coalesce: h.coalesce,
	}
	var ok bool
	if h.target != nil {
		if e.Target, ok = decodeTarget(h.target); !ok {
			return Event{}, malformedTarget("an unknown kind, or a value of a wrong type")
		}
	}
	if h.publisher != nil {
		if e.Publisher, ok = decodePublisher(h.publisher); !ok {
			return Event{}, &MalformedError{Kind: "publisher", Detail: "a value of a wrong type"}
		}
	}
	if h.secret != nil && !eachElement(h.secret, func(elem bsoncore.Element) bool { return appendString(elem, &e.Secret) }) {
		return Event{}, &MalformedError{Kind: "secret", Detail: "a value of a wrong type"}
	}
	return e, nil
}

// validate reports every fault at once.
func (e Event) validate(maxParameters int) error {
	faults := []error{e.err, nameFault("subscriber", e.Name), nameFault("action", e.Action), e.Target.Validate()}
	if size, limit := len(e.Parameters), cmp.Or(maxParameters, DefaultMaxParameters); size > limit {
		faults = append(faults, fmt.Errorf("parameters are %d bytes, the limit is %d: "+
			"store large data elsewhere and send a reference to it", size, limit))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// nameFault says what is wrong with a subscriber's or an action's name.
func nameFault(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s's name is empty", what)
	case name == All:
		return fmt.Errorf("the %s's name is %q: publish to one %s by its name", what, name, what)
	case name == callSubscriber && what == "subscriber":
		return fmt.Errorf("the subscriber name %q is taken by the bus itself", name)
	case len(name) > 128:
		return fmt.Errorf("the %s's name is %d bytes long, at most 128 are allowed", what, len(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("the %s's name %q contains blanks or control characters", what, name)
	}
	return nil
}

// thisProcess is the publisher of all events of this process; looking up the
// user may ask a directory service, so it is done once.
var thisProcess = sync.OnceValue(func() Publisher {
	p := Publisher{PID: os.Getpid(), App: filepath.Base(os.Args[0])}
	p.Host, _ = os.Hostname()
	if u, err := user.Current(); err == nil {
		p.User = u.Username
	} else if uid := os.Getuid(); uid >= 0 { // a container knows no names
		p.User = fmt.Sprintf("uid:%d", uid)
	}
	if by := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("DOAS_USER")); by != p.User {
		p.SudoUser = by
	}
	return p
})

// ThisProcess returns what is said of this process as a publisher, without a
// [Config.App].
func ThisProcess() Publisher { return thisProcess() }

// publisher is who publishes e.
func (b *Bus) publisher(e Event) Publisher {
	p := thisProcess()
	p.App = cmp.Or(b.cfg.App, p.App)
	if e.by != "" {
		p.User, p.SudoUser = e.by, ""
	}
	return p
}
