package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--workers", "3")
	e.server("b", "--workers", "2")
	e.await("work on both", func() bool {
		s := e.servers()
		return s["a"].busy() > 0 && s["b"].busy() > 0
	})

	s := e.call(0, "pause")
	require.Equal(t, []any{"server", "pause", 2, 2, 2}, []any{s.Subscriber, s.Action, s.Matched, s.Acked, s.Done})
	e.await("both shown as paused", func() bool {
		s := e.servers()
		return s["a"].Paused && s["b"].Paused && s["a"].Lifecycle == "running"
	})
	e.await("the workers to finish what they have", func() bool {
		s := e.servers()
		return s["a"].busy()+s["b"].busy() == 0
	})
	for _, w := range e.servers()["a"].Workers {
		require.Equal(t, "paused", w.State)
	}
	s = e.call(0, "pause", "--server", "a")
	require.Contains(t, string(s.Replies[0].Payload), "already paused")

	require.Equal(t, 2, e.call(0, "resume").Done)
	e.await("work again", func() bool {
		s := e.servers()
		return !s["a"].Paused && s["a"].busy() > 0 && s["b"].busy() > 0
	})
}

func TestStopEndsOnlyTheServerThatIsMeant(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a, b := e.server("a"), e.server("b")
	id := e.servers()["a"].ID
	s := e.call(0, "stop", "--server-id", id)
	require.Equal(t, 1, s.Matched)
	require.Equal(t, 1, s.Done)
	require.Equal(t, "a", s.Replies[0].Server)
	<-a.exited
	require.Zero(t, a.code)
	require.NotContains(t, e.servers(), "a")
	require.Equal(t, "running", e.servers()["b"].Lifecycle)

	// A successor of the same name is not hit by the stop of its predecessor.
	e.server("a")
	require.Zero(t, b.end(syscall.SIGTERM))
	require.Equal(t, "running", e.servers()["a"].Lifecycle)
}

func TestKill(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "2")
	e.await("work", func() bool { return e.servers()["a"].busy() > 0 })

	s := e.call(0, "kill", "--server", "a", "--worker-id", "1")
	require.Equal(t, "worker", s.Subscriber)
	require.JSONEq(t, `{"workers":[{"id":1,"state":"stopped"}]}`, string(s.Replies[0].Payload))
	e.await("another worker in its place, with a new number", func() bool {
		w := e.servers()["a"].Workers
		return len(w) == 2 && w[0].ID == 2 && w[1].ID == 3
	})

	require.Equal(t, 1, e.call(0, "stop", "--server", "a", "--worker-id", "3").Done)
	e.await("another worker in its place", func() bool {
		w := e.servers()["a"].Workers
		return len(w) == 2 && w[0].ID == 2 && w[1].ID == 4
	})
	watch := e.start("servers", "--watch", "--interval", "50ms", "-o", "jsonl")
	e.await("views one after the other", func() bool { return strings.Count(watch.stdout.String(), `"name":"a"`) > 2 })
	require.Zero(t, watch.end(syscall.SIGINT))

	require.Equal(t, 1, e.call(0, "kill", "--server", "a").Done)
	<-a.exited
	require.Equal(t, 5, a.code, "an exit code of its own")
}

func TestThreadDumpOfOneWorker(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a, b := e.server("a", "--workers", "3"), e.server("b", "--workers", "3")
	e.await("work", func() bool { return e.servers()["a"].busy() > 0 })
	r := e.run("thread-dump", "--server-id", e.servers()["a"].ID, "--worker-id", "2")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "=== a worker 2:")
	require.Contains(t, r.stdout, "goroutine")
	require.NotContains(t, r.stdout, "worker 1:")
	e.awaitText("the dump in a's log", a.stderr, "thread dump")
	require.Equal(t, 1, strings.Count(a.stderr.String(), "thread dump\n"), "of that worker alone")
	require.Contains(t, a.stderr.String(), "worker_id=2")
	require.NotContains(t, b.stderr.String(), "thread dump")
}

func TestLogLevelByHostAndPID(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a, b := e.server("a", "--workers", "1"), e.server("b", "--workers", "1")
	info := e.servers()["a"]
	s := e.call(0, "publish", "logger", "set", "--param", "level=debug", "--host", info.Host, "--pid", strconv.Itoa(info.PID))
	require.Equal(t, 1, s.Matched)
	require.JSONEq(t, `{"level":"debug","previous":"info"}`, string(s.Replies[0].Payload))
	e.awaitText("debug lines of a", a.stderr, " DBG ")
	require.NotContains(t, b.stderr.String(), " DBG ")

	s = e.call(0, "publish", "logger", "set", "--param", "level=info", "--host", info.Host)
	require.Equal(t, 2, s.Matched, "all on that host")
	require.Equal(t, 0, e.run("log-level", "warn", "--server", "b").code)
	r := e.run("publish", "logger", "set", "--param", "level=loud", "--server", "b")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stdout, `"loud" is not a log level`)
	require.Zero(t, e.run("publish", "logger", "thread_dump", "--server", "a").code)
	e.awaitText("all goroutines in a's log", a.stderr, "goroutine 1 [")
}

func TestDryRunPublishesNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	r := e.run("publish", "server", "pause", "--dry-run")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "would reach 1 server")
	require.Contains(t, r.stdout, "a  "+e.servers()["a"].ID)
	require.False(t, e.servers()["a"].Paused)
	require.Equal(t, 3, e.run("pause", "--server", "nobody", "--dry-run").code)
	n, err := e.db.Collection("events").CountDocuments(t.Context(), bson.D{{Key: "name", Value: "server"}})
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestTargets(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, name := range []string{"web-1", "web-2", "db-1"} {
		role, _, _ := strings.Cut(name, "-")
		e.server(name, "--label", "role="+role, "--workers", "1")
	}
	for _, test := range []struct {
		want int
		args []string
	}{
		{3, nil},
		{2, []string{"--server", "web-*"}},
		{2, []string{"--label", "role=web"}},
		{1, []string{"--label", "role=web", "--server", "*-2"}},
		{2, []string{"--server", "web-1", "--server", "db-1"}},
		{1, []string{"--limit", "1"}},
		{2, []string{"--limit", "50%"}},
		{1, []string{"--pid", strconv.Itoa(e.servers()["db-1"].PID)}},
	} {
		require.Equal(t, test.want, e.call(0, append([]string{"publish", "server", "refresh"}, test.args...)...).Done, test.args)
	}
	s := e.call(3, "pause", "--server", "nobody")
	require.Zero(t, s.Matched)
	require.NotEmpty(t, s.EventID)
}

func TestSignals(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "2")
	e.await("work", func() bool { return e.servers()["a"].busy() > 0 })
	require.Zero(t, a.end(syscall.SIGTERM), "current work was finished")
	require.NotContains(t, e.servers(), "a")

	b := e.server("b", "--workers", "4")
	e.await("work", func() bool { return e.servers()["b"].busy() == 4 })
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGINT))
	e.awaitStopping(b)
	require.Equal(t, 5, b.end(syscall.SIGINT), "the second one hurries")
	require.NotContains(t, e.servers(), "b")
}

// awaitStopping waits until the first signal has had its effect; the process
// may already have ended by itself.
func (e *env) awaitStopping(p *process) {
	e.t.Helper()
	e.await("the server to be stopping", func() bool {
		for _, s := range e.servers() {
			if s.PID == p.cmd.Process.Pid {
				return s.Lifecycle == "stopping"
			}
		}
		return true
	})
}

func TestEventsShowsWhatHappens(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	follow := e.start("events", "-o", "jsonl")
	e.await("an event and its answers", func() bool {
		e.call(0, "publish", "server", "refresh")
		shown := follow.stdout.String()
		return strings.Contains(shown, `"done"`) && strings.Contains(shown, `"type":"event"`)
	})
	kinds := map[string]bool{}
	for line := range strings.Lines(follow.stdout.String()) {
		var entry struct {
			Type       string `json:"type"`
			Subscriber string `json:"subscriber"`
			Kind       string `json:"kind"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		kinds[entry.Type+" "+entry.Subscriber+entry.Kind] = true
	}
	require.Contains(t, kinds, "event server")
	require.Contains(t, kinds, "reply done")
	require.Equal(t, 0, follow.end(syscall.SIGINT))

	r := e.run("events", "--since", "1h", "--follow=false", "--action", "refresh")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "server refresh → everybody")
	r = e.run("events", "--since", "1h", "--follow=false", "--action", "stop")
	require.Empty(t, r.stdout)
}

func TestNoWait(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	r := e.run("pause", "--no-wait")
	require.Zero(t, r.code, r.stderr)
	require.Len(t, strings.TrimSpace(r.stdout), 24, "the event's id")
	e.await("the pause", func() bool { return e.servers()["a"].Paused })
}

func TestCompletionOfServerNames(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("web-1")
	r := e.run("__complete", "stop", "--server", "we")
	require.Contains(t, r.stdout, "web-1\trunning on ")
	r = e.run("__complete", "publish", "server", "th")
	require.Contains(t, r.stdout, "thread_dump\n")
	r = e.run("completion", "bash")
	require.Contains(t, r.stdout, "complete")
}

func TestMalformedDocumentsAreSkipped(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a")
	events := e.db.Collection("events")
	for range 3 {
		_, err := events.InsertOne(t.Context(), bson.D{{Key: "ts", Value: bson.Timestamp{}}, {Key: "name", Value: 7}})
		require.NoError(t, err)
		_, err = events.InsertOne(t.Context(), bson.D{{Key: "hello", Value: "world"}})
		require.NoError(t, err)
	}
	require.Equal(t, 1, e.call(0, "pause").Done)
	e.awaitText("a warning", a.stderr, "type of name")
	require.Equal(t, 1, strings.Count(a.stderr.String(), "type of name"), "once per kind")
	require.Equal(t, 1, strings.Count(a.stderr.String(), "no ts"))
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--metrics-addr", "127.0.0.1:0")
	_, rest, ok := strings.Cut(a.stderr.String(), "url=")
	require.True(t, ok, a.stderr)
	url, _, _ := strings.Cut(rest, "\n")
	response, err := http.Get(strings.TrimSpace(url))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `fleetcast_listener_state{state="listening"} 1`)
}
