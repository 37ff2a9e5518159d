package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

// draft is an event that somebody is about to publish: the form, and what would become
// of it.
type draft struct {
	Subscriber, Action string
	Info               event.ActionInfo
	Known              []known // what there is to choose from
	Fields             []field
	JSON               string // parameters as JSON, for actions without a description
	ByJSON             bool   // all of them are typed so
	Wait               string
	Target             event.Target
	Form               url.Values // as it was typed
	IDs                []string   // of the servers that were picked
	Members            []event.Member
	Checked            bool // Members are those who would be reached
	Holds              bool // it changes holds, also when nobody is there
	Fault              string
	Ask                bool // the number of servers has to be typed
	Permitted          bool

	event event.Event
	wait  time.Duration
}

// Name is the action in words.
func (d *draft) Name() string { return strings.ReplaceAll(d.Subscriber+" "+d.Action, "_", " ") }

// Picked reports whether the servers were picked one by one.
func (d *draft) Picked() bool { return len(d.IDs) > 0 }

// Whom says who is meant.
func (d *draft) Whom() string {
	t := d.Target
	if !d.Picked() {
		return describe(t)
	}
	t.ServerIDs = nil
	text := output.Plural(len(d.IDs), "picked server")
	if !t.IsZero() {
		text += ", " + describe(t)
	}
	return text
}

// Dangerous reports whether work is lost by it.
func (d *draft) Dangerous() bool { return d.Action == "kill" }

// Shown are the servers that are listed at once.
func (d *draft) Shown() []event.Member { return d.Members[:min(len(d.Members), 50)] }

// More is how many others there are.
func (d *draft) More() int { return len(d.Members) - len(d.Shown()) }

// DeafOnes is how many of them are deaf.
func (d *draft) DeafOnes() int {
	n := 0
	for _, m := range d.Members {
		if m.Deaf {
			n++
		}
	}
	return n
}

// actPage shows the form of an action, with the dry run.
func (c *Console) actPage(r *request) error {
	if err := r.form(); err != nil {
		return err
	}
	if err := c.pick(r); err != nil {
		return err
	}
	d, err := c.draft(r.Context(), r.Form)
	if err != nil {
		return err
	}
	if !typed(r.Form) { // nobody has filled it in yet, so nothing is wrong with it
		d.fresh()
	}
	c.dryRun(r.Context(), d)
	return c.showDraft(r, http.StatusOK, d)
}

func (c *Console) showDraft(r *request, status int, d *draft) error {
	d.Permitted = d.Action != "" && c.check(r.user, c.needs(d)) == nil
	title := "Publish"
	if d.Action != "" {
		title = d.Name()
	}
	return c.showAs(r, status, "act", c.page(r, title, "publish", d))
}

// typed reports whether a form has parameters.
func typed(form url.Values) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(form)), func(name string) bool { return strings.HasPrefix(name, "p.") })
}

// fresh forgets that parameters are missing.
func (d *draft) fresh() {
	for i := range d.Fields {
		d.Fields[i].Error = ""
	}
	if d.Fault == errParameters.Error() {
		d.Fault = ""
	}
}

// errParameters is of a form whose fields say what is wrong with them.
var errParameters = errors.New("some of the parameters are not right yet")

// needs is what publishing the draft needs.
func (c *Console) needs(d *draft) permission {
	if d.ByJSON && len(d.event.Parameters) > 0 {
		return mayPublishAny
	}
	return permissionFor(event.Event{Name: d.Subscriber, Action: d.Action})
}

// pick turns what the page of the fleet sends into a form: one field "do" with the
// subscriber and the action, and "all" for all servers that its filter shows.
func (c *Console) pick(r *request) error {
	if subscriber, action, ok := strings.Cut(r.Form.Get("do"), " "); ok {
		r.Form.Set("subscriber", subscriber)
		r.Form.Set("action", action)
		if r.Form.Get("all") == "" && len(r.Form["id"]) == 0 {
			return &pageError{http.StatusUnprocessableEntity, "no server was picked: go back, and tick some, or all"}
		}
	}
	if r.Form.Get("all") != "" {
		f, err := parseFilter(r.Form)
		if err != nil {
			return err
		}
		r.Form.Del("id")
		for _, one := range f.choose(c.fleet.now(r.Context())) {
			if !one.Server.Lost {
				r.Form.Add("id", one.Server.ID)
			}
		}
		if len(r.Form["id"]) == 0 {
			return &pageError{http.StatusUnprocessableEntity, "the filter shows no living server"}
		}
		for _, name := range []string{"label", "q", "state"} { // they were the filter's
			r.Form.Del(name)
		}
	}
	return nil
}

// draft reads the form. Faults of the user's are noted in it.
func (c *Console) draft(ctx context.Context, form url.Values) (*draft, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	entries, err := c.registry.ListTables(ctx)
	if err != nil {
		return nil, err
	}
	d := &draft{
		Subscriber: form.Get("subscriber"), Action: form.Get("action"), Known: actionsOf(entries), Form: form,
		JSON: form.Get("json"), ByJSON: form.Get("mode") == "json", IDs: list(form["id"]), Wait: form.Get("wait"),
	}
	if d.Action == "" {
		return d, nil
	}
	i := slices.IndexFunc(d.Known, func(k known) bool { return k.Subscriber == d.Subscriber && k.Action == d.Action })
	if i < 0 {
		return nil, &pageError{http.StatusNotFound, fmt.Sprintf("no living server has the action %s %s", d.Subscriber, d.Action)}
	}
	d.Info = d.Known[i].ActionInfo
	d.Fields = fields(d.Info, form)
	d.read(form)
	return d, nil
}

// read makes the event of the form.
func (d *draft) read(form url.Values) {
	var faults []error
	target, err := targetOf(form)
	faults = append(faults, err)
	var doc bson.D
	ok := true
	if d.ByJSON {
		doc, err = jsonParameters(d.JSON)
		faults = append(faults, err)
	} else {
		doc, ok = parameters(d.Fields)
		if d.Info.Free && d.JSON != "" {
			more, err := jsonParameters(d.JSON)
			doc, faults = append(doc, more...), append(faults, err)
		}
	}
	if !ok {
		faults = append(faults, errParameters)
	}
	d.Target = target
	if d.wait, err = waitFor(d, doc); err != nil {
		faults = append(faults, err)
	}
	d.Wait = d.wait.String()
	if err := errors.Join(faults...); err != nil {
		d.Fault = err.Error()
	}
	var options []event.Option
	options = append(options, event.To(target))
	if len(doc) == 0 {
		d.event = event.New(d.Subscriber, d.Action, nil, options...)
	} else {
		d.event = event.New(d.Subscriber, d.Action, doc, options...)
	}
	d.Ask = d.Dangerous()
	sticky, _ := d.event.Parameters.Lookup("sticky").BooleanOK()
	d.Holds = d.Subscriber == "server" && (d.Action == "pause" && sticky || d.Action == "resume")
}

// waitsLonger is how much longer than its work an action is waited for.
const waitsLonger = 15 * time.Second

// waitFor is how long to wait for the answers: what was typed, or what the action takes.
func waitFor(d *draft, doc bson.D) (time.Duration, error) {
	if d.Wait != "" {
		wait, err := time.ParseDuration(d.Wait)
		if err != nil || wait <= 0 || wait > 24*time.Hour {
			return event.DefaultWait, fmt.Errorf("wait %q: a duration such as 10s, at most 24h", d.Wait)
		}
		return wait, nil
	}
	if d.Subscriber != "server" && d.Subscriber != "worker" {
		return event.DefaultWait, nil
	}
	work := map[string]time.Duration{"stop": server.DefaultShutdownTimeout, "kill": subscribers.DefaultKillWait}[d.Action]
	if work == 0 {
		return event.DefaultWait, nil
	}
	for _, e := range doc { // what the action itself is given
		if text, ok := e.Value.(string); ok && (e.Key == "timeout" || e.Key == "wait_timeout") {
			if given, err := time.ParseDuration(text); err == nil {
				work = given
			}
		}
	}
	return min(work+waitsLonger, 24*time.Hour), nil
}

// dryRun finds out who would be reached.
func (c *Console) dryRun(ctx context.Context, d *draft) {
	if d.Action == "" || d.Fault != "" {
		return
	}
	if err := sensible(d.event); err != nil {
		d.Fault = err.Error()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	members, err := c.bus.Match(ctx, d.event)
	if err != nil {
		d.Fault = err.Error()
		return
	}
	d.event.Learn(members)
	d.Members, d.Checked = members, true
	d.Ask = d.Ask && len(members) > 1
}

// sensible refuses what would reach others than was probably meant.
func sensible(e event.Event) error {
	t := e.Target
	workers := len(t.WorkerIDs) > 0
	t.WorkerIDs = nil
	switch {
	case workers && e.Name != "worker":
		return fmt.Errorf("worker numbers are for the actions of workers: %s %s is for whole servers", e.Name, e.Action)
	case workers && t.IsZero():
		return errors.New("a worker's number alone means that worker of every server: name the servers, too")
	}
	return nil
}

// actPublish publishes what the form says, if those would be reached who were shown, and
// goes to the page of the answers.
func (c *Console) actPublish(r *request) error {
	if err := r.form(); err != nil {
		return err
	}
	d, err := c.draft(r.Context(), r.PostForm)
	if err != nil {
		return err
	}
	if d.Action == "" {
		return &pageError{http.StatusUnprocessableEntity, "the form names no action"}
	}
	if err := c.check(r.user, c.needs(d)); err != nil {
		return err
	}
	c.dryRun(r.Context(), d)
	if d.Fault == "" {
		d.Fault = d.confirmed(r.PostForm)
	}
	if d.Fault != "" {
		return c.showDraft(r, http.StatusUnprocessableEntity, d)
	}
	event.By(c.inNameOf(r.user))(&d.event)
	if len(d.Members) == 0 { // for holds alone
		if _, err := c.bus.Publish(r.Context(), d.event); err != nil {
			return err
		}
		return c.redirect(r, "/?done=holds")
	}
	c.perform(r.Context(), d.event, d.wait)
	return c.redirect(r, "/events/"+d.event.ID.Hex())
}

// confirmed says what is missing from a confirmation; nothing, if it is one.
func (d *draft) confirmed(form url.Values) string {
	n := len(d.Members)
	was, err := strconv.Atoi(form.Get("matched"))
	switch {
	case n == 0 && !d.Holds:
		return "nobody matches, so nothing was published"
	case err != nil:
		return "" + fmt.Sprintf("look who would be reached, and confirm: %s", output.Plural(n, "server"))
	case was != n:
		return fmt.Sprintf("%d would have been reached when you looked, now it is %d: nothing was published yet, look again", was, n)
	case d.Ask && strings.TrimSpace(form.Get("count")) != strconv.Itoa(n):
		return fmt.Sprintf("type the number of servers, %d, to confirm: nothing was published yet", n)
	}
	return ""
}

// inNameOf is the user in whose name an act is published; empty for the process's own.
func (c *Console) inNameOf(u User) string {
	if c.cfg.Users == nil && c.cfg.Authenticate == nil {
		return ""
	}
	return u.Name
}

// publisher is the user as who does what no event carries.
func (c *Console) publisher(u User) event.Publisher {
	p := event.ThisProcess()
	p.App = appName
	if user := c.inNameOf(u); user != "" {
		p.User, p.SudoUser = user, ""
	}
	return p
}
