package integration

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("web-1")
	large := `{"text": "` + strings.Repeat("x", 70_000) + `"}`
	for name, test := range map[string]struct {
		code int
		says string
		args []string
	}{
		"unknown command":     {2, `unknown command "stpo"`, []string{"stpo"}},
		"unknown flag":        {2, "unknown flag: --sever", []string{"stop", "--sever", "x"}},
		"unknown subscriber":  {2, `unknown subscriber: "sevrer"; did you mean "server"?`, []string{"publish", "sevrer", "pause"}},
		"unknown action":      {2, `did you mean "pause"?`, []string{"publish", "server", "puase"}},
		"publish to all":      {2, `name is "*"`, []string{"publish", "*", "pause"}},
		"missing argument":    {2, "takes 2 arguments: SUBSCRIBER ACTION", []string{"publish", "server"}},
		"extra argument":      {2, `takes no arguments, but got "now"`, []string{"pause", "now"}},
		"not JSON":            {2, "--params is not a JSON object", []string{"publish", "server", "stop", "--params", "{timeout"}},
		"not KEY=VALUE":       {2, "write it as KEY=VALUE", []string{"publish", "server", "stop", "--param", "timeout"}},
		"too large":           {2, "the limit is 65536", []string{"publish", "server", "pause", "--params", large}},
		"unknown server id":   {3, "nothing matched", []string{"pause", "--server-id", bson.NewObjectID().Hex()}},
		"not a server id":     {2, "24 hexadecimal digits", []string{"pause", "--server-id", "web-1"}},
		"unknown server":      {3, "(living: web-1)", []string{"stop", "--server", "web-2"}},
		"broken pattern":      {2, "syntax error in pattern", []string{"stop", "--server", "[a"}},
		"bad label":           {2, "write it as KEY=VALUE", []string{"stop", "--label", "role"}},
		"bad limit":           {2, "write it as a number", []string{"stop", "--limit", "some"}},
		"bad output":          {2, "choose text, json or jsonl", []string{"servers", "-o", "xml"}},
		"bad level":           {2, "is not a log level", []string{"log-level", "loud"}},
		"bad parameter value": {1, "is not a duration", []string{"publish", "server", "kill", "--param", "wait_timeout=soon"}},
		"events of no time":   {2, "--since", []string{"events", "--follow=false"}},
		"name taken":          {1, "choose another name", []string{"server", "--name", "web-1"}},
		"label with a dot":    {1, "has no '.'", []string{"server", "--label", "a.b=c"}},
		"no workers":          {2, "at least 1", []string{"server", "--workers", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := e.run(test.args...)
			require.Contains(t, r.stdout+r.stderr, test.says)
			require.Equal(t, test.code, r.code, r.stderr)
		})
	}
	require.Equal(t, "running", e.servers()["web-1"].Lifecycle, "nothing was lost")
	require.False(t, e.servers()["web-1"].Paused)
}

func TestNoDatabase(t *testing.T) {
	t.Parallel()
	free := freeAddress(t)
	r := runWith(t, "mongodb://"+free+"/x", "servers", "--timeout", "300ms")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "no MongoDB reachable at "+free+" (tried for 300ms)")
	require.Contains(t, r.stderr, "connection refused")
	require.Contains(t, r.stderr, "fleetcast dev")

	for _, uri := range []string{"nonsense", "http://localhost", "mongodb://"} {
		r = runWith(t, uri, "servers", "--timeout", "300ms")
		require.Equal(t, 2, r.code, uri)
		require.Contains(t, r.stderr, "mongodb://HOST:PORT/DATABASE", uri)
	}
}

func TestServerWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	free := freeAddress(t)
	e := &env{t: t, uri: "mongodb://" + free + "/waits"}
	server := e.start("server", "--name", "early", "--no-color")
	e.awaitText("a line that says so", server.stderr, "waiting for the database")
	e.start("store", "--store-addr", free)
	e.awaitText("the server to run", server.stderr, "server running")
	require.Contains(t, e.servers(), "early")
	require.Zero(t, server.end(syscall.SIGTERM))
}

func TestEventsCollectionThatIsNotCapped(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, err := e.db.Collection("events").InsertOne(t.Context(), bson.D{{Key: "mine", Value: true}})
	require.NoError(t, err)
	for _, args := range [][]string{{"server"}, {"pause"}, {"events"}} {
		r := e.run(args...)
		require.Equal(t, 1, r.code, args)
		require.Contains(t, r.stderr, "events exists but is not capped")
	}
	n, err := e.db.Collection("events").CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "nothing was lost")
}

func TestEmptyRegistry(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := e.run("servers")
	require.Zero(t, r.code)
	require.Contains(t, r.stderr, "the registry is empty")
	r = e.run("servers", "-o", "json")
	require.JSONEq(t, "[]", r.stdout)
	r = e.run("pause")
	require.Equal(t, 3, r.code)
	require.Contains(t, r.stderr, "the registry is empty")
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for _, command := range []string{"dev", "store"} {
		r := runWith(t, "", command, "--store-addr", listener.Addr().String())
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, listener.Addr().String())
		require.Contains(t, r.stderr, "in use")
		require.Contains(t, r.stderr, "--store-addr")
	}
}

func freeAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
