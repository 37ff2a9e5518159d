package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
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

func TestDescribedParameters(t *testing.T) {
	info := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "a"}}}
	for want, doc := range map[bool]event.Event{
		true: event.New("x", "y", map[string]any{"a": 1}), false: event.New("x", "y", map[string]any{"b": 1}),
	} {
		require.Equal(t, want, described(info, doc.Parameters))
		require.True(t, described(event.ActionInfo{Free: true}, doc.Parameters), "the table says that there may be others")
	}
	require.True(t, described(info, nil))
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

func TestParametersThatFitTheirTypes(t *testing.T) {
	id := bson.NewObjectID()
	for kind, values := range map[string]struct{ fit, not []any }{
		"text":                 {[]any{"a", nil}, []any{1, true, bson.A{}}},
		"integer":              {[]any{int32(1), int64(1), 2.0, nil}, []any{2.5, "2", true}},
		"number":               {[]any{int32(1), int64(1), 2.5}, []any{"2.5"}},
		"boolean":              {[]any{true}, []any{"true", 1}},
		"duration":             {[]any{"30s", 30, int64(1), 1.5}, []any{true, bson.A{}}},
		"time":                 {[]any{time.Now(), "2026-01-31T12:00:00Z"}, []any{true, bson.D{}}},
		"id":                   {[]any{id, id.Hex()}, []any{"7", 7}},
		"document":             {[]any{bson.D{}}, nil},
		"any":                  {[]any{1, "a", bson.A{}}, nil},
		"list of integer":      {[]any{bson.A{}, bson.A{1, 2.0}, nil}, []any{bson.A{1, "2"}, 1, bson.D{}}},
		"list of list of text": {[]any{bson.A{bson.A{"a"}}}, []any{bson.A{"a"}}},
	} {
		info := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "p", Type: kind, Required: true}}}
		for _, v := range values.fit {
			require.NoError(t, misfits(info, event.New("x", "y", bson.D{{Key: "p", Value: v}}).Parameters), "%s %v", kind, v)
		}
		for _, v := range values.not {
			require.ErrorContains(t, misfits(info, event.New("x", "y", bson.D{{Key: "p", Value: v}}).Parameters), "parameters.p", "%s %v", kind, v)
		}
		require.ErrorContains(t, misfits(info, nil), "parameters.p: this one is required")
	}
	withDefault := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "p", Type: "integer", Required: true, Default: "3"}}}
	require.NoError(t, misfits(withDefault, nil), "the servers have one")
	err := misfits(event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "p", Type: "integer", Secret: true}}}, event.New("x", "y", bson.D{{Key: "p", Value: "hunter2"}}).Parameters)
	require.NotContains(t, err.Error(), "hunter2")
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

// silent adds a server to the registry that seems to live, and answers nothing.
func (s *site) silent(name string) string { s.t.Helper(); return s.beatAgo(name, 0) }

// lost adds one that is lost.
func (s *site) lost(name string) string { s.t.Helper(); return s.beatAgo(name, 48*time.Hour) }

func (s *site) beatAgo(name string, ago time.Duration) string {
	s.t.Helper()
	now, err := event.StoreTime(s.t.Context(), s.db)
	require.NoError(s.t, err)
	id := bson.NewObjectID()
	_, err = s.db.Collection(server.ServersCollection).InsertOne(s.t.Context(), bson.D{
		{Key: "_id", Value: id}, {Key: "name", Value: name}, {Key: "lifecycle", Value: "running"},
		{Key: "actions", Value: bson.D{{Key: "server", Value: bson.A{"pause", "kill"}}}},
		{Key: "heartbeat", Value: bson.D{{Key: "at", Value: now.Add(-ago)}, {Key: "interval_ms", Value: int64(3_600_000)}}},
	})
	require.NoError(s.t, err)
	return id.Hex()
}

func TestOneLostServerIsPurgedByTheAPIOnRecord(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	living, lost, other := s.silent("there"), s.lost("gone"), s.lost("gone-too")
	a := s.api(func(r *http.Request) { r.SetBasicAuth("alice", "alicealice") })
	a.call("GET", "/servers", nil, 200, nil)
	require.Contains(t, a.wrong("DELETE", "/servers/"+living, nil, 409), "there is not lost")
	var purged output.Member
	a.call("DELETE", "/servers/"+lost, nil, 200, &purged)
	require.Equal(t, "gone", purged.Name)
	a.call("GET", "/servers/"+lost, nil, 404, nil) // at once, not when the registry is read the next time
	a.call("DELETE", "/servers/"+lost, nil, 404, nil)
	a.call("GET", "/servers/"+living, nil, 200, nil)
	a.call("GET", "/servers/"+other, nil, 200, nil)
	var trail apiTrail
	a.call("GET", "/audit?user=alice", nil, 200, &trail)
	require.Len(t, trail.Entries, 1)
	require.Equal(t, "purge", trail.Entries[0].Action)
	require.JSONEq(t, `{"server": "gone"}`, string(trail.Entries[0].Parameters))
}

func TestTheAPIWaitsAsLongAsItWasTold(t *testing.T) {
	s := newSite(t, Config{})
	s.start(busy, "web-1")
	s.silent("web-2")
	a := s.api(nil)
	pause := map[string]any{"subscriber": "server", "action": "pause", "wait": "2s"}
	var sum output.Call
	a.call("POST", "/events", pause, 200, &sum)
	require.Equal(t, 2, sum.Matched)
	require.Equal(t, 1, sum.Done)
	require.Equal(t, []string{"web-2"}, sum.MissingServers)

	for _, wait := range []string{"", "0", "0s"} {
		pause["wait"] = wait
		var published output.Published
		a.call("POST", "/events", pause, 202, &published)
		var out apiOutcome
		s.await("the answer of the one that lives, though nobody waits", func() bool {
			a.call("GET", "/events/"+published.EventID, nil, 200, &out)
			return out.Counts["done"] == 1
		})
		require.Equal(t, "running", out.State)
		require.Nil(t, out.Call)
	}
}

func TestKillByTheAPIWantsTheNumberThatADryRunHasSaid(t *testing.T) {
	s := newSite(t, Config{})
	s.silent("web-1")
	s.silent("web-2")
	a := s.api(nil)
	kill := map[string]any{"subscriber": "server", "action": "kill"}
	require.Contains(t, a.wrong("POST", "/events", kill, 422), "matched: 2")
	kill["matched"] = 1
	require.Contains(t, a.wrong("POST", "/events", kill, 409), "now it is 2")
	kill["matched"] = 0
	a.wrong("POST", "/events", kill, 409)
	kill["matched"], kill["dry_run"] = 7, true
	var match output.Match
	a.call("POST", "/events", kill, 200, &match)
	require.Equal(t, 2, match.Matched)
	require.Zero(t, s.published())
	delete(kill, "dry_run")
	kill["matched"] = 2
	a.call("POST", "/events", kill, 202, nil)
	require.Equal(t, 1, s.published())
	a.call("POST", "/events", map[string]any{"subscriber": "server", "action": "kill", "target": output.Target{Servers: []string{"web-1"}}}, 202, nil)
	require.Equal(t, 2, s.published(), "one is no mistake")
}

// app is a subscriber of an application.
type app struct{}

func (app) Name() string { return "app" }

func (app) Actions() []event.Action {
	type login struct {
		User     string `bson:"user" validate:"required"`
		Password string `bson:"password" fleetcast:"secret"`
	}
	return []event.Action{
		event.On("login", func(context.Context, login) error { return nil }),
		event.On("anything", func(context.Context, bson.Raw) error { return nil }),
	}
}

func TestActionsOfAnApplicationByTheAPI(t *testing.T) {
	s := newSite(t, Config{Users: users(t)})
	s.startAs(server.Config{Bus: event.Config{Identity: event.Identity{Name: "web-1"}}}, busy, app{})
	otto := s.api(func(r *http.Request) { r.SetBasicAuth("otto", "ottootto") })
	publish := func(action string, parameters map[string]any) map[string]any {
		return map[string]any{"subscriber": "app", "action": action, "parameters": parameters, "wait": "20s"}
	}
	require.Contains(t, otto.wrong("POST", "/events", publish("login", nil), 422), "parameters.user: this one is required")
	require.Contains(t, otto.wrong("POST", "/events", publish("login", map[string]any{"user": 7, "password": true}), 422), "parameters.password: it is of type boolean, and must be text")
	require.Contains(t, otto.wrong("POST", "/events", publish("login", map[string]any{"user": "a", "wings": 2}), 403), "needs admin")
	require.Zero(t, s.published())
	otto.call("POST", "/events", publish("login", map[string]any{"user": "a"}), 200, nil)
	otto.call("POST", "/events", publish("anything", map[string]any{"wings": 2}), 200, nil)
}

func TestTheAPINeverShowsSecrets(t *testing.T) {
	s := newSite(t, Config{Keyring: keys(t)})
	s.startAs(server.Config{Bus: event.Config{Identity: event.Identity{Name: "web-1"}}}, busy, app{})
	a := s.api(nil)
	shown := func(text string) {
		t.Helper()
		require.NotContains(t, text, "hunter")
		require.Contains(t, text, event.Hidden)
	}

	var changed apiChanged
	set := map[string]any{"path": "app/secret/key", "value": "hunter2", "undeclared": true}
	shown(a.call("PUT", "/settings", set, 200, &changed))
	require.True(t, changed.Setting.Secret)
	set["value"] = "hunter3"
	shown(a.call("PUT", "/settings", set, 200, nil))
	shown(a.call("GET", "/settings", nil, 200, nil))
	shown(a.call("GET", "/settings/history", nil, 200, nil))
	set["if_version"] = 7
	require.NotContains(t, a.call("PUT", "/settings", set, 409, nil), "hunter")
	shown(a.call("DELETE", "/settings?path=app/secret/key", nil, 200, nil))
	shown(a.call("GET", "/audit?subscriber=config", nil, 200, nil))

	in := map[string]any{"subscriber": "app", "action": "login", "parameters": map[string]any{"user": "a", "password": "hunter2"}, "wait": "20s"}
	var sum output.Call
	require.NotContains(t, a.call("POST", "/events", in, 200, &sum), "hunter")
	require.Equal(t, 1, sum.Done)
	require.NotContains(t, a.call("GET", "/events/"+sum.EventID, nil, 200, nil), "hunter")
	var stream apiStream
	s.await("the event", func() bool {
		text := a.call("GET", "/events?subscriber=app", nil, 200, &stream)
		require.NotContains(t, text, "hunter")
		return len(stream.Events) == 1
	})
	require.JSONEq(t, `{"user": "a", "password": "****"}`, string(stream.Events[0].Parameters))
}
