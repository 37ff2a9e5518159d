package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

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
	Wait       string          `json:"wait"`    // how long for the answers; without it, or with 0, the answer comes at once
	DryRun     bool            `json:"dry_run"` // say who would be reached, and publish nothing
	Matched    *int            `json:"matched"` // only if so many would be reached; kill of more than one wants it
}

// draftOf is the request as a form would have it.
func (c *Console) draftOf(ctx context.Context, in apiEventRequest) (*draft, error) {
	if in.Subscriber == "" || in.Action == "" {
		return nil, &pageError{http.StatusUnprocessableEntity, "the request names no subscriber and action: /actions lists them"}
	}
	form := url.Values{
		"subscriber": {in.Subscriber}, "action": {in.Action}, "mode": {"json"}, "json": {string(in.Parameters)}, "wait": {in.Wait},
	}
	if string(in.Parameters) == "null" {
		form.Del("json")
	}
	d, err := c.draft(ctx, form)
	if err != nil {
		return nil, err
	}
	t, err := targetIn(in.Target)
	if err == nil && d.Fault == "" {
		err = misfits(d.Info, d.event.Parameters)
	}
	if err != nil && d.Fault == "" {
		d.Fault = err.Error()
	}
	d.Target, d.event.Target = t, t
	d.ByJSON = !described(d.Info, d.event.Parameters)
	return d, nil
}

// targetIn is the target of a request. A kind without values is refused, because it would
// mean more servers than a kind with one: most likely a program has found none.
func targetIn(in output.Target) (t event.Target, err error) {
	var faults []error
	fault := func(kind string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("target.%s: %w", kind, err))
		}
	}
	for kind, empty := range map[string]bool{
		"server_ids": isEmpty(in.ServerIDs), "servers": isEmpty(in.Servers), "hosts": isEmpty(in.Hosts), "pids": isEmpty(in.PIDs),
		"worker_ids": isEmpty(in.WorkerIDs), "labels": in.Labels != nil && len(in.Labels) == 0,
	} {
		if empty {
			fault(kind, errors.New("there is none in it: leave it out for all"))
		}
	}
	for _, text := range in.ServerIDs {
		id, err := parseID(text)
		fault("server_ids", err)
		t.ServerIDs = append(t.ServerIDs, id)
	}
	fault("servers", event.Target{Names: in.Servers}.Validate())
	fault("hosts", event.Target{Hosts: in.Hosts}.Validate())
	fault("labels", event.Target{Labels: in.Labels}.Validate())
	t.Names, t.Hosts, t.PIDs, t.WorkerIDs, t.Labels = in.Servers, in.Hosts, in.PIDs, in.WorkerIDs, in.Labels
	return t, errors.Join(faults...)
}

func isEmpty[T any](list []T) bool { return list != nil && len(list) == 0 }

// described reports whether all parameters are in an action's table, or it says that
// there may be others.
func described(info event.ActionInfo, parameters bson.Raw) bool {
	elements, err := parameters.Elements()
	return info.Free || err == nil && !slices.ContainsFunc(elements, func(e bson.RawElement) bool {
		return !slices.ContainsFunc(info.Parameters, func(p event.ParameterInfo) bool { return p.Name == e.Key() })
	})
}

func (c *Console) apiPublish(r *request) error {
	var in apiEventRequest
	if err := r.body(&in); err != nil {
		return err
	}
	if wait, err := time.ParseDuration(in.Wait); err == nil && wait == 0 {
		in.Wait = ""
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
	if err := a.failed(); err != nil {
		return err
	}
	if call := a.call(); call != nil && in.Wait != "" {
		return r.answer(http.StatusOK, call)
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
