package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

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
