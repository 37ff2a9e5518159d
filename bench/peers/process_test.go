package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var ourPID = os.Getpid()

// descendants returns the processes below one, whatever their group is.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	if len(stats) == 0 {
		t.Skip("absent: /proc, to look for processes that are left")
	}
	children := map[int][]int{}
	for _, file := range stats {
		if child, parent, ok := parentOf(file); ok {
			children[parent] = append(children[parent], child)
		}
	}
	var all []int
	for next := children[pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0]]...)
	}
	return all
}

// parentOf reads "pid (name) state parent ..."; it is false when the process has gone.
func parentOf(stat string) (child, parent int, ok bool) {
	data, err := os.ReadFile(stat)
	if err != nil {
		return 0, 0, false
	}
	var state string
	_, err = fmt.Sscan(string(data[bytes.LastIndexByte(data, ')')+1:]), &state, &parent)
	child, errPID := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
	return child, parent, err == nil && errPID == nil
}

// startMain runs the program in a process, on a task without an end, until its
// fleet is up; it returns the process and all that it has started.
func startMain(t *testing.T, contender, dir string) (cmd *exec.Cmd, started []int) {
	t.Helper()
	cmd = exec.Command(os.Args[0], "-only", contender, "-n", "2", "-rounds", "100000000", "-budget", "10m")
	cmd.Env = append(os.Environ(), asMain+"=1", "TMPDIR="+dir)
	progress, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(progress); !strings.Contains(lines.Text(), "up after"); {
		require.True(t, lines.Scan(), "the fleet is not up")
	}
	started = descendants(t, cmd.Process.Pid)
	require.GreaterOrEqual(t, len(started), 2)
	return cmd, started
}

func alive(pids []int) (left []int) {
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil && !zombie(pid) {
			left = append(left, pid)
		}
	}
	return left
}

// zombie reports whether a process has ended and nobody has asked for its status.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestInterruptEndsAll(t *testing.T) {
	dir := t.TempDir()
	cmd, started := startMain(t, "nats", dir)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	require.Equal(t, 130, cmd.ProcessState.ExitCode())
	require.Empty(t, alive(started))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "temporary folders are removed")
}

// TestKilledHarness is about our own processes, and about those under a keeper.
func TestKilledHarness(t *testing.T) {
	for _, contender := range []string{"nats", "redis"} {
		t.Run(contender, func(t *testing.T) {
			if _, err := exec.LookPath("redis-server"); err != nil && contender == "redis" {
				t.Skip("absent: redis-server")
			}
			cmd, started := startMain(t, contender, t.TempDir())
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			require.Eventually(t, func() bool { return len(alive(started)) == 0 }, time.Minute, 50*time.Millisecond)
		})
	}
}

func TestProcessThatDoesNotStart(t *testing.T) {
	s := newTestSite(t)
	_, _, err := s.startProgram(t.Context(), "never", nil, "sh", "-c", "echo first; echo why >&2; exit 3")
	require.ErrorContains(t, err, "first\nwhy")
	_, _, err = s.startProgram(t.Context(), "never", nil, "/no/such/program")
	require.ErrorContains(t, err, "no such file")
}

// TestKeeperEndsTheGroup: what a kept program has started ends with it, though it
// ignores a polite request.
func TestKeeperEndsTheGroup(t *testing.T) {
	s := newTestSite(t)
	p, line, err := s.startProgram(t.Context(), "child", nil, "sh", "-c", `trap "" TERM; sleep 1000 & echo child $!; wait; wait`)
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimPrefix(line, "child "))
	require.NoError(t, err)
	require.NotEmpty(t, alive([]int{child}))
	p.end()
	require.Empty(t, alive([]int{child}))
}
