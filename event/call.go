package event

import (
	"context"
	"iter"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// DefaultWait is how long Call waits for answers unless [Wait] says otherwise.
const DefaultWait = 10 * time.Second

// joinTime is how long after publishing servers may acknowledge that were not
// expected, and count for a minimum.
const joinTime = 10 * time.Second

// CallOption changes how Call waits.
type CallOption func(*call)

// Wait sets how long Call waits for the answers, from publishing on. Default
// DefaultWait.
func Wait(d time.Duration) CallOption { return func(c *call) { c.wait = d } }

// AtLeast lets Call go on until at least n servers have given their final answer,
// those included that were not expected, because they were not in the directory yet:
// with fewer, the summary is not complete. Such servers have to acknowledge within 10 s;
// then those that have are waited for. A call that matches nobody at all still ends at
// once. Default 0.
func AtLeast(n int) CallOption { return func(c *call) { c.summary.Minimum = n } }

// Summarize lets Call fill in s: complete once the iteration has ended.
func Summarize(s *Summary) CallOption { return func(c *call) { c.into = s } }

// Summary is the exact outcome of a call.
type Summary struct {
	EventID  bson.ObjectID
	Matched  int // living servers that were meant: those expected to answer
	Acked    int // of these, how many have said that the event reached them
	Done     int
	Failed   int
	Refused  int
	Missing  int // expected, and no final answer (including the deaf and the gone)
	Deaf     int // missing, and known to be deaf
	Gone     int // missing, and not there any more: lost, or has left
	Extra    int // answered without being expected: were just starting, or seemed lost
	Minimum  int // the final answers that AtLeast wants
	Duration time.Duration
	Servers  []Outcome // one for each expected server, then the extra ones
}

// Complete reports whether every expected server has given its final answer, and
// [AtLeast] as many have as the caller wants.
func (s Summary) Complete() bool { return s.Missing == 0 && s.Short() == 0 }

// Short is how many final answers, whoever gives them, are missing to the Minimum.
func (s Summary) Short() int {
	short := s.Minimum
	for _, o := range s.Servers {
		if o.Reply != nil {
			short--
		}
	}
	return max(0, short)
}

// Outcome is how it went on one server.
type Outcome struct {
	ServerID bson.ObjectID
	Server   string
	Acked    bool
	Expected bool
	Deaf     bool
	Gone     bool   // it has not been in the Directory for some seconds
	Reply    *Reply // the final answer, nil when it is missing
	// Took is how long after publishing the final answer was here.
	Took time.Duration
	// Lost is how many replies of this server should have come before its final
	// one, and have not.
	Lost int

	replies int // seen so far
	away    int // looks in a row at which it was not there
}

// Call publishes the event, asks for answers and yields them as they come. It
// ends when every expected server has given a final answer, when the wait is
// over, when ctx ends or when the caller breaks off. Expected are the servers
// that [Bus.Match] returns; if there are none it ends at once, publishes
// nothing and the summary says Matched 0.
//
// A call that takes long asks the [Directory] every 5 s who is still there. It
// does not wait for a server that has gone, because it is lost or has left: that is
// missing. One that comes back while others are waited for is expected again, and
// its answer counts.
//
// Large results come whole, however they have travelled. [Bus.CallFunc] tells the
// same to functions.
//
// An error is yielded, last, when the event could not be published or the
// answers could not be read (the summary then does not tell a silent server from
// a caller that did not hear it): what the servers answer, and that some do not, is
// no error. Breaking off, or the end of the wait, does not stop the servers unless
// there is a [Lease].
// It works with and without Run; any number of calls share one reader.
func (b *Bus) Call(ctx context.Context, e Event, opts ...CallOption) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		if err := b.newCall(e, opts).run(ctx, yield); err != nil {
			yield(Reply{}, err)
		}
	}
}

// call is one Call under way; it belongs to the caller's goroutine.
type call struct {
	bus       *Bus
	event     Event
	wait      time.Duration
	into      *Summary // where the caller wants the summary, or nil
	submitted func([]Member)
	gone      func(Outcome)

	summary Summary
	index   map[bson.ObjectID]int // of each server in summary.Servers
	whole   Assembler
	start   time.Time
	act     *Act // the event as it was published, nil before
	closed  bool // nobody else joins
}

func (b *Bus) newCall(e Event, opts []CallOption) *call {
	c := &call{bus: b, event: e, wait: DefaultWait, submitted: func([]Member) {}, gone: func(Outcome) {}}
	for _, opt := range opts {
		opt(c)
	}
	c.event.Reply = true
	c.summary.EventID = e.ID
	return c
}

func (c *call) run(ctx context.Context, yield func(Reply, error) bool) error {
	defer c.report()
	members, err := c.bus.Match(ctx, c.event)
	if err != nil {
		return err
	}
	c.expect(members)
	if len(members) == 0 {
		c.summary.Minimum = 0
		return nil
	}
	box, stop, err := c.bus.calls.watch(ctx, c.event.ID)
	if err != nil {
		return err
	}
	defer stop()
	c.start = time.Now()
	if err := c.publish(ctx, members); err != nil {
		return err
	}
	defer c.hold(ctx)()
	c.submitted(members)
	return c.recorded(ctx, func() error { return c.collect(ctx, box, yield) })
}

// collect takes the replies until the call is over.
func (c *call) collect(ctx context.Context, box *inbox, yield func(Reply, error) bool) error {
	timer := time.NewTimer(c.wait - time.Since(c.start))
	defer timer.Stop()
	join := time.NewTimer(joinTime - time.Since(c.start))
	defer join.Stop()
	looks, stop := c.lookout(ctx)
	defer stop()
	for c.waits() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return c.bus.calls.trouble(box)
		case <-join.C:
			c.closed = true
		case members := <-looks:
			if c.bus.calls.trouble(box) == nil { // else who has gone may have answered before
				c.look(members)
			}
		case part := <-box.out:
			r, whole := c.whole.Add(part)
			c.take(r)
			if whole && !yield(r, nil) {
				return nil
			}
		}
	}
	return nil
}

// waits reports whether there is anything left to wait for: those who are expected
// and there, and, for the minimum, others that have acknowledged or may still.
func (c *call) waits() bool {
	s := &c.summary
	if s.Missing > s.Gone {
		return true
	}
	return s.Short() > 0 && (!c.closed || slices.ContainsFunc(s.Servers, func(o Outcome) bool { return !o.Expected && o.Reply == nil }))
}

// report gives the caller the summary.
func (c *call) report() {
	if !c.start.IsZero() {
		c.summary.Duration = time.Since(c.start)
	}
	if c.into != nil {
		*c.into = c.summary
	}
}

func (c *call) expect(members []Member) {
	c.index = make(map[bson.ObjectID]int, len(members))
	s := &c.summary
	s.Matched, s.Missing = len(members), len(members)
	for i, m := range members {
		c.index[m.ServerID] = i
		s.Servers = append(s.Servers, Outcome{ServerID: m.ServerID, Server: m.Name, Expected: true, Deaf: m.Deaf})
		if m.Deaf {
			s.Deaf++
		}
	}
}

// take counts one reply. A server's second final answer counts for nothing.
func (c *call) take(r Reply) {
	s := &c.summary
	o := c.outcome(r)
	o.replies++
	c.isBack(o)
	if !o.Acked && o.Expected {
		s.Acked++
	}
	o.Acked = true
	if !r.Kind.Final() || o.Reply != nil {
		return
	}
	o.Reply, o.Took, o.Lost = &r, time.Since(c.start), max(0, r.Seq+1-o.replies)
	if !o.Expected {
		return
	}
	s.Missing--
	if o.Deaf {
		s.Deaf--
	}
	switch r.Kind {
	case Done:
		s.Done++
	case Failed:
		s.Failed++
	case Refused:
		s.Refused++
	}
}

// outcome returns the place of a server in the summary.
func (c *call) outcome(r Reply) *Outcome {
	s := &c.summary
	i, ok := c.index[r.ServerID]
	if !ok {
		i = len(s.Servers)
		c.index[r.ServerID] = i
		s.Servers = append(s.Servers, Outcome{ServerID: r.ServerID, Server: r.Server})
		s.Extra++
	}
	return &s.Servers[i]
}
