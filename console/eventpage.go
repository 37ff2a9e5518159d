package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/stacks"
	"github.com/fleetcast/fleetcast/server"
)

// outcome is one event with all that is known of how it went.
type outcome struct {
	Base       string
	ID         string
	Subscriber string
	Action     string
	At         time.Time
	Who        string
	Whom       string
	Parameters string
	Expires    time.Time

	Own      bool // this console has published it and waits for the answers
	Running  bool
	Left     time.Duration // until the wait is over
	Counts   []count
	Summary  string // once it is over
	Verdict  string // done, failed or incomplete, once it is over
	Fault    string
	Note     string
	Kept     bool // the database may have more than is shown
	Answers  []answer
	Outputs  []printed
	Dumps    []dumpBlock
	Dumpable bool
	Others   []string // ids of other dumps to compare with

	whole   bool // all answers are shown
	settled bool // nothing more is expected
}

// count is one of the figures of an outcome.
type count struct {
	Word  string
	N     int
	Class string
}

// answer is how it went on one server.
type answer struct {
	ServerID   string
	Server     string
	Kind       string // waiting, acknowledged, done, failed, refused, missing, gone or deaf
	Took       string
	DurationMS float64
	Says       string
	More       string // what does not fit into a line
}

type printed struct{ Server, Text string }

// dumpBlock is a dump, or several that are alike.
type dumpBlock struct {
	Title  string
	Busy   bool
	Groups []dumpGroup
	Text   string // what is not Go's
	Note   string
	Places string
}

type dumpGroup struct {
	Head string
	Body string
	Open bool
}

// answersShown is how many answers a page shows.
const answersShown = 300

func (c *Console) eventPage(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	o, err := c.outcome(r.Context(), id)
	if err != nil {
		return err
	}
	if o.whole = r.URL.Query().Get("all") != ""; o.whole && !o.Own {
		e, replies, err := c.answersOf(r.Context(), id)
		if err != nil {
			return err
		}
		o.take(e, replies)
	}
	p := c.page(r, o.Subscriber+" "+o.Action, "events", o)
	p.Live, p.Moving = "/live/events/"+id.Hex(), o.Running
	if o.whole || (!o.Running && o.settled) {
		p.Live = ""
	}
	return c.show(r, "event", p)
}

func (c *Console) eventStream(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.stream(r, "html", func() (any, bool, error) {
		o, err := c.outcome(r.Context(), id)
		if err != nil {
			return nil, true, err
		}
		html, err := c.render("event", "live", c.page(r, "", "", o))
		return fragment{string(html)}, o.Own && !o.Running, err
	})
}

// outcome puts together what is known of an event: by the one who has published it if
// that is this console, else by what the feed has seen and the audit has recorded.
func (c *Console) outcome(ctx context.Context, id bson.ObjectID) (*outcome, error) {
	if a := c.acts.find(id); a != nil {
		o := c.ofAct(a)
		if seen, ok := c.feed.find(id); ok {
			o.At, o.Who = output.TimeOf(seen.event.Time), output.Who(seen.event.Publisher)
		}
		o.compareWith(c)
		return o, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	record, err := c.registry.Recorded(ctx, id)
	recorded := err == nil
	if err != nil && !errors.Is(err, server.ErrNotRecorded) {
		return nil, err
	}
	seen, ok := c.feed.find(id)
	if !ok && !recorded {
		return nil, &pageError{http.StatusNotFound, "this event is not among the last " + fmt.Sprint(feedEvents) +
			", nor in the audit: it is long ago, or in another database"}
	}
	o := c.ofView(seen, ok)
	if recorded {
		o.ofRecord(record)
	}
	o.settled = recorded && record.State() != server.AuditWaiting
	o.compareWith(c)
	return o, nil
}

func (c *Console) ofAct(a *act) *outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.event
	o := &outcome{
		Base: c.cfg.Base, ID: e.ID.Hex(), Subscriber: e.Name, Action: e.Action, At: a.begun, Whom: describe(e.Target),
		Own: true, Running: !a.over, Left: time.Until(a.begun.Add(a.wait)).Round(time.Second), Parameters: parametersText(e.Redacted()),
		settled: a.over,
	}
	if len(e.Target.ServerIDs) > 0 {
		o.Whom = names(a.expected)
	}
	if a.err != nil {
		o.Fault = a.err.Error()
		if errors.Is(a.err, context.Canceled) {
			o.Fault = "the console has stopped meanwhile; the servers go on with it"
		}
	}
	outcomes := a.sum.Servers
	if !a.over {
		outcomes = a.soFar()
	}
	for _, one := range outcomes {
		o.Answers = append(o.Answers, answerOf(one, a.over))
	}
	for _, r := range a.outputs {
		o.Outputs = append(o.Outputs, printed{r.Server, output.Says(r)})
	}
	var dumps []output.Dumped
	for _, r := range a.finals {
		dumps = append(dumps, output.DumpsOf(e, r)...)
	}
	o.Dumps, o.Dumpable = blocksOf(dumps), len(dumps) > 0
	o.count(len(a.expected))
	if a.over && a.err == nil {
		o.conclude(output.SummaryLine(e, a.sum), a.sum.Failed+a.sum.Refused > 0, a.sum.Complete())
	}
	return o
}

// soFar is what is known while the call runs. The caller holds mu.
func (a *act) soFar() (all []event.Outcome) {
	finals := map[bson.ObjectID]*event.Reply{}
	for i, r := range a.finals {
		finals[r.ServerID] = &a.finals[i]
	}
	for _, m := range a.expected {
		_, gone := a.gone[m.ServerID]
		one := event.Outcome{
			ServerID: m.ServerID, Server: m.Name, Acked: a.acked[m.ServerID], Expected: true, Deaf: m.Deaf,
			Gone: gone, Reply: finals[m.ServerID],
		}
		delete(finals, m.ServerID)
		all = append(all, one)
	}
	for _, r := range a.finals {
		if finals[r.ServerID] != nil {
			all = append(all, event.Outcome{ServerID: r.ServerID, Server: r.Server, Acked: true, Reply: finals[r.ServerID]})
		}
	}
	return all
}

func answerOf(one event.Outcome, over bool) answer {
	a := answer{ServerID: one.ServerID.Hex(), Server: one.Server}
	switch {
	case one.Reply != nil:
		a.DurationMS = one.Reply.DurationMS
		a.Kind, a.Took = string(one.Reply.Kind), output.Short(time.Duration(one.Reply.DurationMS*float64(time.Millisecond)))
		a.Says, a.More = twoParts(*one.Reply)
		if one.Lost > 0 {
			a.Says = strings.TrimSpace(fmt.Sprintf("%s (%s before this one could not be read)", a.Says, output.Plural(one.Lost, "reply")))
		}
	case over:
		a.Kind, a.Says = "missing", output.WhyMissing(one)
	case one.Gone:
		a.Kind, a.Says = "gone", output.WhyMissing(one)
	case one.Acked:
		a.Kind, a.Says = "acknowledged", "has heard the event and is at it"
	case one.Deaf:
		a.Kind, a.Says = "deaf", output.WhyMissing(one)
	default:
		a.Kind, a.Says = "waiting", "has not heard the event yet"
	}
	return a
}

// twoParts is what an answer says: in a line, and all of it if that is more.
func twoParts(r event.Reply) (line, all string) {
	text := output.Says(r)
	if r.Kind == event.Done && len(r.Payload.Value) > 2048 && strings.HasPrefix(text, "{") {
		return "", "" // a dump, which is shown by itself
	}
	line, _, more := strings.Cut(text, "\n")
	if line = output.Clip(line, 160); more || len(text) > len(line) {
		return line, text
	}
	return line, ""
}

// ofView is what the feed knows of an event.
func (c *Console) ofView(v view, ok bool) *outcome {
	o := &outcome{Base: c.cfg.Base}
	if !ok {
		return o
	}
	e := v.event
	o.ID, o.Subscriber, o.Action, o.At = e.ID.Hex(), e.Name, e.Action, output.TimeOf(e.Time)
	o.Who, o.Whom, o.Expires, o.Parameters = output.Who(e.Publisher), describe(e.Target), e.ExpiresAt, parametersText(v.shown)
	var dumps []output.Dumped
	for _, r := range v.last {
		o.Answers = append(o.Answers, answerOf(event.Outcome{ServerID: r.ServerID, Server: r.Server, Acked: true, Reply: finalOf(r)}, false))
		dumps = append(dumps, output.DumpsOf(e, r)...)
	}
	o.Dumps, o.Dumpable = blocksOf(dumps), len(dumps) > 0
	if v.large {
		o.Note, o.Kept = "Some results are too large to be kept here.", true
	}
	if !e.Reply {
		o.Note = "Nobody has asked for answers to this event."
	}
	o.count(0)
	return o
}

// take puts whole answers in the place of those that are shown.
func (o *outcome) take(e event.Event, replies []event.Reply) {
	var dumps []output.Dumped
	for _, r := range replies {
		one := answerOf(event.Outcome{ServerID: r.ServerID, Server: r.Server, Acked: true, Reply: finalOf(r)}, false)
		if i := slices.IndexFunc(o.Answers, func(a answer) bool { return a.ServerID == one.ServerID }); i >= 0 {
			o.Answers[i] = one
		} else {
			o.Answers = append(o.Answers, one)
		}
		dumps = append(dumps, output.DumpsOf(e, r)...)
	}
	o.Dumps, o.Dumpable = blocksOf(dumps), len(dumps) > 0
	o.Note, o.Kept = "", false
}

func finalOf(r event.Reply) *event.Reply {
	if r.Kind.Final() {
		return &r
	}
	return nil
}

// ofRecord adds what the audit has recorded, for servers whose answers were not seen.
func (o *outcome) ofRecord(e server.AuditEntry) {
	o.ID, o.Subscriber, o.Action = e.ID.Hex(), e.Subscriber, e.Action
	o.Who, o.Whom = output.Who(e.Publisher), output.ToWhom(e)
	if o.At.IsZero() {
		o.At = e.At
	}
	if o.Parameters == "" {
		o.Parameters = parametersText(e.Parameters)
	}
	expected := 0
	for _, s := range e.Servers {
		if !s.Extra {
			expected++
		}
		if slices.ContainsFunc(o.Answers, func(a answer) bool { return a.ServerID == s.ServerID.Hex() }) {
			continue
		}
		a := answer{ServerID: s.ServerID.Hex(), Server: s.Server, Kind: cmp.Or(s.Kind, "unknown"), Says: output.OutcomeNote(s)}
		if a.DurationMS = s.DurationMS; s.DurationMS > 0 {
			a.Took = output.Short(time.Duration(s.DurationMS * float64(time.Millisecond)))
		}
		if e.State() == server.AuditWaiting && s.Kind == "" {
			a.Kind, a.Says = "waiting", "no answer yet"
		}
		o.Answers = append(o.Answers, a)
	}
	o.count(expected)
	o.Running = e.State() == server.AuditWaiting
	if !o.Running {
		o.conclude(output.How(e), e.Count("failed")+e.Count("refused") > 0 || e.State() == server.AuditPublishFailed || e.State() == server.AuditFailed,
			e.State() == server.AuditComplete || e.State() == server.AuditNotWaited)
	}
}

// conclude says how it went in the end.
func (o *outcome) conclude(summary string, failed, complete bool) {
	o.Summary, o.Verdict = summary, "done"
	switch {
	case failed:
		o.Verdict = "failed"
	case !complete:
		o.Verdict = "incomplete"
	}
}

// count counts the answers, and puts those first that went wrong.
func (o *outcome) count(matched int) {
	n := map[string]int{}
	for _, a := range o.Answers {
		n[a.Kind]++
	}
	o.Counts = nil
	if matched > 0 {
		o.Counts = append(o.Counts, count{"matched", matched, ""})
	}
	for _, c := range []count{
		{"done", n["done"], "good"}, {"failed", n["failed"], "bad"}, {"refused", n["refused"], "bad"}, {"missing", n["missing"], "bad"},
		{"gone", n["gone"], "bad"}, {"deaf", n["deaf"], "bad"}, {"at it", n["acknowledged"], ""}, {"not heard", n["waiting"], ""}, {"unknown", n["unknown"], "warn"},
	} {
		if c.N > 0 || c.Word == "done" {
			o.Counts = append(o.Counts, c)
		}
	}
	order := []string{"failed", "refused", "missing", "gone", "deaf", "unknown", "waiting", "acknowledged", "done"}
	slices.SortStableFunc(o.Answers, func(a, b answer) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Server, b.Server))
	})
}

// Shown are the answers that the page has.
func (o *outcome) Shown() []answer {
	if o.whole {
		return o.Answers
	}
	return o.Answers[:min(len(o.Answers), answersShown)]
}

// Hidden is how many answers it has not.
func (o *outcome) Hidden() int { return len(o.Answers) - len(o.Shown()) }

// compareWith lists the dumps that it may be compared with.
func (o *outcome) compareWith(c *Console) {
	if !o.Dumpable {
		return
	}
	for _, a := range c.acts.all() {
		if a.event.Action == "thread_dump" && a.event.ID.Hex() != o.ID && a.isOver() {
			o.Others = append(o.Others, a.event.ID.Hex())
		}
	}
}

func names(members []event.Member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name)
	}
	return output.Clip(strings.Join(all, ", "), 200)
}

func parametersText(doc bson.Raw) string {
	if text := string(output.JSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})); text != "null" && text != "{}" {
		return text
	}
	return ""
}

// blocksOf are dumps as they are shown: alike ones together, busy workers first.
func blocksOf(dumps []output.Dumped) (all []dumpBlock) {
	for _, block := range output.Blocks(dumps, false) {
		d := block[0]
		b := dumpBlock{
			Title: output.Title(block), Busy: !d.Worker.BusySince.IsZero(), Text: strings.TrimSpace(d.Rest),
			Note: output.CutNote(d.Worker.Cut), Places: d.Places,
		}
		for i, g := range stacks.Grouped(output.GoroutinesOf(block)) {
			head, body, _ := strings.Cut(g.String(), "\n")
			b.Groups = append(b.Groups, dumpGroup{head, body, b.Busy && i == 0})
		}
		all = append(all, b)
	}
	return all
}
