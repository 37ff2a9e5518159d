package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
)

// underOf reads the path that a query is for, with what is below it.
func underOf(q url.Values) (string, error) {
	under := strings.TrimSuffix(q.Get("path"), "/")
	if under == "" {
		return "", nil
	}
	if err := config.CheckPath(under); err != nil {
		return "", &pageError{http.StatusUnprocessableEntity, err.Error()}
	}
	return under, nil
}

func (c *Console) apiSettings(r *request) error {
	under, err := underOf(r.URL.Query())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	list, err := c.editor(ctx, r.user).List(ctx, config.Filter{Under: under})
	if err != nil {
		return err
	}
	out := []output.Setting{}
	for _, s := range list {
		out = append(out, output.ToSetting(s))
	}
	return r.answer(http.StatusOK, out)
}

func (c *Console) apiDeclarations(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	list, err := c.editor(ctx, r.user).Declarations(ctx)
	if err != nil {
		return err
	}
	out := []output.Declaration{}
	for _, d := range list {
		out = append(out, output.ToDeclaration(d.Declaration, d.Servers))
	}
	return r.answer(http.StatusOK, out)
}

func (c *Console) apiHistory(r *request) error {
	q := r.URL.Query()
	under, err := underOf(q)
	if err != nil {
		return err
	}
	limit, err := limitOf(q, historyShown, auditMost)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	records, err := c.editor(ctx, r.user).History(ctx, config.Filter{Under: under}, limit)
	if err != nil {
		return err
	}
	out := []output.Record{}
	for _, one := range records {
		out = append(out, output.ToRecord(one))
	}
	return r.answer(http.StatusOK, out)
}

// apiSetRequest asks for a setting to be set.
type apiSetRequest struct {
	Path       string          `json:"path"`
	Scope      string          `json:"scope"` // default global
	Value      json.RawMessage `json:"value"`
	IfVersion  *int64          `json:"if_version"` // only if it has this version, 0: only if it was never set
	Secret     bool            `json:"secret"`
	Undeclared bool            `json:"undeclared"`
	Refresh    bool            `json:"refresh"` // then let the servers refresh that it is for
}

// apiChanged is what has become of a change.
type apiChanged struct {
	Changed      bool           `json:"changed"` // false: it was so already
	Old          any            `json:"old"`     // null: it was not set
	Setting      output.Setting `json:"setting"` // its value is null once it is unset
	RefreshEvent string         `json:"refresh_event,omitempty"`
}

func (c *Console) apiSet(r *request) error {
	var in apiSetRequest
	if err := r.body(&in); err != nil {
		return err
	}
	scope, err := c.placeOf(in.Path, in.Scope)
	if err != nil {
		return err
	}
	value, err := jsonValue(string(in.Value))
	if err != nil || value == nil {
		return &pageError{http.StatusUnprocessableEntity, "the request has no value; DELETE unsets a setting"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	e := c.editor(ctx, r.user)
	rules, err := e.Rules(ctx)
	if err != nil {
		return err
	}
	changed, err := e.Change(ctx, rules, config.Write{
		Path: in.Path, Scope: scope, Value: value, IfVersion: in.IfVersion, Secret: in.Secret, Undeclared: in.Undeclared || rules.Free(in.Path),
	})
	if err != nil {
		return err
	}
	return c.answerChanged(r, changed, in.Refresh, settings.Concerned(scope))
}

func (c *Console) apiUnset(r *request) error {
	q := r.URL.Query()
	scope, err := c.placeOf(q.Get("path"), q.Get("scope"))
	if err != nil {
		return err
	}
	var version *int64
	if text := q.Get("if_version"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return &pageError{http.StatusUnprocessableEntity, "if_version " + strconv.Quote(text) + ": 0 or more"}
		}
		version = &n
	}
	refresh, err := flagOf(q, "refresh")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	changed, err := c.editor(ctx, r.user).Remove(ctx, q.Get("path"), scope, version)
	if err != nil {
		return err
	}
	return c.answerChanged(r, changed, refresh, settings.Concerned(scope))
}

// placeOf checks where a setting is.
func (c *Console) placeOf(path, text string) (config.Scope, error) {
	if path == "" {
		return "", &pageError{http.StatusUnprocessableEntity, "the request names no path of a setting"}
	}
	if err := config.CheckPath(path); err != nil {
		return "", &pageError{http.StatusUnprocessableEntity, err.Error()}
	}
	return scopeOf(url.Values{"scope": {text}})
}

func (c *Console) answerChanged(r *request, changed settings.Changed, refresh bool, whom event.Target) error {
	out := apiChanged{Changed: changed.Done, Old: changed.Old, Setting: output.ToSetting(changed.Setting)}
	if refresh && changed.Done {
		var err error
		if out.RefreshEvent, err = c.refreshServers(r, whom); err != nil {
			return err
		}
	}
	return r.answer(http.StatusOK, out)
}
