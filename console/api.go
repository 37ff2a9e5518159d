package console

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// openAPI describes the API.
//
//go:embed openapi.yaml
var openAPI []byte

// apiBase is where the API is.
const apiBase = "/api/v1"

// apiRoute is an operation of the API.
type apiRoute struct {
	method, path string // below apiBase
	permission   permission
	do           handler
}

func (c *Console) apiTable() []apiRoute {
	return []apiRoute{
		{"GET", "/openapi.yaml", mayRead, c.apiDocument},
		{"GET", "/servers", mayRead, c.apiServers},
		{"GET", "/servers/{id}", mayRead, c.apiServer},
		{"POST", "/purge", mayPurge, c.apiPurge},
		{"GET", "/actions", mayRead, c.apiActions},
		{"GET", "/events", mayRead, c.apiEvents},
		{"POST", "/events", mayAsk, c.apiPublish},
		{"GET", "/events/{id}", mayRead, c.apiEvent},
		{"GET", "/events/{id}/replies", mayRead, c.apiReplies},
		{"GET", "/audit", mayRead, c.apiAudit},
		{"GET", "/settings", mayRead, c.apiSettings},
		{"PUT", "/settings", mayConfigure, c.apiSet},
		{"DELETE", "/settings", mayConfigure, c.apiUnset},
		{"GET", "/settings/declarations", mayRead, c.apiDeclarations},
		{"GET", "/settings/history", mayRead, c.apiHistory},
	}
}

func (c *Console) apiRoutes(mux *http.ServeMux) {
	allowed := map[string][]string{}
	for _, r := range c.apiTable() {
		mux.Handle(r.method+" "+apiBase+r.path, c.guarded(r.permission, r.do, c.apiError))
		allowed[r.path] = append(allowed[r.path], r.method)
	}
	for path, methods := range allowed {
		mux.Handle(apiBase+path, c.guarded(mayRead, func(r *request) error {
			r.w.Header().Set("Allow", strings.Join(methods, ", "))
			return &pageError{http.StatusMethodNotAllowed, r.Method + " is not for this: " + strings.Join(methods, ", ")}
		}, c.apiError))
	}
	mux.Handle("/api/", c.guarded(mayRead, func(r *request) error {
		return &pageError{http.StatusNotFound, "there is nothing at " + r.URL.Path + "; " + apiBase + "/openapi.yaml says what there is"}
	}, c.apiError))
}

// apiFault is an error in JSON.
type apiFault struct {
	Error  string `json:"error"`
	Status int    `json:"status"`
}

func (c *Console) apiError(r *request, err error) {
	status := statusOf(err)
	if status == http.StatusUnauthorized && c.cfg.Users != nil {
		r.w.Header().Set("WWW-Authenticate", `Basic realm="fleetcast"`)
	}
	_ = r.answer(status, apiFault{err.Error(), status})
}

// answer writes JSON.
func (r *request) answer(status int, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "application/json")
	r.w.WriteHeader(status)
	_, _ = r.w.Write(append(text, '\n')) // the client may be gone
	return nil
}

// body reads a request's JSON, in which nothing may be that is not known.
func (r *request) body(into any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return &pageError{http.StatusBadRequest, fmt.Sprintf("the request cannot be read: %v", err)}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &pageError{http.StatusBadRequest, fmt.Sprintf("the request is not as it should be: %v", err)}
	}
	if d.More() {
		return &pageError{http.StatusBadRequest, "the request is more than one JSON value"}
	}
	return nil
}

// only refuses parameters of a query that are not known, which are mistyped.
func only(q url.Values, known ...string) error {
	for name := range q {
		if !slices.Contains(known, name) {
			return &pageError{http.StatusBadRequest, fmt.Sprintf("there is no parameter %q; there are %s", name, strings.Join(known, ", "))}
		}
	}
	return nil
}

// limitOf reads a limit.
func limitOf(q url.Values, without, most int) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, &pageError{http.StatusUnprocessableEntity, fmt.Sprintf("limit %q: a number from 1 to %d", text, most)}
	}
	return n, nil
}

func (c *Console) apiDocument(r *request) error {
	r.w.Header().Set("Content-Type", "application/yaml")
	_, _ = r.w.Write(openAPI)
	return nil
}

// apiFleet is the registry.
type apiFleet struct {
	Now     time.Time       `json:"now"`
	Total   int             `json:"total"`
	Counts  map[string]int  `json:"counts"`
	Servers []output.Server `json:"servers"`
}

func (c *Console) apiServers(r *request) error {
	q := r.URL.Query()
	if err := only(q, "q", "label", "state"); err != nil {
		return err
	}
	f, err := parseFilter(q)
	if err != nil {
		return err
	}
	s := c.fleet.now(r.Context())
	if s.Err != nil { // an old answer would pass for a new one
		return s.Err
	}
	out := apiFleet{Now: s.Now.UTC(), Counts: map[string]int{}, Servers: []output.Server{}}
	for _, row := range s.Rows {
		if f.text(row) {
			out.Total++
			out.Counts[row.Server.State]++
			if f.state(row) {
				out.Servers = append(out.Servers, row.Server)
			}
		}
	}
	return r.answer(http.StatusOK, out)
}

func (c *Console) apiServer(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	s := c.fleet.now(r.Context())
	switch one := s.byID[id]; {
	case s.Err != nil:
		return s.Err
	case one == nil:
		return &pageError{http.StatusNotFound, "no server with this id is in the registry: it has left, or was purged"}
	default:
		return r.answer(http.StatusOK, one.Server)
	}
}

func (c *Console) apiPurge(r *request) error {
	purged, err := c.purgeLost(r)
	if err != nil {
		return err
	}
	out := struct {
		Purged []output.Member `json:"purged"`
	}{[]output.Member{}}
	for _, e := range purged {
		out.Purged = append(out.Purged, output.Member{ID: e.ID.Hex(), Name: e.Name, Host: e.Host, PID: e.PID})
	}
	return r.answer(http.StatusOK, out)
}

// apiAction is an action that living servers have.
type apiAction struct {
	event.ActionInfo
	Servers int `json:"servers"` // how many
}

func (c *Console) apiActions(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	entries, err := c.registry.ListTables(ctx)
	if err != nil {
		return err
	}
	out := []apiAction{}
	for _, k := range actionsOf(entries) {
		if k.Parameters == nil {
			k.Parameters = []event.ParameterInfo{}
		}
		out = append(out, apiAction(k))
	}
	return r.answer(http.StatusOK, out)
}

// apiStream are the events of late.
type apiStream struct {
	Gap    string         `json:"gap"` // why some are missing; empty for no reason
	Events []output.Event `json:"events"`
}

func (c *Console) apiEvents(r *request) error {
	q := r.URL.Query()
	if err := only(q, "q", "subscriber", "action", "who", "limit"); err != nil {
		return err
	}
	limit, err := limitOf(q, eventsShown, feedEvents)
	if err != nil {
		return err
	}
	list, gap, err := c.feed.newest(limit, eventFilterOf(q).wants)
	if err != nil {
		return err
	}
	out := apiStream{Gap: gap, Events: []output.Event{}}
	for _, v := range list {
		e := v.event
		one := output.Event{
			Type: "event", ID: e.ID.Hex(), At: output.TimeOf(e.Time), Subscriber: e.Name, Action: e.Action,
			Parameters: output.JSON(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: v.shown}),
			Target:     output.ToTarget(e.Target), Publisher: e.Publisher, Reply: e.Reply,
		}
		if !e.ExpiresAt.IsZero() {
			at := e.ExpiresAt.UTC()
			one.ExpiresAt = &at
		}
		out.Events = append(out.Events, one)
	}
	return r.answer(http.StatusOK, out)
}

// apiOutcome is what is known of how an event went.
type apiOutcome struct {
	EventID    string         `json:"event_id"`
	Subscriber string         `json:"subscriber"`
	Action     string         `json:"action"`
	At         time.Time      `json:"at"`
	Publisher  string         `json:"publisher"` // in words
	Target     string         `json:"target"`    // in words
	State      string         `json:"state"`     // running, complete, failed, incomplete, or unknown
	Summary    string         `json:"summary"`   // in words, once it is over
	Error      string         `json:"error"`     // why it could not be published, or answers not be read
	Counts     map[string]int `json:"counts"`
	Servers    []apiAnswer    `json:"servers"`
}

type apiAnswer struct {
	ServerID   string  `json:"server_id"`
	Server     string  `json:"server"`
	Kind       string  `json:"kind"` // waiting, acknowledged, done, failed, refused, missing, gone, deaf or unknown
	DurationMS float64 `json:"duration_ms"`
	Says       string  `json:"says"` // in a line
}

func (c *Console) apiEvent(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	o, err := c.outcome(r.Context(), id)
	if err != nil {
		return err
	}
	out := apiOutcome{
		EventID: o.ID, Subscriber: o.Subscriber, Action: o.Action, At: o.At.UTC(), Publisher: o.Who, Target: o.Whom,
		State: "unknown", Summary: o.Summary, Error: o.Fault, Counts: map[string]int{}, Servers: []apiAnswer{},
	}
	switch {
	case o.Running:
		out.State = "running"
	case o.Verdict == "done":
		out.State = "complete"
	case o.Verdict != "":
		out.State = o.Verdict
	}
	for _, n := range o.Counts {
		out.Counts[strings.ReplaceAll(n.Word, " ", "_")] = n.N
	}
	for _, a := range o.Answers {
		out.Servers = append(out.Servers, apiAnswer{a.ServerID, a.Server, a.Kind, a.DurationMS, a.Says})
	}
	return r.answer(http.StatusOK, out)
}

func (c *Console) apiReplies(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	_, replies, err := c.answersOf(r.Context(), id)
	if err != nil {
		return err
	}
	out := []output.Reply{}
	for _, one := range replies {
		out = append(out, output.ToReply(one))
	}
	return r.answer(http.StatusOK, out)
}

// apiTrail is the audit.
type apiTrail struct {
	More    bool           `json:"more"` // there are older ones
	Entries []output.Audit `json:"entries"`
}

func (c *Console) apiAudit(r *request) error {
	q := r.URL.Query()
	if err := only(q, "since", "subscriber", "action", "user", "server", "failed", "limit"); err != nil {
		return err
	}
	f, err := auditFilterOf(q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	entries, more, err := c.registry.Trail(ctx, f)
	if err != nil {
		return err
	}
	out := apiTrail{More: more, Entries: []output.Audit{}}
	for _, e := range slices.Backward(entries) {
		out.Entries = append(out.Entries, output.ToAudit(e))
	}
	return r.answer(http.StatusOK, out)
}

// apiEventRequest asks for an event to be published.
type apiEventRequest struct {
	Subscriber string          `json:"subscriber"`
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"` // extended JSON
	Target     output.Target   `json:"target"`
	Wait       string          `json:"wait"`    // how long for the answers; without it the answer comes at once
	DryRun     bool            `json:"dry_run"` // say who would be reached, and publish nothing
	Matched    *int            `json:"matched"` // only if so many would be reached; kill of more than one wants it
}

// draftOf is the request as a form would have it.
func (c *Console) draftOf(ctx context.Context, in apiEventRequest) (*draft, error) {
	if in.Subscriber == "" || in.Action == "" {
		return nil, &pageError{http.StatusUnprocessableEntity, "the request names no subscriber and action: /actions lists them"}
	}
	ids := make([]string, 0, len(in.Target.ServerIDs))
	form := url.Values{
		"subscriber": {in.Subscriber}, "action": {in.Action}, "mode": {"json"}, "json": {string(in.Parameters)}, "wait": {in.Wait},
		"id": append(ids, in.Target.ServerIDs...),
	}
	if string(in.Parameters) == "null" {
		form.Del("json")
	}
	d, err := c.draft(ctx, form)
	if err != nil {
		return nil, err
	}
	t := event.Target{
		ServerIDs: d.Target.ServerIDs, Names: in.Target.Servers, Hosts: in.Target.Hosts, PIDs: in.Target.PIDs,
		WorkerIDs: in.Target.WorkerIDs, Labels: in.Target.Labels,
	}
	if err := t.Validate(); err != nil && d.Fault == "" {
		d.Fault = "target: " + err.Error()
	}
	d.Target, d.event.Target = t, t
	d.ByJSON = !described(d.Info, d.event.Parameters)
	return d, nil
}

// described reports whether all parameters are in an action's table.
func described(info event.ActionInfo, parameters bson.Raw) bool {
	elements, err := parameters.Elements()
	return err == nil && !slices.ContainsFunc(elements, func(e bson.RawElement) bool {
		return !slices.ContainsFunc(info.Parameters, func(p event.ParameterInfo) bool { return p.Name == e.Key() })
	})
}

func (c *Console) apiPublish(r *request) error {
	var in apiEventRequest
	if err := r.body(&in); err != nil {
		return err
	}
	d, err := c.draftOf(r.Context(), in)
	if err != nil {
		return err
	}
	if !in.DryRun {
		if err := c.check(r.user, c.needs(d)); err != nil {
			return err
		}
	}
	c.dryRun(r.Context(), d)
	n := len(d.Members)
	switch {
	case d.Fault != "":
		return &pageError{http.StatusUnprocessableEntity, d.Fault}
	case in.DryRun:
		return r.answer(http.StatusOK, matchOf(d))
	case in.Matched != nil && *in.Matched != n:
		return &pageError{http.StatusConflict, fmt.Sprintf("%d would have been reached, now it is %d: nothing was published", *in.Matched, n)}
	case d.Ask && in.Matched == nil:
		return &pageError{http.StatusUnprocessableEntity, fmt.Sprintf("this is for %s: look at a dry run, and say matched: %d", output.Plural(n, "server"), n)}
	case n == 0 && !d.Holds:
		return &pageError{http.StatusUnprocessableEntity, "nobody matches, so nothing was published"}
	}
	event.By(c.inNameOf(r.user))(&d.event)
	if n == 0 {
		if _, err := c.bus.Publish(r.Context(), d.event); err != nil {
			return err
		}
		return r.answer(http.StatusAccepted, publishedOf(d))
	}
	a := c.perform(r.Context(), d.event, d.wait)
	if in.Wait != "" {
		select {
		case <-a.done:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.err != nil:
		return a.err
	case a.over && in.Wait != "":
		return r.answer(http.StatusOK, output.ToCall(d.event, a.sum, a.finals))
	}
	return r.answer(http.StatusAccepted, publishedOf(d))
}

func publishedOf(d *draft) output.Published {
	return output.Published{EventID: d.event.ID.Hex(), Subscriber: d.Subscriber, Action: d.Action, Matched: len(d.Members)}
}

func matchOf(d *draft) output.Match {
	out := output.Match{Subscriber: d.Subscriber, Action: d.Action, DryRun: true, Matched: len(d.Members), Servers: []output.Member{}}
	for _, m := range d.Members {
		out.Servers = append(out.Servers, output.Member{ID: m.ServerID.Hex(), Name: m.Name, Host: m.Host, PID: m.PID, Deaf: m.Deaf})
	}
	return out
}
