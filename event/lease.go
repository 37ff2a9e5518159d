package event

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ErrCallerGone is the cause with which the context of an action ends whose
// caller has gone, or has not renewed its interest in time.
var ErrCallerGone = errors.New("the caller has gone")

// leaseTime is how long an action goes on without a word of its caller, who
// renews the lease three times as often.
const leaseTime = 15 * time.Second

// callSubscriber is the name of the events by which callers renew and withdraw
// their interest. Every Bus obeys them; nobody else can have or use the name.
const callSubscriber = "call"

const (
	renewAction  = "renew"
	cancelAction = "cancel"
)

// interest is the parameters of these events.
type interest struct {
	EventID bson.ObjectID `bson:"event_id"`
}

// Lease ties the action to its caller: its context ends with [ErrCallerGone]
// when the call is broken off, when its wait is over, or when the caller has not
// been heard for 15 s because its process has died or is cut off. For actions
// that must not go on unattended, such as running a command.
func Lease() CallOption { return func(c *call) { c.event.Lease = leaseTime } }

// hold renews the caller's interest until the returned function is called, which
// withdraws it unless everybody has answered.
func (c *call) hold(ctx context.Context) (end func()) {
	if c.event.Lease == 0 {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(c.event.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = c.tell(ctx, renewAction) // the next one may succeed
			}
		}
	})
	return func() {
		stop()
		renewing.Wait()
		if c.unanswered() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTime/3)
			defer cancel()
			_ = c.tell(ctx, cancelAction) // else the lease runs out
		}
	}
}

func (c *call) unanswered() bool {
	for _, o := range c.summary.Servers {
		if o.Reply == nil {
			return true
		}
	}
	return false
}

// tell publishes what only Buses understand.
func (c *call) tell(ctx context.Context, action string) error {
	e := New(callSubscriber, action, interest{c.event.ID}, To(c.event.Target))
	e.Publisher = c.bus.publisher(c.event)
	doc, err := e.encode()
	if err != nil {
		return err
	}
	return c.bus.events.Append(ctx, doc)
}

// leases are the actions of this process that are tied to their callers.
type leases struct {
	mu      sync.Mutex
	byEvent map[bson.ObjectID][]*lease
}

// lease ends the actions of one event. A nil one does nothing.
type lease struct {
	of     *leases
	event  bson.ObjectID
	length time.Duration
	timer  *time.Timer
	ctx    context.Context // ends when the caller has gone
	expire func()
}

func (l *leases) grant(e Event) *lease {
	ctx, cancel := context.WithCancelCause(context.Background())
	g := &lease{of: l, event: e.ID, length: e.Lease, ctx: ctx, expire: func() { cancel(ErrCallerGone) }}
	l.mu.Lock()
	defer l.mu.Unlock()
	g.timer = time.AfterFunc(g.length, g.expire)
	if l.byEvent == nil {
		l.byEvent = map[bson.ObjectID][]*lease{}
	}
	l.byEvent[e.ID] = append(l.byEvent[e.ID], g)
	return g
}

// heard takes an event of the subscriber call.
func (l *leases) heard(h *header) {
	id, ok := bson.Raw(h.params).Lookup("event_id").ObjectIDOK()
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.byEvent[id] {
		switch string(h.action) {
		case renewAction:
			g.timer.Reset(g.length)
		case cancelAction:
			g.expire()
		}
	}
}

// bind returns a context that ends with the lease, too.
func (g *lease) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	if g == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.ctx, func() { cancel(context.Cause(g.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}

// isOver reports whether the caller has gone.
func (g *lease) isOver() bool { return g != nil && g.ctx.Err() != nil }

// end forgets the lease: its event has been answered.
func (g *lease) end() {
	if g == nil {
		return
	}
	l := g.of
	l.mu.Lock()
	defer l.mu.Unlock()
	g.timer.Stop()
	rest := slices.DeleteFunc(l.byEvent[g.event], func(o *lease) bool { return o == g })
	if len(rest) > 0 {
		l.byEvent[g.event] = rest
		return
	}
	delete(l.byEvent, g.event)
}
