package integration

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDev is the README's first command, and a separate server that joins it.
func TestDev(t *testing.T) {
	t.Parallel()
	e := &env{t: t}
	dev := e.start("dev", "--store-addr", "127.0.0.1:0", "--console-addr", "127.0.0.1:0", "--no-color")
	e.awaitText("dev to be up", dev.stdout, "fleetcast is up: 3 servers with 4 workers each")
	_, rest, _ := strings.Cut(dev.stdout.String(), "FLEETCAST_URI=")
	e.uri, _, _ = strings.Cut(rest, "\n")

	servers := e.servers()
	require.Len(t, servers, 3)
	for _, s := range servers {
		require.Len(t, s.Workers, 4)
		require.Equal(t, "running", s.Lifecycle)
		require.False(t, s.Deaf || s.Lost)
	}
	joined := e.server("joined")
	require.Equal(t, 4, e.call(0, "pause").Done)
	require.Equal(t, 4, e.call(0, "resume").Done)
	require.Equal(t, 1, e.call(0, "stop", "--server", "dev-2").Done)
	require.NotContains(t, e.servers(), "dev-2")
	require.Equal(t, 1, e.call(0, "kill", "--server", "dev-3").Done)
	require.Len(t, e.servers(), 2)
	require.Zero(t, joined.end(syscall.SIGTERM))
	require.Zero(t, dev.end(syscall.SIGTERM), dev.stderr)
}

// TestDevInAHurry gives the second signal while work goes on.
func TestDevInAHurry(t *testing.T) {
	t.Parallel()
	e := &env{t: t}
	dev := e.start("dev", "--store-addr", "127.0.0.1:0", "--console-addr", "127.0.0.1:0", "--workers", "50", "--no-color")
	e.awaitText("dev to be up", dev.stdout, "fleetcast is up")
	_, rest, _ := strings.Cut(dev.stdout.String(), "FLEETCAST_URI=")
	e.uri, _, _ = strings.Cut(rest, "\n")
	e.await("work", func() bool { return e.servers()["dev-1"].busy() > 40 })
	require.NoError(t, dev.cmd.Process.Signal(syscall.SIGINT))
	e.await("the first signal's effect", func() bool { return e.servers()["dev-1"].Lifecycle != "running" })
	require.Equal(t, 5, dev.end(syscall.SIGINT), dev.stderr)
}

// TestDataSurvivesARestart keeps the data in a folder.
func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := &env{t: t}
	var shown []string
	for range 2 {
		store := e.start("store", "--store-addr", "127.0.0.1:0", "--data-dir", dir)
		uri, err := store.line(patience)
		require.NoError(t, err)
		e.uri = uri
		a := e.server("a")
		require.Equal(t, 1, e.call(0, "publish", "server", "refresh").Done)
		r := e.run("events", "--since", "1h", "--follow=false", "--replies=false")
		shown = append(shown, r.stdout)
		require.Zero(t, a.end(syscall.SIGTERM))
		require.Zero(t, store.end(syscall.SIGTERM))
	}
	require.Equal(t, 1, strings.Count(shown[0], "refresh"))
	require.Equal(t, 2, strings.Count(shown[1], "refresh"), shown[1])
}

// TestPollingFleet runs on ordinary collections, as on a store without tailable
// cursors; processes that are told nothing find that out.
func TestPollingFleet(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a", "--strategy", "polling")
	e.server("b")
	require.Equal(t, 2, e.call(0, "pause").Done)
	e.await("both shown as paused", func() bool { s := e.servers(); return s["a"].Paused && s["b"].Paused })
	r := e.run("events", "--since", "1h", "--follow=false")
	require.Contains(t, r.stdout, "server pause")
	require.Contains(t, r.stdout, "done")
	require.Equal(t, 1, e.run("pause", "--strategy", "capped").code)
}

// TestServerSurvivesTheDatabase kills the store under a working server.
func TestServerSurvivesTheDatabase(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddress(t)
	e := &env{t: t, uri: "mongodb://" + addr + "/survives"}
	start := func() *process {
		store := e.start("store", "--store-addr", addr, "--data-dir", dir)
		_, err := store.line(patience)
		require.NoError(t, err)
		return store
	}
	store := start()
	a := e.server("a", "--workers", "1")
	id := e.servers()["a"].ID
	require.Equal(t, 1, e.call(0, "pause").Done)
	store.end(syscall.SIGKILL)
	e.awaitText("a word about it", a.stderr, "trying again until it")
	start()
	e.await("the server to hear again", func() bool { return e.run("resume", "--wait", "1s").code == 0 })
	e.await("the resume in the registry", func() bool { s := e.servers()["a"]; return !s.Paused && !s.Deaf && !s.Lost })
	require.Equal(t, id, e.servers()["a"].ID, "the same process")
	require.NotContains(t, a.stderr.String(), "gap")
	require.Zero(t, a.end(syscall.SIGTERM))
}
