package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// quick are flags of a server that is lost after 3 s of silence.
var quick = []string{"--heartbeat", "500ms", "--workers", "1"}

// state is what `servers` says of one server in one word, empty when it is not there.
func (e *env) state(name string, filters ...string) string {
	e.t.Helper()
	r := e.run(append([]string{"servers", "-o", "json"}, filters...)...)
	require.Zero(e.t, r.code, r.stderr)
	var list []struct{ Name, State string }
	require.NoError(e.t, json.Unmarshal([]byte(r.stdout), &list), r.stdout)
	i := slices.IndexFunc(list, func(s struct{ Name, State string }) bool { return s.Name == name })
	if i < 0 {
		return ""
	}
	return list[i].State
}

func (e *env) awaitState(name, state string) {
	e.t.Helper()
	e.await(name+" "+state, func() bool { return e.state(name) == state })
}

// TestKilledProcessIsLost kills a server's process the hard way.
func TestKilledProcessIsLost(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", quick...)
	e.server("b", quick...)
	id := e.servers()["a"].ID
	a.end(syscall.SIGKILL)
	e.awaitState("a", "lost")
	require.Equal(t, "lost", e.state("a", "--state", "lost"))
	require.Empty(t, e.state("b", "--state", "lost"))
	r := e.run("servers")
	require.Contains(t, r.stdout, "LOST,running")
	require.Contains(t, r.stdout, "2 servers: 1 lost, 1 running; 1 worker")
	require.Equal(t, 1, e.call(0, "pause").Matched, "nobody waits for the lost")
	require.Equal(t, 0, e.call(0, "resume").Failed)

	// Its successor may have its name at once, and purge finds no other.
	e.server("a", quick...)
	e.await("another a", func() bool { s := e.servers()["a"]; return s.ID != id && !s.Lost })
	r = e.run("servers", "purge")
	require.Zero(t, r.code)
	require.Contains(t, r.stderr, "0 lost servers purged")
}

// TestStoppedProcessIsLostAndComesBack freezes a process until it is lost, and
// thaws it: it is back with its state.
func TestStoppedProcessIsLostAndComesBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", quick...)
	id := e.servers()["a"].ID
	require.Equal(t, 1, e.call(0, "pause").Done)
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGSTOP))
	e.awaitState("a", "lost")
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGCONT))
	e.awaitState("a", "paused")
	require.Equal(t, id, e.servers()["a"].ID, "the same server")
	require.Equal(t, 1, e.call(0, "resume").Done, "it hears")
	e.awaitState("a", "running")

	// Purged while it was frozen, and its name taken: it waits for its return.
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGSTOP))
	e.awaitState("a", "lost")
	usurper := e.server("a", quick...)
	e.await("the other in its place", func() bool { s := e.servers()["a"]; return s.ID != id && !s.Lost })
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGCONT))
	e.awaitText("a loud word", a.stderr, "another took its name while it was cut off")
	require.Zero(t, usurper.end(syscall.SIGTERM))
	e.await("the first back", func() bool { return e.servers()["a"].ID == id })
	require.Zero(t, a.end(syscall.SIGTERM))
	require.Empty(t, e.servers())
}

func TestStickyPause(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	require.Equal(t, 3, e.run("resume").code, "there is nothing to resume")
	r := e.run("pause", "--sticky", "--label", "role=web")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "no living server is meant")
	require.Contains(t, r.stderr, "servers that start later are paused")

	web := append([]string{"--label", "role=web"}, quick...)
	a := e.server("a", web...)
	e.awaitState("a", "paused")
	e.awaitText("who holds it", a.stderr, "paused by a hold")
	require.Contains(t, a.stderr.String(), "by=")
	e.server("b", quick...)
	e.awaitState("b", "running")
	r = e.run("servers")
	require.Contains(t, r.stdout, "HOLD  label role=web starts paused: ")

	require.Zero(t, a.end(syscall.SIGTERM))
	a = e.server("a", web...)
	e.awaitState("a", "paused") // after a restart, too
	require.NotContains(t, a.stderr.String(), "work started")

	r = e.run("resume", "--server", "b")
	require.Contains(t, r.stderr, "1 hold for other targets in force")
	require.Equal(t, "paused", e.state("a"))
	r = e.run("resume", "--label", "role=web")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "1 hold ended")
	require.Equal(t, "running", e.state("a"), "the registry shows it before the answer")
	e.server("c", web...)
	e.await("c at work", func() bool { return e.servers()["c"].busy() > 0 })
	require.NotContains(t, e.run("servers").stdout, "HOLD")

	require.Equal(t, 2, e.run("pause", "--sticky", "--pid", "1").code)
}

func TestResizeByPublish(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--workers", "2")
	s := e.call(0, "publish", "server", "resize", "--param", "max_workers=5")
	require.Contains(t, string(s.Replies[0].Payload), `"max_workers": 5`)
	e.await("five workers", func() bool { return len(e.servers()["a"].Workers) == 5 })
	s = e.call(1, "publish", "server", "resize", "--param", "max_workers=0")
	require.Contains(t, s.Replies[0].Error, "at least 1")
	s = e.call(0, "publish", "server", "resize", "--param", "max_workers=1")
	require.Equal(t, 1, s.Done)
	e.await("one worker", func() bool { return len(e.servers()["a"].Workers) == 1 })
}

// TestQuietKeepsBeating looks at the stage from which there is no way back.
func TestQuietKeepsBeating(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", quick...)
	require.Equal(t, 1, e.call(0, "quiet").Done)
	require.Contains(t, string(e.call(0, "quiet").Replies[0].Payload), "already quiet")
	require.Contains(t, string(e.call(0, "resume").Replies[0].Payload), "was not paused")
	before := e.servers()["a"].Heartbeat.At
	e.await("beats", func() bool { return e.servers()["a"].Heartbeat.At.After(before) })
	require.Equal(t, "quiet", e.state("a"))
	require.Zero(t, a.end(syscall.SIGTERM))
	require.Equal(t, 1, strings.Count(a.stderr.String(), "server quiet"))
}

// TestHungWorker is a worker whose work ignores its end: seen, cut off, replaced.
func TestHungWorker(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "1", "--demo-hang", "1", "--stuck-after", "100ms", "--shutdown-timeout", "100ms")
	e.await("the hung worker to be flagged", func() bool {
		r := e.run("servers", "--show-workers")
		return strings.Contains(r.stdout, "STUCK")
	})
	r := e.run("thread-dump", "--server", "a", "--worker-id", "1")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "demo.hang")

	r = e.run("kill", "--server", "a", "--worker-id", "1", "--wait-timeout", "100ms")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "worker 1 abandoned\n")
	require.Contains(t, r.stdout, "demo.hang", "the report has its stack")
	require.Equal(t, 2, strings.Count(a.stderr.String(), "demo.hang\n"), "of the dump, and of the kill")
	e.await("another one in its place", func() bool {
		w := e.servers()["a"].Workers
		return len(w) == 2 && w[0].ID == 1 && w[0].State == "abandoned" && w[1].ID == 2 && w[1].State == "busy"
	})
	require.Equal(t, 5, func() int { e.run("kill", "--server", "a", "--wait-timeout", "100ms"); <-a.exited; return a.code }())
}
