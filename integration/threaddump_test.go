package integration

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThreadDumpComesHome(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hung := e.server("hung", "--workers", "3", "--demo-hang", "1")
	e.server("busy", "--workers", "2")
	e.await("work", func() bool { return e.servers()["hung"].busy() == 3 && e.servers()["busy"].busy() > 0 })

	r := e.run("thread-dump", "--server", "hung")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^=== hung: 3 workers busy alike: (?:[123] \w+ [123](?:, |\n)){3}3 goroutines \[chan receive\]: \d+, \d+, \d+\n`, r.stdout)
	r = e.run("thread-dump", "--server", "hung", "--worker-id", "2")
	require.Regexp(t, `=== hung worker 2: busy \w+ \d+: simulated \w+ \d+, hangs\n1 goroutine \[chan receive\]: \d+\nlabels: .*fleetcast_worker=2\n`, r.stdout)
	require.Contains(t, r.stdout, "worker/demo.hang\n\t")
	require.Contains(t, hung.stderr.String(), "demo.hang", "it is in the log, too")

	r = e.run("thread-dump", "--server", "hung", "--worker-id", "2", "--raw")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `(?m)^goroutine \d+ \[chan receive labels:\{.*"fleetcast_worker": "2"`, r.stdout)
	require.NotContains(t, r.stdout, `"fleetcast_worker": "1"`)

	r = e.run("thread-dump", "--server", "hung", "--process")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `3 goroutines \[chan receive\]: \d+, \d+, \d+\nlabels: .*fleetcast_worker=\d,\d,\d\n`, r.stdout, "equal stacks once")
	require.Contains(t, r.stdout, "event.(*tail).session", "the listener is there")
	require.Contains(t, e.run("publish", "logger", "thread_dump", "--server", "hung").stdout, "event.(*tail).session")
}

func TestThreadDumpDiff(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--workers", "1", "--demo-hang", "1")
	e.await("work", func() bool { return e.servers()["a"].busy() == 1 })
	r := e.run("thread-dump", "--diff", "10ms")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "1 goroutine at the same place after 10ms, 0 moved, 0 ended, 0 new")
	require.Contains(t, r.stdout, "worker/demo.hang\n\t")

	r = e.run("thread-dump", "--diff", "10ms", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	var out struct {
		EventIDs []string `json:"event_ids"`
		Servers  []struct {
			Server   string `json:"server"`
			WorkerID int    `json:"worker_id"`
			Still    []struct {
				ID    int    `json:"id"`
				State string `json:"state"`
				Stack string `json:"stack"`
			} `json:"still"`
		} `json:"servers"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out), r.stdout)
	require.Len(t, out.EventIDs, 2)
	require.Len(t, out.Servers, 1)
	require.Equal(t, 1, out.Servers[0].WorkerID)
	require.Len(t, out.Servers[0].Still, 1)
	require.Contains(t, out.Servers[0].Still[0].Stack, "demo.hang")
	require.Equal(t, 2, e.run("thread-dump", "--diff", "1s", "--raw").code)
}

type diffed struct {
	Servers []struct {
		ServerID string `json:"server_id"`
		Server   string `json:"server"`
		New      bool   `json:"new"`
		Still    []struct {
			Stack string `json:"stack"`
		} `json:"still"`
		Moved int `json:"moved"`
	} `json:"servers"`
}

// TestThreadDumpDiffOfHealthyWorkers: all work waits at the same place, but only that
// which hangs is the same work.
func TestThreadDumpDiffOfHealthyWorkers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("healthy", "--workers", "2")
	e.server("hung", "--workers", "1", "--demo-hang", "1")
	e.await("work", func() bool { return e.servers()["healthy"].busy() == 2 && e.servers()["hung"].busy() == 1 })
	r := e.run("thread-dump", "--diff", "5s", "-o", "json") // a unit takes at most four
	require.Zero(t, r.code, r.stderr)
	var out diffed
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out), r.stdout)
	require.Len(t, out.Servers, 3)
	require.Equal(t, "hung", out.Servers[0].Server, "what stands still is first")
	require.Len(t, out.Servers[0].Still, 1)
	require.Contains(t, out.Servers[0].Still[0].Stack, "demo.hang")
	for _, s := range out.Servers[1:] {
		require.Empty(t, s.Still)
		require.Equal(t, 1, s.Moved)
	}
}

// TestThreadDumpDiffOfRestartedServer: the successor has the same name, and numbers
// its goroutines anew.
func TestThreadDumpDiffOfRestartedServer(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.server("a", "--workers", "1", "--shutdown-timeout", "100ms")
	diff := e.start("thread-dump", "--process", "--diff", "20s", "-o", "json")
	e.awaitText("the first dump", diff.stderr, "the second dump comes")
	a.end(syscall.SIGTERM)
	e.server("a", "--workers", "1")
	<-diff.exited
	require.Zero(t, diff.code, diff.stderr)
	var out diffed
	require.NoError(t, json.Unmarshal([]byte(diff.stdout.String()), &out), diff.stdout)
	require.Len(t, out.Servers, 1)
	require.Equal(t, e.servers()["a"].ID, out.Servers[0].ServerID)
	require.True(t, out.Servers[0].New)
	require.Empty(t, out.Servers[0].Still)
}

// TestLargeThreadDump is larger than what one reply carries.
func TestLargeThreadDump(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const workers = 300
	e.server("a", "--workers", "300", "--demo-hang", "1")
	e.await("work", func() bool { return e.servers()["a"].busy() == workers })
	r := e.run("thread-dump")
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, 1, strings.Count(r.stdout, "=== "), "300 workers that hang alike are shown once")
	s := e.call(0, "thread-dump")
	require.Greater(t, len(s.Replies[0].Payload), 256<<10)
	var dump struct {
		Workers []struct {
			ID    int    `json:"id"`
			Stack string `json:"stack"`
		} `json:"workers"`
	}
	require.NoError(t, json.Unmarshal(s.Replies[0].Payload, &dump))
	require.Len(t, dump.Workers, workers)
	for _, w := range dump.Workers {
		require.Contains(t, w.Stack, "demo.hang")
	}
}
