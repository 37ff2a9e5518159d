package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

const (
	rowsShown = 100
	rowsMost  = 1000
)

// attention is the tab of the servers that somebody should look at.
const attention = "attention"

// filter is what the page of the fleet shows, as its address says.
type filter struct {
	Query  string
	Labels []string
	State  string
	Page   int
	Size   int
	words  []string
	target event.Target
}

func parseFilter(form url.Values) (f filter, err error) {
	f = filter{Query: strings.TrimSpace(form.Get("q")), Labels: list(form["label"]), State: form.Get("state"), Page: 1, Size: rowsShown}
	f.words = strings.Fields(strings.ToLower(f.Query))
	if f.target.Labels, err = labelsOf(f.Labels); err == nil {
		err = f.target.Validate()
	}
	if err != nil {
		return f, &pageError{http.StatusUnprocessableEntity, err.Error()}
	}
	if f.State != "" && f.State != attention && !slices.Contains(output.States, f.State) {
		return f, &pageError{http.StatusUnprocessableEntity, fmt.Sprintf("state %q: choose from %s", f.State, strings.Join(output.States, ", "))}
	}
	if n, err := strconv.Atoi(form.Get("page")); err == nil {
		f.Page = max(1, n)
	}
	if n, err := strconv.Atoi(form.Get("rows")); err == nil {
		f.Size = min(max(1, n), rowsMost)
	}
	return f, nil
}

// text reports whether the server is one of those that text and labels choose.
func (f filter) text(r *row) bool {
	for _, word := range f.words {
		if !strings.Contains(r.text, word) {
			return false
		}
	}
	meant, err := f.target.Matches(r.Entry.Identity())
	return meant && err == nil
}

func (f filter) state(r *row) bool {
	return f.State == "" || f.State == r.Server.State || f.State == attention && r.Attention()
}

// choose returns the rows that the filter shows, on all pages.
func (f filter) choose(s *snapshot) []*row {
	var rows []*row
	for _, r := range s.Rows {
		if f.text(r) && f.state(r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// address is the filter in an address, with some parts changed.
func (f filter) address(state string, page int) string {
	v := url.Values{}
	for key, value := range map[string]string{"q": f.Query, "state": state} {
		if value != "" {
			v.Set(key, value)
		}
	}
	for _, l := range f.Labels {
		v.Add("label", l)
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	if f.Size != rowsShown {
		v.Set("rows", strconv.Itoa(f.Size))
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// tab is a state with the number of servers in it.
type tab struct {
	Name    string
	Count   int
	Address string
	Current bool
}

// fleetView is the page of the fleet, and what its stream sends.
type fleetView struct {
	Base    string
	Filter  filter
	Tabs    []tab
	Rows    []*row
	Total   int // of the servers that the filter shows, on all pages
	All     int // of the servers there are
	Pages   int
	Earlier string // addresses of the pages beside this one
	Later   string
	Summary string
	Holds   []hold
	Err     string
	Since   string
	Done    string
	Lost    int // servers that are lost, of all
}

type hold struct{ Whom, Who, Since string }

func (c *Console) fleetView(s *snapshot, f filter) *fleetView {
	v := &fleetView{Base: c.cfg.Base, Filter: f, All: len(s.Rows)}
	counts := map[string]int{}
	var out []output.Server
	var chosen []*row
	for _, r := range s.Rows {
		if r.Server.Lost {
			v.Lost++
		}
		if !f.text(r) {
			continue
		}
		counts[""]++
		counts[r.Server.State]++
		if r.Attention() {
			counts[attention]++
		}
		if f.state(r) {
			chosen = append(chosen, r)
			out = append(out, r.Server)
		}
	}
	add := func(name, state string) {
		if n := counts[state]; n > 0 || state == "" || state == attention || state == f.State {
			v.Tabs = append(v.Tabs, tab{name, n, f.address(state, 1), state == f.State})
		}
	}
	add("all", "")
	add(attention, attention)
	for _, state := range slices.Backward(output.States) {
		add(state, state)
	}
	v.Total, v.Summary = len(chosen), output.Totals(out)
	v.Pages = max(1, (v.Total+f.Size-1)/f.Size)
	v.Filter.Page = min(f.Page, v.Pages)
	from := (v.Filter.Page - 1) * f.Size
	v.Rows = chosen[from:min(from+f.Size, v.Total)]
	if v.Filter.Page > 1 {
		v.Earlier = c.cfg.Base + "/" + f.address(f.State, v.Filter.Page-1)
	}
	if v.Filter.Page < v.Pages {
		v.Later = c.cfg.Base + "/" + f.address(f.State, v.Filter.Page+1)
	}
	for _, h := range s.Holds {
		v.Holds = append(v.Holds, hold{strings.Replace(describe(h.Target), "everybody", "every server", 1), output.Who(h.Publisher), h.At.UTC().Format("2006-01-02 15:04 UTC")})
	}
	if s.Err != nil {
		v.Err, v.Since = s.Err.Error(), s.Since.UTC().Format("15:04:05 UTC")
	}
	return v
}

func (c *Console) fleetPage(r *request) error {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return err
	}
	s := c.fleet.now(r.Context())
	if s.Err != nil && s.Rows == nil {
		return s.Err
	}
	v := c.fleetView(s, f)
	if r.URL.Query().Get("done") == "holds" {
		v.Done = "It was published. No living server is meant; the holds that are in force are listed here."
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("purged")); err == nil {
		v.Done = output.Plural(n, "lost server") + " removed from the registry."
	}
	p := c.page(r, "Fleet", "fleet", v)
	p.Live, p.Moving = "/live/fleet"+f.address(f.State, v.Filter.Page), true
	return c.show(r, "fleet", p)
}

// fleetMessage is what has changed in the table of one browser.
type fleetMessage struct {
	Head  string            `json:"head"`            // all that is above the table
	Foot  string            `json:"foot"`            // and below it
	Order []string          `json:"order,omitempty"` // the ids of the rows, when others are shown than before
	Rows  map[string]string `json:"rows,omitempty"`  // by id, those that have changed
}

// fleetStream sends what changes in the table.
func (c *Console) fleetStream(r *request) error {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return err
	}
	sent := map[string]string{}
	var order []string
	return c.stream(r, "fleet", func() (any, bool, error) {
		s := c.fleet.seen()
		if s.Rows == nil && s.Err == nil {
			s = c.fleet.now(r.Context())
		}
		v := c.fleetView(s, f)
		m := &fleetMessage{Rows: map[string]string{}}
		var ids []string
		for _, one := range v.Rows {
			id := one.Server.ID
			ids = append(ids, id)
			if sent[id] != one.html {
				m.Rows[id], sent[id] = one.html, one.html
			}
		}
		if !slices.Equal(ids, order) {
			m.Order, order = ids, ids
			for id := range sent {
				if !slices.Contains(ids, id) {
					delete(sent, id)
				}
			}
		}
		head, err := c.render("fleet", "head", c.page(r, "", "", v))
		if err != nil {
			return nil, false, err
		}
		foot, err := c.render("fleet", "foot", c.page(r, "", "", v))
		m.Head, m.Foot = string(head), string(foot)
		return m, false, err
	})
}
