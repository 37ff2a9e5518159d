package console

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

type replyOf = event.Reply

// eventLine is an event in a list.
type eventLine struct {
	Base       string
	ID         string
	At         time.Time
	Name       string
	Parameters string
	Whom       string
	Who        string
	Asks       bool // for answers
	Counts     []count
	Says       string // what one server has answered
}

func lineOf(base string, v view) eventLine {
	e := v.event
	l := eventLine{
		Base: base, ID: e.ID.Hex(), At: output.TimeOf(e.Time), Name: e.Name + " " + e.Action, Parameters: output.Clip(parametersText(v.shown), 80),
		Whom: output.Clip(describe(e.Target), 60), Who: output.Who(e.Publisher), Asks: e.Reply,
	}
	n := map[event.ReplyKind]int{}
	for _, r := range v.last {
		n[r.Kind]++
	}
	for _, c := range []count{
		{"done", n[event.Done], "good"}, {"failed", n[event.Failed], "bad"}, {"refused", n[event.Refused], "bad"}, {"at it", n[event.Ack], ""},
	} {
		if c.N > 0 {
			l.Counts = append(l.Counts, c)
		}
	}
	return l
}

// eventsView is the page of events.
type eventsView struct {
	Base string
	eventFilter
	Lines []eventLine
	Gap   string
	Err   string
	Known []string // subscribers that were seen
}

// eventFilter is which events are shown; what is empty means all.
type eventFilter struct{ Subscriber, Action, Who, Query string }

func eventFilterOf(form url.Values) eventFilter {
	return eventFilter{form.Get("subscriber"), form.Get("action"), strings.TrimSpace(form.Get("who")), strings.TrimSpace(form.Get("q"))}
}

func (f eventFilter) wants(v view) bool {
	e := v.event
	return (f.Subscriber == "" || f.Subscriber == e.Name) && (f.Action == "" || f.Action == e.Action) &&
		(f.Who == "" || f.Who == e.Publisher.User || f.Who == e.Publisher.SudoUser) &&
		(f.Query == "" || strings.Contains(strings.ToLower(e.ID.Hex()+" "+describe(e.Target)+" "+parametersText(v.shown)), strings.ToLower(f.Query)))
}

// eventsShown is how many events the page shows.
const eventsShown = 100

func (c *Console) eventsView(form url.Values) *eventsView {
	v := &eventsView{Base: c.cfg.Base, eventFilter: eventFilterOf(form)}
	list, gap, err := c.feed.newest(eventsShown, v.wants)
	for _, one := range list {
		v.Lines = append(v.Lines, lineOf(c.cfg.Base, one))
		if !slices.Contains(v.Known, one.event.Name) {
			v.Known = append(v.Known, one.event.Name)
		}
	}
	slices.Sort(v.Known)
	v.Gap = gap
	if err != nil {
		v.Err = err.Error()
	}
	return v
}

func (c *Console) eventsPage(r *request) error {
	p := c.page(r, "Events", "events", c.eventsView(r.URL.Query()))
	p.Live, p.Moving = "/live/events?"+r.URL.RawQuery, true
	return c.show(r, "events", p)
}

func (c *Console) eventsStream(r *request) error {
	form := r.URL.Query()
	return c.stream(r, "html", func() (any, bool, error) {
		html, err := c.render("events", "live", c.page(r, "", "", c.eventsView(form)))
		return fragment{string(html)}, false, err
	})
}
