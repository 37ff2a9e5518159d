//go:build linux

package integration

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// script is a worker in another language: it has a child, and obeys TERM.
const script = `trap 'echo "thread main of $FLEETCAST_WORKER_ID"' USR1
trap 'echo "bye $FLEETCAST_WORKER_ID"; kill $child; exit 0' TERM
sleep 1000 & child=$!
echo "begin $FLEETCAST_WORKER_ID pid $$ child $child of $FLEETCAST_SERVER_ID"
while :; do wait; done`

// copies starts a server whose workers run a script, and waits for them.
func (e *env) copies(workers int, text string, args ...string) *process {
	e.t.Helper()
	args = append(args, "--workers", strconv.Itoa(workers), "--", "sh", "-c", text)
	p := e.server("a", args...)
	e.await("all copies", func() bool { return len(pidsOf(p)) >= workers })
	return p
}

var beginLine = regexp.MustCompile(`begin (\d+) pid (\d+) child (\d+) of (\w*)`)

// pidsOf returns the processes of each worker's copy.
func pidsOf(p *process) map[int][]int {
	pids := map[int][]int{}
	for _, found := range beginLine.FindAllStringSubmatch(p.stderr.String(), -1) {
		worker, _ := strconv.Atoi(found[1])
		for _, text := range found[2:4] {
			pid, _ := strconv.Atoi(text)
			pids[worker] = append(pids[worker], pid)
		}
	}
	return pids
}

// condition is the state letter of a process; Z or "" when it has ended.
func condition(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

func (e *env) awaitDead(pids ...int) {
	e.t.Helper()
	require.NotEmpty(e.t, pids)
	for _, pid := range pids {
		e.await("the end of process "+strconv.Itoa(pid), func() bool { return condition(pid) == "" || condition(pid) == "Z" })
	}
}

func (e *env) states() (states []string) {
	for _, w := range e.servers()["a"].Workers {
		states = append(states, w.State)
	}
	return states
}

func TestProcessWorkers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.copies(2, script, "--dump-signal", "SIGUSR1")
	require.Contains(t, a.stderr.String(), " of "+e.servers()["a"].ID)
	require.Regexp(t, `begin 2 .*stream=stdout .*worker_id=2`, a.stderr.String())
	pids := pidsOf(a)
	e.await("busy workers", func() bool { return e.servers()["a"].busy() == 2 })
	require.Equal(t, "sh", e.servers()["a"].Workers[0].Kind)

	r := e.run("thread-dump", "--worker-id", "2")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "thread main of 2\n")
	require.NotContains(t, r.stdout, "goroutine")
	require.NotContains(t, a.stderr.String(), "thread main of 1")

	require.Equal(t, 1, e.call(0, "pause").Done)
	e.await("halted copies", func() bool { return condition(pids[1][0])+condition(pids[2][0]) == "TT" })
	e.await("paused workers", func() bool { return strings.Join(e.states(), " ") == "paused paused" })
	require.Equal(t, 1, e.call(0, "resume").Done)
	e.await("copies that go on", func() bool { return !strings.Contains(condition(pids[1][0])+condition(pids[2][0]), "T") })

	require.Equal(t, 1, e.call(0, "stop", "--server", "a", "--worker-id", "1").Done)
	e.awaitText("its last words", a.stderr, "bye 1")
	e.awaitDead(pids[1]...)
	e.awaitText("another in its place", a.stderr, "begin 3")
	s := e.call(0, "kill", "--server", "a", "--worker-id", "2")
	require.JSONEq(t, `{"workers":[{"id":2,"state":"stopped"}]}`, string(s.Replies[0].Payload))
	e.awaitDead(pids[2]...)
	require.NotContains(t, a.stderr.String(), "bye 2")
	e.awaitText("another in its place", a.stderr, "begin 4")

	require.Equal(t, 1, e.call(0, "stop").Done)
	<-a.exited
	require.Zero(t, a.code)
	e.awaitText("last words", a.stderr, "bye 3")
	e.awaitText("last words", a.stderr, "bye 4")
	for _, family := range pidsOf(a) {
		e.awaitDead(family...)
	}
}

func TestProcessWorkersThatIgnoreTheirStop(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.copies(2, "trap '' TERM; "+strings.ReplaceAll(script, "TERM", "HUP"), "--shutdown-timeout", "200ms")
	require.Equal(t, 1, e.call(0, "stop").Done)
	<-a.exited
	require.Zero(t, a.code, "none is abandoned")
	for _, family := range pidsOf(a) {
		e.awaitDead(family...)
	}
}

func TestThreadDumpOfProcessNeedsASignal(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.copies(1, script)
	r := e.run("thread-dump")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stdout+r.stderr, "no dump signal is set")
	require.Contains(t, r.stdout+r.stderr, "--dump-signal")
	require.NotContains(t, r.stdout, "goroutine")
}

// kill -9 of the server leaves nothing behind, not even what is halted.
func TestNoOrphans(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run("paused "+strconv.FormatBool(paused), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			a := e.copies(3, "trap '' HUP INT TERM; "+strings.ReplaceAll(script, "TERM", "USR2"))
			if paused {
				e.call(0, "pause")
				e.await("a halted copy", func() bool { return condition(pidsOf(a)[1][0]) == "T" })
			}
			a.end(syscall.SIGKILL)
			for _, family := range pidsOf(a) {
				e.awaitDead(family...)
			}
		})
	}
}

func TestSignalsOfOperators(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "2", "--log-level", "warn")
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGUSR1))
	e.await("a thread dump of both workers", func() bool { return strings.Count(a.stderr.String(), "thread dump\n") == 2 })
	require.Contains(t, a.stderr.String(), "goroutine")

	require.NoError(t, a.cmd.Process.Signal(syscall.SIGTSTP))
	e.await("quiet", func() bool { return e.servers()["a"].Lifecycle == "quiet" })
	e.await("no more work", func() bool { return e.servers()["a"].busy() == 0 })
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGUSR1))
	e.await("another thread dump", func() bool { return strings.Count(a.stderr.String(), "thread dump\n") == 4 })
	require.Zero(t, a.end(syscall.SIGTERM))
}
