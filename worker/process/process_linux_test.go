package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/worker"
)

// forever is a script's way to wait; its sleep is a child of the script.
const forever = `while :; do sleep 1000 & wait $!; done`

func TestBadConfig(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("#!/bin/sh\n"), 0o644))
	for want, cfg := range map[string]Config{
		"no command to run":             {},
		"is not in PATH":                {Command: []string{"fleetcast-no-such-command"}},
		"no such file":                  {Command: []string{"./nothing.sh"}, Dir: dir},
		"chmod +x":                      {Command: []string{"./plain"}, Dir: dir},
		"does not exist, or is none":    {Command: []string{"true"}, Dir: filepath.Join(dir, "x")},
		`environment "X": write KEY=va`: {Command: []string{"true"}, Env: []string{"X"}},
	} {
		_, err := Source(cfg)
		require.ErrorContains(t, err, want)
	}
}

func TestFilter(t *testing.T) {
	source, err := Source(Config{Command: []string{"/bin/sh", "-c", "exit 1"}})
	require.NoError(t, err)
	_, err = source.Take(t.Context(), worker.Filter{Exclude: []string{"sh"}})
	require.ErrorIs(t, err, worker.ErrNoWork)
}

func TestOneCopy(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "import.sh"), []byte(`#!/bin/sh
echo "server $FLEETCAST_SERVER_ID worker $FLEETCAST_WORKER_ID extra $EXTRA args $*"
pwd >&2
echo pid $$
grep -E '^(SigIgn|SigBlk)' /proc/self/status
read nothing || echo no input
exec sleep 1000
`), 0o755))
	f := scripts(t, 1, "", func(cfg *Config) {
		*cfg = Config{Command: []string{"./import.sh", "a b", "c"}, Dir: dir, Env: []string{"EXTRA=1"}, ServerID: "abc"}
	})
	f.awaitLine("no input")
	pid := f.awaitLine("pid ")
	require.Equal(t, []string{
		"server abc worker 1 extra 1 args a b c",
		"pid " + pid,
		"SigBlk:\t0000000000000000",
		ignoredHere(t), // what the guard ignores is its own matter
		"no input",
	}, f.printed("stdout"))
	f.awaitLine(dir)
	require.Equal(t, []string{dir}, f.printed("stderr"))
	w := f.Workers()[0]
	require.Equal(t, []any{worker.Busy, "import.sh", pid, "./import.sh a b c"}, []any{w.State, w.Kind, w.WorkID, w.Description})
	require.Equal(t, logLine{Level: "info", Message: "process started", Kind: "import.sh", Worker: 1, WorkID: pid}, f.log.lines(t)[0])
	require.Contains(t, f.log.lines(t),
		logLine{Level: "info", Message: dir, Stream: "stderr", Kind: "import.sh", Worker: 1, WorkID: pid})

	f.Stop(0)
	require.NoError(t, f.result())
	awaitDead(t, pid)
	lines := f.log.lines(t)
	require.Equal(t, "process ended", lines[len(lines)-1].Message)
	require.Equal(t, "signal: terminated", lines[len(lines)-1].Reason)
}

// ignoredHere is the line on the signals that this process ignores, as whoever
// started it may have told it to; its children inherit that.
func ignoredHere(t *testing.T) string {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "SigIgn") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("no SigIgn in /proc/self/status")
	return ""
}

// A copy that ends is started again, and the log says why it ended.
func TestRestart(t *testing.T) {
	for script, want := range map[string]logLine{
		"exit 3":      {Level: "error", Message: "work failed", Error: "exit status 3"},
		"kill -9 $$":  {Level: "error", Message: "work failed", Error: "signal: killed"},
		"exit 0":      {Level: "info", Message: "process ended", Reason: "exit status 0"},
		"kill -15 $$": {Level: "error", Message: "work failed", Error: "signal: terminated"}, // nobody asked for it
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			f := scripts(t, 1, "echo start; "+script)
			await(t, "a second copy", func() bool { return len(f.printed("stdout")) == 2 })
			want.Kind, want.Worker = "sh", 1
			want.WorkID = f.log.lines(t)[0].WorkID
			require.Equal(t, want, f.log.lines(t)[2])
			require.True(t, f.has("the command is started again"))
			require.Equal(t, 1, f.Workers()[0].ID, "by the same worker")
		})
	}
}

func TestStopIsGraceful(t *testing.T) {
	f := scripts(t, 2, `trap 'kill $!; echo bye $FLEETCAST_WORKER_ID; exit 1' TERM; echo ready $FLEETCAST_WORKER_ID; `+forever)
	f.awaitLine("ready 1")
	f.awaitLine("ready 2")
	require.NoError(t, f.StopWorker(t.Context(), 1))
	f.awaitLine("bye 1")
	f.awaitLine("ready 3")
	f.Stop(0)
	require.NoError(t, f.result())
	f.awaitLine("bye 2")
	f.awaitLine("bye 3")
}

// The end of a stop's time-out is the end of what ignores TERM.
func TestStopOfDeafProgram(t *testing.T) {
	f := scripts(t, 1, `trap '' TERM; sleep 1000 & echo child $!; echo pid $$; `+forever)
	pids := []string{f.awaitLine("child "), f.awaitLine("pid ")}
	f.Stop(100 * time.Millisecond)
	require.NoError(t, f.result(), "it is not abandoned")
	awaitDead(t, pids...)
	lines := f.log.lines(t)
	require.Equal(t, worker.ErrStopTimeout.Error(), lines[len(lines)-1].Error)
}

// deafFamily is a script whose children and grandchildren ignore all but KILL.
const deafFamily = `trap '' HUP INT QUIT TERM USR1
sh -c 'sh -c "echo grandchild \$\$; while :; do sleep 1000; done" & echo child $$; while :; do sleep 1000; done' &
echo pid $$
while :; do sleep 1000; done`

func (f *fleet) family() []string {
	return []string{f.awaitLine("grandchild "), f.awaitLine("child "), f.awaitLine("pid ")}
}

func TestKillEndsTheWholeGroup(t *testing.T) {
	f := scripts(t, 1, deafFamily)
	pids := f.family()
	guard := groupOf(t, pids[0])
	requireAlive(t, append(pids, strconv.Itoa(guard))...)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTSTP} {
		require.NoError(t, syscall.Kill(-guard, s))
	}
	await(t, "the group to be halted", func() bool { return condition(pids[2]) == "T" })
	require.Equal(t, "S", condition(strconv.Itoa(guard)), "but for the guard")

	status, err := f.KillWorker(t.Context(), 1, patience)
	require.NoError(t, err)
	require.Equal(t, worker.Stopped, status.State)
	awaitDead(t, append(pids, strconv.Itoa(guard))...)
	await(t, "another copy", func() bool { return len(f.Workers()) == 1 && f.Workers()[0].ID == 2 })
}

func groupOf(t *testing.T, pid string) int {
	n, err := strconv.Atoi(pid)
	require.NoError(t, err)
	group, err := syscall.Getpgid(n)
	require.NoError(t, err)
	require.NotEqual(t, syscall.Getpgrp(), group)
	return group
}

// What a program leaves behind does not outlive it.
func TestRestOfTheGroupIsKilled(t *testing.T) {
	f := scripts(t, 1, `sleep 1000 & echo child $!; exit 0`)
	awaitDead(t, f.awaitLine("child "))
	await(t, "the end", func() bool { return f.has("process ended") })
}

// A daemon that has the pipe holds up nobody for long, and nothing that the
// program has printed is lost.
func TestDaemonKeepsThePipe(t *testing.T) {
	f := scripts(t, 1, `[ -e began ] && exec sleep 1000
setsid sh -c 'echo daemon $$; : >began; while :; do sleep 1000; done' &
until [ -e began ]; do sleep 0.01; done
printf 'last words'`, func(cfg *Config) { cfg.Dir = t.TempDir() })
	daemon := f.awaitLine("daemon ")
	pid, err := strconv.Atoi(daemon)
	require.NoError(t, err)
	defer func() { _ = syscall.Kill(-pid, syscall.SIGKILL) }()
	await(t, "the end", func() bool { return f.has("process ended") })
	f.awaitLine("last words")
	requireAlive(t, daemon)
}

func TestNoLineIsLost(t *testing.T) {
	const n = 20_000
	f := scripts(t, 1, fmt.Sprintf(`seq 1 %d; seq 1 %[1]d >&2; printf end`, n))
	stdout, stderr := f.firstCopy()
	require.Len(t, stdout, n+1)
	require.Len(t, stderr, n)
	for i := range n {
		if want := strconv.Itoa(i + 1); stdout[i] != want || stderr[i] != want {
			require.Fail(t, "lines are missing", "%s: %s, %s", want, stdout[i], stderr[i])
		}
	}
	require.Equal(t, "end", stdout[n])
}

func TestLongAndBinaryLines(t *testing.T) {
	const long = 3*maxLine + 10
	f := scripts(t, 1, fmt.Sprintf(`head -c %d /dev/zero | tr '\0' x; echo; head -c 300000 /dev/urandom >&2; printf 'a\0b\r\n'`, long))
	stdout, stderr := f.firstCopy()
	require.Equal(t, strings.Repeat("x", long), strings.Join(stdout[:len(stdout)-1], ""))
	require.Len(t, stdout, 5)
	require.Equal(t, "a\x00b", stdout[4])
	require.NotEmpty(t, stderr)
	require.True(t, utf8.ValidString(f.log.String()))
}

func TestPauseOfProgramThatHandlesIt(t *testing.T) {
	f := scripts(t, 1, `trap 'echo holds' TSTP; trap 'echo goes on' CONT; echo ready; `+forever)
	f.awaitLine("ready")
	f.Pause()
	f.awaitLine("holds")
	require.Equal(t, []worker.State{worker.Paused}, f.states())
	f.Resume()
	f.awaitLine("goes on")
	require.Equal(t, []worker.State{worker.Busy}, f.states())
	f.Quiet()
	await(t, "the pause signal again", func() bool { return strings.Count(strings.Join(f.printed("stdout"), "\n"), "holds") == 2 })
	f.Stop(0)
	require.NoError(t, f.result())
}

// A program that knows nothing of TSTP is halted; what it has started goes on.
func TestPauseHalts(t *testing.T) {
	for name, s := range map[string]os.Signal{"by default": nil, "STOP": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			f := scripts(t, 1, `echo pid $$; `+forever, func(cfg *Config) { cfg.PauseSignal = s })
			pid := f.awaitLine("pid ")
			f.Pause()
			await(t, "the halt", func() bool { return condition(pid) == "T" })
			f.Resume()
			await(t, "it to go on", func() bool { return condition(pid) != "T" })
			requireAlive(t, pid)
			f.Pause()
			await(t, "the halt", func() bool { return condition(pid) == "T" })
			f.Stop(0) // reaches what is halted
			require.NoError(t, f.result())
			awaitDead(t, pid)
		})
	}
}

func TestThreadDump(t *testing.T) {
	f := scripts(t, 2, `trap 'echo "thread main"; echo "  at $FLEETCAST_WORKER_ID" >&2' USR1; echo ready $FLEETCAST_WORKER_ID; `+forever,
		func(cfg *Config) { cfg.DumpSignal = syscall.SIGUSR1 })
	f.awaitLine("ready 1")
	f.awaitLine("ready 2")
	stacks, err := f.Stacks()
	require.NoError(t, err)
	for i, s := range stacks {
		require.Contains(t, s.Text, fmt.Sprintf("worker %d, busy with sh %s:\n\n", i+1, s.Worker.WorkID))
		require.Contains(t, s.Text, "thread main\n")
		require.Contains(t, s.Text, fmt.Sprintf("  at %d\n", i+1))
		require.NotContains(t, s.Text, "goroutine")
	}
	require.Equal(t, 2, strings.Count(strings.Join(f.printed("stdout"), "\n"), "thread main"), "it is logged as well")
}

func TestThreadDumpWithoutAnswer(t *testing.T) {
	f := scripts(t, 1, `echo ready; `+forever)
	f.awaitLine("ready")
	stacks, err := f.Stacks(1)
	require.ErrorContains(t, err, "no dump of worker 1: no dump signal is set")
	require.ErrorContains(t, err, "--dump-signal")
	require.Contains(t, stacks[0].Text, "--dump-signal")

	f = scripts(t, 1, `trap '' USR1; echo pid $$; `+forever, func(cfg *Config) { cfg.DumpSignal = syscall.SIGUSR1 })
	pid := f.awaitLine("pid ")
	f.Pause()
	await(t, "the halt", func() bool { return condition(pid) == "T" })
	stacks, err = f.Stacks(1)
	require.NoError(t, err)
	require.Contains(t, stacks[0].Text, "printed nothing")
	require.Contains(t, stacks[0].Text, "It is paused")
}

// A program that the dump signal ends has its last words in the dump.
func TestThreadDumpOfProgramThatEnds(t *testing.T) {
	f := scripts(t, 1, `trap 'echo last words; exit 0' USR1; echo ready; `+forever, func(cfg *Config) { cfg.DumpSignal = syscall.SIGUSR1 })
	f.awaitLine("ready")
	stacks, err := f.Stacks(1)
	require.NoError(t, err)
	require.Contains(t, stacks[0].Text, "last words\n")
}

func TestManyCopies(t *testing.T) {
	f := scripts(t, 20, `echo ready $FLEETCAST_WORKER_ID; exec sleep 1000`)
	await(t, "20 copies", func() bool { return len(f.printed("stdout")) == 20 })
	changed, err := f.Resize(5)
	require.NoError(t, err)
	require.True(t, changed)
	await(t, "5 copies", func() bool { return len(f.Workers()) == 5 })
	var pids []string
	for _, w := range f.Workers() {
		require.LessOrEqual(t, w.ID, 5)
		pids = append(pids, w.WorkID)
	}
	f.Kill(patience)
	require.NoError(t, f.result())
	awaitDead(t, pids...)
}

// A command that has gone since is a failure that the pool logs and tries again.
func TestCommandThatHasGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gone.sh")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755))
	source, err := Source(Config{Command: []string{file}})
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	_, err = source.Take(context.Background(), worker.Filter{})
	require.ErrorContains(t, err, "no such file")
}
