package event

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	// lookTime is how often a call asks the Directory who is still there.
	lookTime = 5 * time.Second
	// looksAway is how often in a row a server has not to be there until it counts
	// as gone: one that is stopped answers after it has left.
	looksAway = 2
)

// lookout asks the Directory from time to time who is there, in a goroutine that the
// returned function ends and joins. One that cannot be read tells nothing.
func (c *call) lookout(ctx context.Context) (looks <-chan []Member, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	seen := make(chan []Member)
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(lookTime)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			members, err := c.bus.cfg.Directory.Members(ctx)
			if err != nil {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case seen <- members:
			}
		}
	})
	return seen, func() { cancel(); looking.Wait() }
}

// look notes who of those whose answers are missing has gone, or is back.
func (c *call) look(members []Member) {
	there := make(map[bson.ObjectID]Member, len(members))
	for _, m := range members {
		there[m.ServerID] = m
	}
	for i := range c.summary.Servers {
		o := &c.summary.Servers[i]
		if !o.Expected || o.Reply != nil {
			continue
		}
		if m, ok := there[o.ServerID]; ok {
			c.isBack(o)
			c.isDeaf(o, m.Deaf)
		} else if o.away++; o.away == looksAway {
			c.isGone(o)
		}
	}
}

func (c *call) isGone(o *Outcome) {
	o.Gone = true
	c.summary.Gone++
	c.isDeaf(o, false)
	c.gone(*o)
}

// isBack takes a sign of life.
func (c *call) isBack(o *Outcome) {
	if o.away = 0; o.Gone {
		o.Gone = false
		c.summary.Gone--
	}
}

func (c *call) isDeaf(o *Outcome, deaf bool) {
	switch {
	case deaf && !o.Deaf:
		c.summary.Deaf++
	case o.Deaf && !deaf:
		c.summary.Deaf--
	}
	o.Deaf = deaf
}
