package console

import (
	"context"
	"net/http"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// serverView is the page of one server.
type serverView struct {
	*row
	Workers []workerView
	Beat    []fact
	Events  []eventLine
	Actions map[string][]string
	Err     string
}

type workerView struct {
	output.Worker
	Work string
}

// fact is a line of a list.
type fact struct{ Name, Value, Class string }

// errNoServer is of an id that is not in the registry.
var errNoServer = &pageError{http.StatusNotFound, "no server with this id is in the registry: it has left, or was purged"}

// recentEvents is how many events a server's page shows.
const recentEvents = 20

// serverView returns the page of a server of the registry.
func (c *Console) serverView(ctx context.Context, id bson.ObjectID) (*serverView, error) {
	s := c.fleet.now(ctx)
	one := s.byID[id]
	switch {
	case one == nil && s.Err != nil:
		return nil, s.Err
	case one == nil:
		return nil, errNoServer
	}
	v := &serverView{row: one, Actions: one.Entry.Actions}
	for _, w := range one.Server.Workers {
		v.Workers = append(v.Workers, workerView{w, output.WorkOf(one.Server, w)})
	}
	v.Beat = facts(one.Server)
	v.Events = c.eventsOf(one.Entry)
	if s.Err != nil {
		v.Err = s.Err.Error()
	}
	return v, nil
}

func facts(s output.Server) []fact {
	h := s.Heartbeat
	list := []fact{
		{"listener", string(h.State), ""},
		{"lag", output.Short(output.Milliseconds(h.LagMS)), bad(s.Deaf)},
		{"gaps", output.Plural(int(h.Gaps), "gap"), bad(h.Gaps > 0)},
		{"reconnects", output.Plural(int(h.Reconnects), "reconnect"), ""},
		{"position", h.Position, ""},
		{"beat took", output.Short(time.Duration(h.RTTMS * float64(time.Millisecond))), ""},
		{"beats every", output.Short(output.Milliseconds(h.IntervalMS)), ""},
		{"goroutines", output.Plural(h.Goroutines, "goroutine"), ""},
	}
	if h.LastError != "" {
		list = append(list, fact{"last error", h.LastError, "bad"})
	}
	return list
}

func bad(is bool) string {
	if is {
		return "bad"
	}
	return ""
}

// eventsOf returns the newest events that are meant for the server, with its answers.
func (c *Console) eventsOf(e server.Entry) []eventLine {
	id := e.Identity()
	list, _, _ := c.feed.newest(recentEvents, func(v view) bool {
		meant, err := v.event.Target.Matches(id)
		return err == nil && (meant || len(v.event.Target.WorkerIDs) > 0 && answered(v, e.ID))
	})
	lines := make([]eventLine, 0, len(list))
	for _, v := range list {
		v.last = slices.DeleteFunc(v.last, func(r replyOf) bool { return r.ServerID != e.ID })
		line := lineOf(c.cfg.Base, v)
		if len(v.last) > 0 {
			line.Says, _ = twoParts(v.last[0])
		}
		lines = append(lines, line)
	}
	return lines
}

func answered(v view, id bson.ObjectID) bool {
	return slices.ContainsFunc(v.last, func(r replyOf) bool { return r.ServerID == id })
}

func (c *Console) serverPage(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := c.serverView(r.Context(), id)
	if err != nil {
		return err
	}
	p := c.page(r, v.Server.Name, "fleet", v)
	p.Live, p.Moving = "/live/servers/"+id.Hex(), true
	return c.show(r, "server", p)
}

func (c *Console) serverStream(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.stream(r, "html", func() (any, bool, error) {
		v, err := c.serverView(r.Context(), id)
		if err != nil {
			return nil, true, err
		}
		html, err := c.render("server", "live", c.page(r, "", "", v))
		return fragment{string(html)}, false, err
	})
}
