package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// execFleet is a server that allows all, one that allows some commands, and one
// that allows none.
func execFleet(t *testing.T) *env {
	e := newEnv(t)
	e.server("open", "--workers", "1", "--allow-exec", "--label", "service=web", "--label", "tag=eu-1")
	e.server("some", "--workers", "1", "--exec-pattern", "echo *", "--label", "service=db")
	e.server("none", "--workers", "1", "--label", "service=web")
	return e
}

func TestExec(t *testing.T) {
	t.Parallel()
	e := execFleet(t)
	r := e.run("exec", "--", "echo", "hello", "fleet")
	require.Zero(t, r.code, r.stderr)
	require.ElementsMatch(t, []string{"open: hello fleet", "some: hello fleet"}, strings.Split(strings.TrimSpace(r.stdout), "\n"))
	require.Contains(t, r.stderr, "1 server meant, too, but not started with --allow-exec: none")
	require.Contains(t, r.stderr, "2 servers matched, 2 done")

	// By labels, as -service and -tag of consul exec.
	r = e.run("exec", "--service", "w*", "--tag", "eu-*", "--", "printenv", "FLEETCAST_SERVER")
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, "open: open\n", r.stdout)
	require.Equal(t, 3, e.run("exec", "--service", "cache", "--", "true").code)
	require.Equal(t, 3, e.run("exec", "--server", "none", "--", "true").code)

	// A command that fails is no failure of exec, unless that is wanted.
	command := []string{"--server", "open", "--shell", "--env", "A=b", "--dir", t.TempDir(), "--", "echo $A >&2; pwd; exit 3"}
	r = e.run(append([]string{"exec"}, command...)...)
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "open: b\n")
	require.Contains(t, r.stdout, "open: "+os.TempDir())
	require.Contains(t, r.stderr, "open: exit code 3\n")
	require.Contains(t, r.stderr, "otherwise on 1 (open: 3)")
	require.Equal(t, 1, e.run(append([]string{"exec", "--fail-on-exit"}, command...)...).code)

	// What is not allowed is refused, visibly.
	r = e.run("exec", "--server", "some", "--", "rm", "-rf", "/nothing")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stdout, "refused")
	require.Contains(t, r.stdout, "these commands only: echo *")
	require.Equal(t, 1, e.run("exec", "--server", "some", "--shell", "--", "echo x").code)

	// Silence for too long, and a minimum of servers.
	r = e.run("exec", "--server", "open", "--wait", "200ms", "--", "sleep", "600")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "open: ended by the server, because it printed nothing for 200ms")
	r = e.run("exec", "--min-servers", "3", "--run-limit", "1ms", "--server", "open", "--dry-run", "--", "true")
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, 2, e.run("exec").code)
	require.Equal(t, 2, e.run("exec", "--shell", "--", "echo", "x").code)
}

// TestExecInBatches goes on when all of a batch have answered, and stops when the
// command has failed too often.
func TestExecInBatches(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, name := range []string{"a", "b", "c"} {
		e.server(name, "--workers", "1", "--allow-exec")
	}
	r := e.run("exec", "--batch", "2", "echo", "hello")
	require.Zero(t, r.code, r.stderr)
	require.ElementsMatch(t, []string{"a: hello", "b: hello", "c: hello"}, strings.Split(strings.TrimSpace(r.stdout), "\n"))
	require.True(t, strings.HasSuffix(r.stdout, "c: hello\n"), "last")
	require.Contains(t, r.stderr, "3 servers matched, 3 done")

	text := `echo $FLEETCAST_SERVER; [ $FLEETCAST_SERVER != b ]`
	r = e.run("exec", "--batch", "1", "--fail-on-exit", "-o", "json", "--shell", text)
	require.Equal(t, 1, r.code, r.stderr)
	var out struct {
		Done      int            `json:"done"`
		Exits     map[string]int `json:"exits"`
		Untouched []string       `json:"untouched_servers"`
		Output    []struct{ Server, Stdout string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out), r.stdout)
	require.Equal(t, 2, out.Done)
	require.Equal(t, map[string]int{"0": 1, "1": 1}, out.Exits)
	require.Equal(t, []string{"c"}, out.Untouched)
	require.Equal(t, []struct{ Server, Stdout string }{{"a", "a\n"}, {"b", "b\n"}}, out.Output)
	require.Contains(t, r.stderr, "stopped after batch 2")

	require.Zero(t, e.run("exec", "--batch", "1", "--shell", text).code, "the command's own business")
	require.Zero(t, e.run("exec", "--batch", "1", "--dry-run", "true").code)
	require.Equal(t, 2, e.run("exec", "--batch", "1", "--min-servers", "2", "true").code)
}

func TestExecAsJSON(t *testing.T) {
	t.Parallel()
	e := execFleet(t)
	r := e.run("exec", "-o", "json", "--server", "open", "--shell", "--", "echo a; echo b >&2; exit 4")
	require.Zero(t, r.code, r.stderr)
	var out struct {
		summary
		Exits  map[string]int `json:"exits"`
		Output []struct {
			Server, Stdout, Stderr string
		} `json:"output"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out), r.stdout)
	require.Equal(t, []int{1, 1}, []int{out.Matched, out.Done})
	require.Equal(t, map[string]int{"4": 1}, out.Exits)
	require.Equal(t, "a\n", out.Output[0].Stdout)
	require.Equal(t, "b\n", out.Output[0].Stderr)
	require.JSONEq(t, `{"exit_code": 4, "output_bytes": 4}`, string(out.Replies[0].Payload))

	r = e.run("exec", "-o", "jsonl", "--", "echo", "a")
	types := map[string]int{}
	for line := range strings.Lines(r.stdout) {
		var entry struct{ Type, Kind, Data string }
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		types[entry.Type+entry.Kind]++
	}
	require.Equal(t, map[string]int{"output": 2, "replyack": 2, "replydone": 2, "summary": 1}, types)
}

// TestExecOnAServerThatIsKilled: nobody waits for it until --run-limit.
func TestExecOnAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	dies := e.server("dies", "--workers", "1", "--allow-exec", "--heartbeat", "500ms")
	e.server("lives", "--workers", "1", "--allow-exec", "--heartbeat", "500ms")
	text := `echo begun; if [ $FLEETCAST_SERVER = dies ]; then sleep 600; fi`
	caller := e.start("exec", "--wait", "0", "--run-limit", "10m", "--shell", "--", text)
	e.awaitText("the command to run", caller.stdout, "dies: begun")
	require.Equal(t, -1, dies.end(syscall.SIGKILL))
	select {
	case <-caller.exited:
	case <-time.After(patience):
		t.Fatal("it still waits")
	}
	require.Equal(t, 4, caller.code, caller.stderr)
	require.Contains(t, caller.stderr.String(), "dies is gone (lost, or it has left): not waiting for it\n")
	require.Regexp(t, `(?m)^dies +missing +had heard the event, and is gone`, caller.stdout)
	require.Contains(t, caller.stderr.String(), "2 servers matched, 1 done, 1 missing, 1 of them gone in ")
	r := e.run("audit", "--action", "run", "-o", "json")
	require.Contains(t, r.stdout, `"state": "incomplete"`)
	require.Contains(t, r.stdout, `"gone": true`)
}

// TestExecEndsWithItsCaller is interrupted, and killed: the commands end.
func TestExecEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	e := execFleet(t)
	for name, signal := range map[string]syscall.Signal{"interrupted": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			caller := e.start("exec", "--server", "open", "--wait", "0", "--shell", "--", "echo $$ >"+file+"; echo begun; sleep 600")
			e.awaitText("the command to run", caller.stdout, "begun")
			pid, err := os.ReadFile(file)
			require.NoError(t, err)
			code := caller.end(signal)
			if signal == syscall.SIGINT {
				require.Equal(t, 130, code)
			}
			e.await("the command to end", func() bool {
				_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
				return err != nil
			})
		})
	}
}
