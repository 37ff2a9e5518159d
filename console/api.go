package console

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
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
	query        []string // the parameters that it knows
}

func (c *Console) apiTable() []apiRoute {
	return []apiRoute{
		{"GET", "/openapi.yaml", mayRead, c.apiDocument, nil},
		{"GET", "/servers", mayRead, c.apiServers, []string{"q", "label", "state"}},
		{"GET", "/servers/{id}", mayRead, c.apiServer, nil},
		{"DELETE", "/servers/{id}", mayPurge, c.apiPurgeOne, nil},
		{"POST", "/purge", mayPurge, c.apiPurge, nil},
		{"GET", "/actions", mayRead, c.apiActions, nil},
		{"GET", "/events", mayRead, c.apiEvents, []string{"q", "subscriber", "action", "who", "limit"}},
		{"POST", "/events", mayAsk, c.apiPublish, nil},
		{"GET", "/events/{id}", mayRead, c.apiEvent, nil},
		{"GET", "/events/{id}/replies", mayRead, c.apiReplies, nil},
		{"GET", "/audit", mayRead, c.apiAudit, []string{"since", "subscriber", "action", "user", "server", "failed", "limit"}},
		{"GET", "/settings", mayRead, c.apiSettings, []string{"path"}},
		{"PUT", "/settings", mayConfigure, c.apiSet, nil},
		{"DELETE", "/settings", mayConfigure, c.apiUnset, []string{"path", "scope", "if_version", "refresh"}},
		{"GET", "/settings/declarations", mayRead, c.apiDeclarations, nil},
		{"GET", "/settings/history", mayRead, c.apiHistory, []string{"path", "limit"}},
	}
}

func (c *Console) apiRoutes(mux *http.ServeMux) {
	allowed := map[string][]string{}
	for _, r := range c.apiTable() {
		mux.Handle(r.method+" "+apiBase+r.path, c.guarded(r.permission, r.strictly, c.apiError))
		allowed[r.path] = append(allowed[r.path], r.method)
		if r.method == http.MethodGet {
			allowed[r.path] = append(allowed[r.path], http.MethodHead)
		}
	}
	for path, methods := range allowed {
		mux.Handle(apiBase+path, c.guarded(mayRead, func(r *request) error {
			r.w.Header().Set("Allow", strings.Join(methods, ", "))
			return &pageError{http.StatusMethodNotAllowed, r.Method + " is not for this: " + strings.Join(methods, ", ")}
		}, c.apiError))
	}
	nothing := c.guarded(mayRead, func(r *request) error {
		return &pageError{http.StatusNotFound, "there is nothing at " + r.URL.Path + "; " + apiBase + "/openapi.yaml says what there is"}
	}, c.apiError)
	mux.Handle("/api", nothing)
	mux.Handle("/api/", nothing)
}

// strictly does it, unless the query has parameters that are not known.
func (a apiRoute) strictly(r *request) error {
	if err := only(r.URL.Query(), a.query...); err != nil {
		return err
	}
	return a.do(r)
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
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &pageError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", large.Limit)}
	case err != nil:
		return &pageError{http.StatusBadRequest, fmt.Sprintf("the request cannot be read: %v", err)}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &pageError{http.StatusBadRequest, fmt.Sprintf("the request is not as it should be: %v", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More would take a brace too many for an end
		return &pageError{http.StatusBadRequest, "the request is more than one JSON value"}
	}
	return nil
}

// only refuses parameters of a query that are not known, which are mistyped.
func only(q url.Values, known ...string) error {
	for name := range q {
		switch {
		case slices.Contains(known, name):
		case len(known) == 0:
			return &pageError{http.StatusBadRequest, fmt.Sprintf("there is no parameter %q, nor any other", name)}
		default:
			return &pageError{http.StatusBadRequest, fmt.Sprintf("there is no parameter %q; there are %s", name, strings.Join(known, ", "))}
		}
	}
	return nil
}

// flagOf reads what is true or false; nothing is false.
func flagOf(q url.Values, name string) (bool, error) {
	text := q.Get(name)
	if text == "" {
		return false, nil
	}
	flag, err := strconv.ParseBool(text)
	if err != nil {
		return false, &pageError{http.StatusUnprocessableEntity, fmt.Sprintf("%s %q: true or false", name, text)}
	}
	return flag, nil
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
	at := []byte("- url: " + apiBase)
	_, _ = r.w.Write(bytes.Replace(openAPI, at, fmt.Appendf(nil, "- url: %q", c.cfg.Base+apiBase), 1))
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
		return errNoServer
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
		out.Purged = append(out.Purged, purgedOf(e))
	}
	return r.answer(http.StatusOK, out)
}

func (c *Console) apiPurgeOne(r *request) error {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	e, err := c.purgeOne(r, id)
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, purgedOf(e))
}

func purgedOf(e server.Entry) output.Member {
	return output.Member{ID: e.ID.Hex(), Name: e.Name, Host: e.Host, PID: e.PID}
}

func (c *Console) apiActions(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	entries, err := c.registry.ListTables(ctx)
	if err != nil {
		return err
	}
	all := versionsOf(entries)
	for i := range all {
		if all[i].Parameters == nil {
			all[i].Parameters = []event.ParameterInfo{}
		}
	}
	return r.answer(http.StatusOK, all)
}
