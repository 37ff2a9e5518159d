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
	Base       string
	Subscriber string
	Action     string
	Who        string
	Query      string
	Lines      []eventLine
	Gap        string
	Err        string
	Known      []string // subscribers that were seen
}

// eventsShown is how many events the page shows.
const eventsShown = 100

func (c *Console) eventsView(form url.Values) *eventsView {
	v := &eventsView{
		Base: c.cfg.Base, Subscriber: form.Get("subscriber"), Action: form.Get("action"),
		Who: strings.TrimSpace(form.Get("who")), Query: strings.TrimSpace(form.Get("q")),
	}
	list, gap, err := c.feed.newest(eventsShown, func(one view) bool {
		e := one.event
		return (v.Subscriber == "" || v.Subscriber == e.Name) && (v.Action == "" || v.Action == e.Action) &&
			(v.Who == "" || v.Who == e.Publisher.User || v.Who == e.Publisher.SudoUser) &&
			(v.Query == "" || strings.Contains(strings.ToLower(e.ID.Hex()+" "+describe(e.Target)+" "+parametersText(one.shown)), strings.ToLower(v.Query)))
	})
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
