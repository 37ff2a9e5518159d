package event

import (
	"context"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// DefaultWait is how long Call waits for answers unless [Wait] says otherwise.
const DefaultWait = 10 * time.Second

// CallOption changes how Call waits.
type CallOption func(*call)

// Wait sets how long Call waits for the answers, from publishing on. Default
// DefaultWait.
func Wait(d time.Duration) CallOption { return func(c *call) { c.wait = d } }

// Summarize lets Call fill in s: complete once the iteration has ended.
func Summarize(s *Summary) CallOption { return func(c *call) { c.summary = s } }

// Summary is the exact outcome of a call.
type Summary struct {
	EventID  bson.ObjectID
	Matched  int // living servers that were meant: those expected to answer
	Acked    int // of these, how many have said that the event reached them
	Done     int
	Failed   int
	Refused  int
	Missing  int // expected, and no final answer (including the deaf)
	Deaf     int // missing, and known to be deaf
	Extra    int // answered without being expected: started since, or were lost
	Duration time.Duration
	Servers  []Outcome // one for each expected server, then the extra ones
}

// Complete reports whether every expected server has given its final answer.
func (s Summary) Complete() bool { return s.Missing == 0 }

// Outcome is how it went on one server.
type Outcome struct {
	ServerID bson.ObjectID
	Server   string
	Acked    bool
	Expected bool
	Deaf     bool
	Reply    *Reply // the final answer, nil when it is missing
}

// Call publishes the event, asks for answers and yields them as they come. It
// ends when every expected server has given a final answer, when the wait is
// over, when ctx ends or when the caller breaks off. Expected are the servers
// that [Bus.Match] returns; if there are none it ends at once, publishes
// nothing and the summary says Matched 0.
//
// An error is yielded, last, when the event could not be published or the
// answers could not be read (the summary then does not tell a silent server from
// a caller that did not hear it): what the servers answer, and that some do not, is
// no error. Breaking off, or the end of the wait, does not stop the servers.
// It works with and without Run; any number of calls share one reader.
func (b *Bus) Call(ctx context.Context, e Event, opts ...CallOption) iter.Seq2[Reply, error] {
	c := &call{bus: b, event: e, wait: DefaultWait, summary: &Summary{}}
	for _, opt := range opts {
		opt(c)
	}
	c.event.Reply = true
	return func(yield func(Reply, error) bool) {
		if err := c.recorded(ctx, yield); err != nil {
			yield(Reply{}, err)
		}
	}
}

// call is one Call under way; it belongs to the caller's goroutine.
type call struct {
	bus     *Bus
	event   Event
	wait    time.Duration
	summary *Summary
	index   map[bson.ObjectID]int // of each server in summary.Servers
	act     *Act                  // the event as it was published, nil before
}

func (c *call) run(ctx context.Context, yield func(Reply, error) bool) error {
	*c.summary = Summary{EventID: c.event.ID}
	members, err := c.bus.Match(ctx, c.event)
	if err != nil {
		return err
	}
	c.expect(members)
	if len(members) == 0 {
		return nil
	}
	box, stop, err := c.bus.calls.watch(ctx, c.event.ID)
	if err != nil {
		return err
	}
	defer stop()
	start := time.Now()
	defer func() { c.summary.Duration = time.Since(start) }()
	if err := c.publish(ctx, members); err != nil {
		return err
	}
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	for c.summary.Missing > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return c.bus.calls.trouble(box)
		case r := <-box.out:
			c.take(r)
			if !yield(r, nil) {
				return nil
			}
		}
	}
	return nil
}

func (c *call) expect(members []Member) {
	c.index = make(map[bson.ObjectID]int, len(members))
	s := c.summary
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
	s := c.summary
	i, ok := c.index[r.ServerID]
	if !ok {
		i = len(s.Servers)
		c.index[r.ServerID] = i
		s.Servers = append(s.Servers, Outcome{ServerID: r.ServerID, Server: r.Server})
		s.Extra++
	}
	o := &s.Servers[i]
	if !o.Acked && o.Expected {
		s.Acked++
	}
	o.Acked = true
	if !r.Kind.Final() || o.Reply != nil {
		return
	}
	o.Reply = &r
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
