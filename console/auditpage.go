package console

import (
	"context"
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
)

// auditView is the page of the audit.
type auditView struct {
	Filter server.AuditFilter
	Since  string
	Lines  []auditLine
	More   string // the address of a longer list, if there is more
}

type auditLine struct {
	ID    string
	At    time.Time
	Who   string
	What  string
	Whom  string
	How   string
	State server.AuditState
	Bad   bool
}

const (
	auditSince = 24 * time.Hour
	auditShown = 100
	auditMost  = 10_000
)

// auditFilterOf reads the filter of the audit.
func auditFilterOf(form url.Values) (f server.AuditFilter, err error) {
	f = server.AuditFilter{
		Since: auditSince, Subscriber: strings.TrimSpace(form.Get("subscriber")), Action: strings.TrimSpace(form.Get("action")),
		User: strings.TrimSpace(form.Get("user")), Server: strings.TrimSpace(form.Get("server")), Limit: auditShown,
	}
	if f.Failed, err = flagOf(form, "failed"); err != nil {
		return f, err
	}
	if text := strings.TrimSpace(form.Get("since")); text != "" {
		if f.Since, err = time.ParseDuration(text); err != nil || f.Since < 0 {
			return f, &pageError{http.StatusUnprocessableEntity, "since " + strconv.Quote(text) + ": a duration such as 24h, or 0 for all"}
		}
	}
	if text := form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > auditMost {
			return f, &pageError{http.StatusUnprocessableEntity, "limit " + strconv.Quote(text) + ": a number from 1 to " + strconv.Itoa(auditMost)}
		}
		f.Limit = n
	}
	if f.Server != "" {
		if err := (event.Target{Names: []string{f.Server}}).Validate(); err != nil {
			return f, &pageError{http.StatusUnprocessableEntity, "server: " + err.Error()}
		}
	}
	return f, nil
}

func (c *Console) auditPage(r *request) error {
	form := r.URL.Query()
	f, err := auditFilterOf(form)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	entries, more, err := c.registry.Trail(ctx, f)
	if err != nil {
		return err
	}
	v := auditView{Filter: f, Since: strings.TrimSuffix(strings.TrimSuffix(output.Short(f.Since), "0s"), "0m")}
	if f.Since%time.Minute != 0 || f.Since == 0 {
		v.Since = f.Since.String()
	}
	for _, e := range slices.Backward(entries) {
		v.Lines = append(v.Lines, auditLine{
			ID: e.ID.Hex(), At: e.At, Who: output.Who(e.Publisher), What: output.Clip(output.What(e), 120),
			Whom: output.Clip(output.ToWhom(e), 80), How: output.Clip(output.How(e), 160), State: e.State(), Bad: e.Failed(),
		})
	}
	if more && f.Limit < auditMost {
		form.Set("limit", strconv.Itoa(min(10*f.Limit, auditMost)))
		v.More = c.cfg.Base + "/audit?" + form.Encode()
	}
	return c.show(r, "audit", c.page(r, "Audit", "audit", v))
}

// purgeLost removes the lost servers from the registry, on record.
func (c *Console) purgeLost(r *request) (purged []server.Entry, err error) {
	err = c.purgeOnRecord(r, bson.D{}, event.Target{}, func(ctx context.Context) (err error) {
		purged, err = c.registry.Purge(ctx)
		return err
	})
	return purged, err
}

// purgeOne removes a lost server from the registry, on record.
func (c *Console) purgeOne(r *request, id bson.ObjectID) (e server.Entry, err error) {
	entries, err := c.registry.List(r.Context())
	if err != nil {
		return e, err
	}
	i := slices.IndexFunc(entries, func(e server.Entry) bool { return e.ID == id })
	if i < 0 {
		return e, errNoServer
	}
	e = entries[i]
	alive := &pageError{http.StatusConflict, e.Name + " is not lost, so it stays: stop it, then it leaves by itself"}
	if !e.Lost() {
		return e, alive
	}
	return e, c.purgeOnRecord(r, bson.D{{Key: "server", Value: e.Name}}, event.Target{ServerIDs: []bson.ObjectID{id}}, func(ctx context.Context) error {
		gone, err := c.registry.PurgeOne(ctx, e)
		if err == nil && !gone {
			return alive
		}
		return err
	})
}

func (c *Console) purgeOnRecord(r *request, parameters bson.D, whom event.Target, do func(context.Context) error) error {
	defer c.fleet.forget()
	return c.registry.Perform(r.Context(), server.Deed{
		Subscriber: "servers", Action: "purge", Parameters: parameters, Target: whom, Publisher: c.publisher(r.user),
	}, do)
}

func (c *Console) purge(r *request) error {
	purged, err := c.purgeLost(r)
	if err != nil {
		return err
	}
	return c.redirect(r, "/?purged="+strconv.Itoa(len(purged)))
}
