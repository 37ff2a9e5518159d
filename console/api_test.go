package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/internal/output"
)

// api makes requests, and holds each and its answer to the document.
type api struct {
	*client
	router routers.Router
	called map[string]bool // operations
	edit   func(*http.Request)
}

func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	return doc
}

func (s *site) api(edit func(*http.Request)) *api {
	s.t.Helper()
	doc := document(s.t)
	doc.Servers = openapi3.Servers{{URL: s.url + apiBase}}
	router, err := legacy.NewRouter(doc)
	require.NoError(s.t, err)
	return &api{s.client(), router, map[string]bool{}, edit}
}

// call makes a request that the document allows.
func (a *api) call(method, path string, body any, want int, into any) string {
	a.t.Helper()
	return a.send(method, path, body, want, into, true)
}

// wrong makes one that it need not allow.
func (a *api) wrong(method, path string, body any, want int) string {
	a.t.Helper()
	var fault apiFault
	a.send(method, path, body, want, &fault, false)
	require.Equal(a.t, want, fault.Status)
	return fault.Error
}

func (a *api) send(method, path string, body any, want int, into any, valid bool) string {
	a.t.Helper()
	var text []byte
	switch body := body.(type) {
	case nil:
	case string:
		text = []byte(body)
	default:
		var err error
		text, err = json.Marshal(body)
		require.NoError(a.t, err)
	}
	r, err := http.NewRequest(method, a.base+apiBase+path, bytes.NewReader(text))
	require.NoError(a.t, err)
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.edit != nil {
		a.edit(r)
	}
	res, err := a.http.Do(r)
	require.NoError(a.t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	require.Equal(a.t, want, res.StatusCode, "%s %s: %s", method, path, got)

	r.Body = io.NopCloser(bytes.NewReader(text))
	route, parameters, err := a.router.FindRoute(r)
	if err == nil {
		a.called[route.Operation.OperationID] = true
		in := &openapi3filter.RequestValidationInput{
			Request: r, PathParams: parameters, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
		}
		if valid {
			require.NoError(a.t, openapi3filter.ValidateRequest(a.t.Context(), in), "%s %s", method, path)
		}
		require.NoError(a.t, openapi3filter.ValidateResponse(a.t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(got)), Options: in.Options,
		}), "%s %s: %s", method, path, got)
	} else if valid {
		require.NoError(a.t, err, "%s %s", method, path)
	}
	if into != nil {
		require.NoError(a.t, json.Unmarshal(got, into), "%s", got)
	}
	return string(got)
}

func TestTheDocumentHasEveryOperationAndNoOther(t *testing.T) {
	var documented, routes []string
	for path, item := range document(t).Paths.Map() {
		for method, operation := range item.Operations() {
			var query []string
			for _, p := range append(slices.Clone(item.Parameters), operation.Parameters...) {
				if p.Value.In == openapi3.ParameterInQuery {
					query = append(query, p.Value.Name)
				}
			}
			slices.Sort(query)
			documented = append(documented, fmt.Sprint(method, " ", path, query))
		}
	}
	for _, r := range (&Console{}).apiTable() {
		routes = append(routes, fmt.Sprint(r.method, " ", r.path, slices.Sorted(slices.Values(r.query))))
	}
	slices.Sort(documented)
	slices.Sort(routes)
	require.Equal(t, routes, documented)
}

func TestTheAPIIsAsTheDocumentSays(t *testing.T) {
	s := newSite(t, Config{})
	s.startWithSettings("web-1")
	s.start(busy, "web-2")
	a := s.api(nil)
	require.Contains(t, a.call("GET", "/openapi.yaml", nil, 200, nil), "openapi: 3")

	var fleet apiFleet
	a.call("GET", "/servers?q=web&state=running", nil, 200, &fleet)
	require.Len(t, fleet.Servers, 2)
	require.Equal(t, 2, fleet.Counts["running"])
	id := fleet.Servers[0].ID
	a.call("GET", "/servers/"+id, nil, 200, nil)
	var actions []version
	a.call("GET", "/actions", nil, 200, &actions)
	i := slices.IndexFunc(actions, func(v version) bool { return v.Subscriber == "server" && v.Action == "resize" })
	require.ElementsMatch(t, []string{"web-1", "web-2"}, actions[i].Servers)
	require.Equal(t, "integer", actions[i].Parameters[0].Type)

	pause := map[string]any{"subscriber": "server", "action": "pause", "target": output.Target{Servers: []string{"web-*"}}}
	pause["dry_run"] = true
	var match output.Match
	a.call("POST", "/events", pause, 200, &match)
	require.Equal(t, 2, match.Matched)
	require.Zero(t, s.published())
	delete(pause, "dry_run")
	pause["matched"] = 3
	a.call("POST", "/events", pause, 409, nil)
	require.Zero(t, s.published())
	pause["matched"], pause["wait"] = 2, "20s"
	var sum output.Call
	a.call("POST", "/events", pause, 200, &sum)
	require.Equal(t, 2, sum.Done)
	require.Len(t, sum.Replies, 2)

	resize := map[string]any{"subscriber": "server", "action": "resize", "parameters": map[string]any{"max_workers": 3}, "target": output.Target{ServerIDs: []string{id}}}
	var published output.Published
	a.call("POST", "/events", resize, 202, &published)
	require.Equal(t, 1, published.Matched)
	var out apiOutcome
	s.await("the answer", func() bool {
		a.call("GET", "/events/"+published.EventID, nil, 200, &out)
		return out.State == "complete"
	})
	require.Equal(t, "done", out.Servers[0].Kind)
	require.Equal(t, 1, out.Call.Done)
	require.Equal(t, published.EventID, out.Call.EventID)
	var replies []output.Reply
	a.call("GET", "/events/"+published.EventID+"/replies", nil, 200, &replies)
	require.Len(t, replies, 1)
	require.JSONEq(t, string(replies[0].Payload), string(out.Call.Replies[0].Payload))
	var stream apiStream
	s.await("the events", func() bool {
		a.call("GET", "/events?subscriber=server&limit=10", nil, 200, &stream)
		return len(stream.Events) == 2
	})
	require.Contains(t, a.wrong("POST", "/events", map[string]any{"subscriber": "server", "action": "kill"}, 422), "matched: 2")

	set := map[string]any{"path": "fleetcast/max_workers", "value": 4, "if_version": 0, "refresh": true}
	var changed apiChanged
	a.call("PUT", "/settings", set, 200, &changed)
	require.True(t, changed.Changed)
	require.NotEmpty(t, changed.RefreshEvent)
	a.call("PUT", "/settings", set, 409, nil)
	a.call("GET", "/settings?path=fleetcast", nil, 200, nil)
	a.call("GET", "/settings/declarations", nil, 200, nil)
	a.call("GET", "/settings/history?path=fleetcast/max_workers&limit=5", nil, 200, nil)
	a.call("DELETE", "/settings?path=fleetcast/max_workers&if_version=1", nil, 200, &changed)
	require.EqualValues(t, 4, changed.Old)
	a.call("DELETE", "/settings?path=fleetcast/max_workers", nil, 404, nil)
	a.call("DELETE", "/servers/"+s.lost("lost-1"), nil, 200, nil)
	s.lost("lost-2")
	var removed struct{ Purged []output.Member }
	a.call("POST", "/purge", nil, 200, &removed)
	require.Equal(t, "lost-2", removed.Purged[0].Name)
	var trail apiTrail
	a.call("GET", "/audit?since=1h&limit=50", nil, 200, &trail)
	require.GreaterOrEqual(t, len(trail.Entries), 4)

	for _, r := range document(t).Paths.Map() {
		for _, operation := range r.Operations() {
			require.True(t, a.called[operation.OperationID], "nobody has called %s", operation.OperationID)
		}
	}
}

func TestWrongRequestsToTheAPI(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	a := s.api(nil)
	for _, test := range []struct {
		method, path string
		body         any
		status       int
		want         string
	}{
		{"GET", "/nothing", nil, 404, "openapi.yaml says what there is"},
		{"DELETE", "/servers", nil, 405, "GET"},
		{"DELETE", "/servers/000000000000000000000000", nil, 404, "it has left, or was purged"},
		{"GET", "/servers?sort=name", nil, 400, `no parameter "sort"`},
		{"GET", "/actions?q=stop", nil, 400, `no parameter "q", nor any other`},
		{"GET", "/settings?under=app", nil, 400, "there are path"},
		{"POST", "/purge?dry_run=true", nil, 400, `no parameter "dry_run"`},
		{"DELETE", "/settings?path=app/x&refresh=please", nil, 422, "true or false"},
		{"DELETE", "/settings?path=app/x&if_version=one", nil, 422, "0 or more"},
		{"GET", "/audit?failed=maybe", nil, 422, "true or false"},
		{"GET", "/servers?state=odd", nil, 422, "choose from"},
		{"GET", "/servers/7", nil, 404, "24 hexadecimal"},
		{"GET", "/events?limit=0", nil, 422, "from 1 to 500"},
		{"GET", "/audit?since=yesterday", nil, 422, "such as 24h"},
		{"GET", "/events/000000000000000000000000", nil, 404, "nor in the audit"},
		{"POST", "/events", "{", 400, "not as it should be"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause"} {}`, 400, "more than one"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause"}}`, 400, "more than one"},
		{"POST", "/events", `{"subscriber": "` + strings.Repeat("x", maxBody) + `"}`, 413, "larger than"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "taget": {}}`, 400, "taget"},
		{"POST", "/events", `{}`, 422, "names no subscriber"},
		{"POST", "/events", `{"subscriber": "server", "action": "fly"}`, 404, "no living server"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"servers": ["web-9"]}}`, 422, "nobody matches"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"servers": ["["]}}`, 422, "target.servers: server name pattern"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"hosts": ["["]}}`, 422, "target.hosts: "},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"labels": {"zone": "["}}}`, 422, "target.labels: label zone"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"server_ids": ["7"]}}`, 422, "target.server_ids: \"7\" is no id"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"server_ids": [""]}}`, 422, "target.server_ids: \"\" is no id"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"names": ["web-1"]}}`, 400, "names"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"server_ids": []}}`, 422, "target.server_ids: there is none"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"servers": []}}`, 422, "target.servers: there is none"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"hosts": []}}`, 422, "target.hosts: there is none"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"pids": []}}`, 422, "target.pids: there is none"},
		{"POST", "/events", `{"subscriber": "worker", "action": "stop", "target": {"worker_ids": []}}`, 422, "target.worker_ids: there is none"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"labels": {}}}`, 422, "target.labels: there is none"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "target": {"worker_ids": [1]}}`, 422, "for the actions of workers"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "parameters": [1]}`, 422, "no JSON object"},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "parameters": {"sticky": "yes"}}`, 422, "parameters.sticky: it is of type string, and must be boolean"},
		{"POST", "/events", `{"subscriber": "server", "action": "resize", "parameters": {"max_workers": 1.5}}`, 422, "parameters.max_workers: "},
		{"POST", "/events", `{"subscriber": "server", "action": "resize", "parameters": {"max_workers": "many"}, "dry_run": true}`, 422, "parameters.max_workers: "},
		{"POST", "/events", `{"subscriber": "server", "action": "pause", "wait": "soon"}`, 422, "such as 10s"},
		{"PUT", "/settings", `{"path": "app/x"}`, 422, "no value"},
		{"PUT", "/settings", `{"value": 1}`, 422, "no path"},
		{"PUT", "/settings", `{"path": "a//b", "value": 1}`, 422, ""},
		{"DELETE", "/settings", nil, 422, "no path"},
	} {
		require.Contains(t, a.wrong(test.method, test.path, test.body, test.status), test.want, "%s %s", test.method, test.path)
	}
	require.Zero(t, s.published())
}

func TestTheAPIKnowsWhoAsks(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	s.start(busy, "web-1")
	as := func(name string) *api {
		return s.api(func(r *http.Request) {
			if name != "" {
				r.SetBasicAuth(name, name+name)
			}
		})
	}
	require.Contains(t, as("").wrong("GET", "/servers", nil, 401), "log in")
	res := s.client().get(apiBase + "/servers")
	require.Contains(t, res.header.Get("WWW-Authenticate"), "Basic")
	pause := `{"subscriber": "server", "action": "pause", "wait": "20s"}`
	require.Contains(t, as("vera").wrong("POST", "/events", pause, 403), "vera has the role viewer")
	as("vera").call("POST", "/events", `{"subscriber": "server", "action": "pause", "dry_run": true}`, 200, nil)
	as("otto").call("POST", "/events", pause, 200, nil)
	require.Contains(t, as("otto").wrong("POST", "/events", `{"subscriber": "server", "action": "pause", "parameters": {"wings": 2}}`, 403), "needs admin")
	require.Contains(t, as("vera").wrong("POST", "/events", `{"subscriber": "server", "action": "ping", "parameters": {"wings": 2}}`, 403), "needs admin")
	as("vera").call("POST", "/events", `{"subscriber": "server", "action": "ping", "wait": "20s"}`, 200, nil)
	require.Contains(t, as("otto").wrong("PUT", "/settings", `{"path": "fleetcast/max_workers", "value": 2}`, 403), "needs admin")
	require.Contains(t, as("otto").wrong("POST", "/purge", nil, 403), "needs admin")
	require.Contains(t, as("otto").wrong("DELETE", "/servers/"+s.lost("lost-1"), nil, 403), "needs admin")
	var trail apiTrail
	as("alice").call("GET", "/audit?user=otto", nil, 200, &trail)
	require.Len(t, trail.Entries, 1)

	evil := s.api(func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.example")
		r.SetBasicAuth("otto", "ottootto")
	})
	req, err := http.NewRequest("POST", s.url+apiBase+"/events", strings.NewReader(pause))
	require.NoError(t, err)
	evil.edit(req)
	answer, err := evil.http.Do(req)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	require.Equal(t, "application/json", answer.Header.Get("Content-Type"))
}

func TestMethodsAndPathsThatAPIHasNot(t *testing.T) {
	s := newSite(t, Config{})
	for request, want := range map[string]string{
		"PATCH /settings": "DELETE, GET, HEAD, PUT", "PUT /events": "GET, HEAD, POST", "POST /audit": "GET, HEAD", "GET /purge": "POST",
	} {
		method, path, _ := strings.Cut(request, " ")
		res := s.client().do(method, apiBase+path, nil)
		require.Equal(t, http.StatusMethodNotAllowed, res.status, request)
		allow := strings.Split(res.header.Get("Allow"), ", ")
		slices.Sort(allow)
		require.Equal(t, want, strings.Join(allow, ", "), request)
		require.Equal(t, "application/json", res.header.Get("Content-Type"))
	}
	for _, path := range []string{"/api", "/api/", "/api/v2/servers", "/api/v1", "/api/v1/servers/7/workers"} {
		res := s.client().get(path)
		require.Equal(t, http.StatusNotFound, res.status, path)
		require.Equal(t, "application/json", res.header.Get("Content-Type"), path)
	}
}

func TestTheDocumentNamesThePathThatTheConsoleIsMountedAt(t *testing.T) {
	s := newSite(t, Config{Base: "/fleet"})
	res := s.client().get("/fleet" + apiBase + "/openapi.yaml")
	require.Equal(t, http.StatusOK, res.status)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(res.body))
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	require.Equal(t, "/fleet"+apiBase, doc.Servers[0].URL)
	require.Equal(t, http.StatusOK, s.client().get(doc.Servers[0].URL+"/servers").status)
}

func TestTheAuditIsFilteredByFlags(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	a := s.api(nil)
	a.call("POST", "/events", `{"subscriber": "server", "action": "pause", "wait": "20s"}`, 200, nil)
	for flag, want := range map[string]int{"": 1, "?failed=false": 1, "?failed=true": 0} {
		var trail apiTrail
		a.call("GET", "/audit"+flag, nil, 200, &trail)
		require.Len(t, trail.Entries, want, flag)
	}
}

func TestTheAPIOfAReadOnlyConsole(t *testing.T) {
	s := newSite(t, Config{Users: users(t), ReadOnly: true})
	s.startWithSettings("web-1")
	a := s.api(func(r *http.Request) { r.SetBasicAuth("alice", "alicealice") })
	for _, request := range [][3]string{
		{"POST", "/events", `{"subscriber": "server", "action": "pause"}`},
		{"POST", "/events", `{"subscriber": "server", "action": "ping", "parameters": {"wings": 2}}`},
		{"POST", "/purge", ""},
		{"DELETE", "/servers/000000000000000000000000", ""},
		{"PUT", "/settings", `{"path": "fleetcast/max_workers", "value": 2}`},
		{"DELETE", "/settings?path=fleetcast/max_workers", ""},
	} {
		var body any
		if request[2] != "" {
			body = request[2]
		}
		require.Contains(t, a.wrong(request[0], request[1], body, 403), "read-only", request)
	}
	require.Zero(t, s.published())
	a.call("GET", "/servers", nil, 200, nil)
	a.call("POST", "/events", `{"subscriber": "server", "action": "pause", "dry_run": true}`, 200, nil)
	require.Zero(t, s.published())
	a.call("POST", "/events", `{"subscriber": "server", "action": "ping", "wait": "20s"}`, 200, nil)
}
