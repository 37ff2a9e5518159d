package subscribers_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/subscribers"
)

// host is a server that runs commands, and its caller.
type host struct {
	*testing.T
	bus *event.Bus
}

func newHost(t *testing.T, allow ...string) *host {
	x, err := subscribers.NewExec(allow, []string{"FLEETCAST_SERVER=a"})
	require.NoError(t, err)
	bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{
		Directory: everybody{}, Identity: event.Identity{ServerID: serverID},
	})
	_, err = bus.Subscribe(x)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = bus.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	<-bus.Listening()
	return &host{t, bus}
}

// ran is how a command went.
type ran struct {
	subscribers.ExecResult
	stdout, stderr bytes.Buffer
	chunks         int
	cut            int // of these, within a character
	reply          event.Reply
}

func (h *host) run(p subscribers.ExecParameters) *ran {
	h.Helper()
	return h.runWith(h.Context(), p)
}

func (h *host) runWith(ctx context.Context, p subscribers.ExecParameters) *ran {
	h.Helper()
	fields := bson.M{"command": p.Command, "shell": p.Shell, "env": p.Env, "dir": p.Dir}
	if p.Wait != 0 {
		fields["wait"] = p.Wait
	}
	if p.Limit != 0 {
		fields["limit"] = p.Limit
	}
	if p.MaxOutput != 0 {
		fields["max_output"] = p.MaxOutput
	}
	r := &ran{}
	_, _ = h.bus.CallFunc(ctx, event.New("exec", "run", fields), event.Callbacks{
		OnOutput: func(reply event.Reply) {
			var out subscribers.ExecOutput
			require.NoError(h, reply.Result(&out))
			map[string]*bytes.Buffer{"stdout": &r.stdout, "stderr": &r.stderr}[out.Stream].Write(out.Data)
			r.chunks++
			if !utf8.Valid(out.Data) {
				r.cut++
			}
		},
		OnExit: func(reply event.Reply) {
			r.reply = reply
			if reply.Kind == event.Done {
				require.NoError(h, reply.Result(&r.ExecResult))
			}
		},
	}, event.Lease(), event.Wait(time.Minute))
	return r
}

func shell(line string) subscribers.ExecParameters {
	return subscribers.ExecParameters{Command: []string{line}, Shell: true}
}

func TestExec(t *testing.T) {
	h := newHost(t)
	r := h.run(subscribers.ExecParameters{Command: []string{"echo", "two words", "$HOME"}})
	require.Equal(t, "two words $HOME\n", r.stdout.String(), "there is no shell")
	require.Equal(t, subscribers.ExecResult{OutputBytes: 16}, r.ExecResult)

	r = h.run(shell("echo out; echo err >&2; exit 3"))
	require.Equal(t, event.Done, r.reply.Kind, "the action has not failed")
	require.Equal(t, 3, r.ExitCode)
	require.Equal(t, "out\n", r.stdout.String())
	require.Equal(t, "err\n", r.stderr.String())

	dir := t.TempDir()
	p := shell("pwd; echo $A$FLEETCAST_SERVER; cat")
	p.Dir, p.Env = dir, map[string]string{"A": "b "}
	require.Equal(t, dir+"\nb a\n", h.run(p).stdout.String(), "and stdin is empty")

	r = h.run(shell("kill -9 $$"))
	require.Equal(t, 137, r.ExitCode)
	require.Equal(t, "killed", r.Signal)
	require.Empty(t, r.Killed, "not by the server")

	binary := bytes.Repeat([]byte{0, 0xff, '\n', 0xc3}, 10)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "binary"), binary, 0o600))
	require.Equal(t, binary, h.run(subscribers.ExecParameters{Command: []string{"cat", filepath.Join(dir, "binary")}}).stdout.Bytes())
}

// TestExecHidesTheServersOwnVariables, among them the login to the database, unless the
// caller gives them.
func TestExecHidesTheServersOwnVariables(t *testing.T) {
	t.Setenv("FLEETCAST_URI", "mongodb://user:password@db/")
	t.Setenv("FLEETCAST_CONSOLE_PASSWORD", "x")
	t.Setenv("FLEETCAST_SERVER", "of a server that has started this one")
	t.Setenv("MY_FLEETCAST_NAME", "kept")
	h := newHost(t)
	own := func(p subscribers.ExecParameters) (vars []string) {
		for line := range strings.Lines(h.run(p).stdout.String()) {
			if strings.Contains(line, "FLEETCAST_") {
				vars = append(vars, strings.TrimSpace(line))
			}
		}
		slices.Sort(vars)
		return vars
	}
	p := subscribers.ExecParameters{Command: []string{"env"}}
	require.Equal(t, []string{"FLEETCAST_SERVER=a", "MY_FLEETCAST_NAME=kept"}, own(p))
	p.Env = map[string]string{"FLEETCAST_URI": "mongodb://other/", "FLEETCAST_SERVER": "b"}
	require.Equal(t, []string{"FLEETCAST_SERVER=b", "FLEETCAST_URI=mongodb://other/", "MY_FLEETCAST_NAME=kept"}, own(p))
}

// TestExecOutputIsNotCutWithinACharacter, by chunks or by the limit.
func TestExecOutputIsNotCutWithinACharacter(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(t.TempDir(), "text")
	text := strings.Repeat("€", 40_000)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	p := subscribers.ExecParameters{Command: []string{"cat", file}}
	r := h.run(p)
	require.Equal(t, text, r.stdout.String())
	require.Greater(t, r.chunks, 2)
	require.Zero(t, r.cut)
	p.MaxOutput = 100_000
	r = h.run(p)
	require.Equal(t, text[:99_999], r.stdout.String())
	require.EqualValues(t, 120_000-99_999, r.DroppedBytes)
	require.Zero(t, r.cut)
}

func TestExecOutputComesAsItIsPrinted(t *testing.T) {
	h := newHost(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	fields := bson.M{"command": bson.A{"echo first; read x <" + fifo + "; echo then $x"}, "shell": true, "wait": "0s"}
	var seen []string
	_, err := h.bus.CallFunc(t.Context(), event.New("exec", "run", fields), event.Callbacks{OnOutput: func(reply event.Reply) {
		var out subscribers.ExecOutput
		require.NoError(t, reply.Result(&out))
		seen = append(seen, string(out.Data))
		if len(seen) == 1 { // the command goes on only now
			require.NoError(t, os.WriteFile(fifo, []byte("this\n"), 0o600))
		}
	}}, event.Lease())
	require.NoError(t, err)
	require.Equal(t, []string{"first\n", "then this\n"}, seen)
}

func TestExecLimits(t *testing.T) {
	h := newHost(t)
	t.Run("silence", func(t *testing.T) {
		p := shell("echo begun; sleep 600 & echo $!; wait")
		p.Wait = subscribers.Duration(200 * time.Millisecond)
		r := h.run(p)
		require.Equal(t, "it printed nothing for 200ms", r.Killed)
		require.Equal(t, 137, r.ExitCode)
		_, pid, _ := strings.Cut(strings.TrimSpace(r.stdout.String()), "\n")
		requireGone(t, pid)
	})
	t.Run("output keeps it alive", func(t *testing.T) {
		p := shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done")
		p.Wait = subscribers.Duration(5 * time.Second)
		r := h.run(p)
		require.Empty(t, r.Killed)
		require.Equal(t, "1\n2\n3\n4\n5\n6\n7\n8\n", r.stdout.String())
	})
	t.Run("in all", func(t *testing.T) {
		p := shell("while :; do echo x; sleep 0.01; done")
		p.Limit = subscribers.Duration(300 * time.Millisecond)
		r := h.run(p)
		require.Equal(t, "it took longer than 300ms", r.Killed)
		require.Equal(t, 143, r.ExitCode)
	})
	t.Run("one that ignores its end", func(t *testing.T) {
		p := shell("trap '' TERM; while :; do echo x; sleep 0.01; done")
		p.Limit = subscribers.Duration(100 * time.Millisecond)
		require.Equal(t, 137, h.run(p).ExitCode)
	})
	t.Run("output", func(t *testing.T) {
		p := shell("head -c 3000000 /dev/zero; echo end >&2")
		p.MaxOutput = 100_000
		r := h.run(p)
		require.Zero(t, r.ExitCode, "it is not held up")
		require.EqualValues(t, 3_000_004, r.OutputBytes)
		require.EqualValues(t, 2_900_004, r.DroppedBytes)
		require.Equal(t, 100_000, r.stdout.Len()+r.stderr.Len())
	})
	t.Run("a megabyte", func(t *testing.T) {
		r := h.run(shell("head -c 1048576 /dev/urandom"))
		require.Equal(t, 1<<20, r.stdout.Len())
		require.GreaterOrEqual(t, r.chunks, 32)
	})
	t.Run("what it leaves behind", func(t *testing.T) {
		r := h.run(shell("sleep 600 & echo $!"))
		require.Zero(t, r.ExitCode)
		requireGone(t, strings.TrimSpace(r.stdout.String()))
	})
	t.Run("a daemon that keeps the pipe", func(t *testing.T) {
		r := h.run(shell("setsid sleep 30 & echo $!"))
		require.Zero(t, r.ExitCode)
		pid, err := strconv.Atoi(strings.TrimSpace(r.stdout.String()))
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL), "it has a group of its own, and lives")
	})
}

// requireGone waits until a process has ended, or is only waited for.
func requireGone(t *testing.T, pid string) {
	t.Helper()
	require.NotEmpty(t, pid)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 10*time.Second, time.Millisecond)
}

func TestExecEndsWithItsCaller(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	pid := ""
	e := event.New("exec", "run", bson.M{"command": bson.A{"echo $$; sleep 600"}, "shell": true, "wait": "1h"})
	_, err := h.bus.CallFunc(ctx, e, event.Callbacks{OnOutput: func(reply event.Reply) {
		var out subscribers.ExecOutput
		require.NoError(t, reply.Result(&out))
		pid = strings.TrimSpace(string(out.Data))
		cancel()
	}}, event.Lease())
	require.ErrorIs(t, err, context.Canceled)
	requireGone(t, pid)
}

func TestExecRefuses(t *testing.T) {
	h := newHost(t, "systemctl restart app-*", "/usr/bin/uptime", "echo *", "/usr/*/true", "cat /var/log/*", "tail -n * /var/*/app.log", "true -*")
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600))
	run := func(words ...string) subscribers.ExecParameters { return subscribers.ExecParameters{Command: words} }
	for name, test := range map[string]struct {
		p    subscribers.ExecParameters
		kind event.ReplyKind
		says string
	}{
		"not allowed":             {run("rm", "-rf", "/"), event.Refused, "these commands only: systemctl restart app-*; /usr/bin/uptime; echo *; "},
		"another word":            {run("systemctl", "stop", "app-1"), event.Refused, "these commands only"},
		"more words":              {run("systemctl", "restart", "app-1", "sshd"), event.Refused, "these commands only"},
		"two words in one":        {run("systemctl restart", "app-1"), event.Refused, "these commands only"},
		"arguments of none":       {run("/usr/bin/uptime", "-s"), event.Refused, "these commands only"},
		"another of the name":     {run("/tmp/echo", "x"), event.Refused, "these commands only"},
		"a program elsewhere":     {run("/usr/../true"), event.Refused, "these commands only"},
		"a program far below":     {run("/usr/local/bin/true"), event.Refused, "these commands only"},
		"a file elsewhere":        {run("cat", "/var/log/../../etc/passwd"), event.Refused, "these commands only"},
		"a file far below":        {run("cat", "/var/log/a/b"), event.Refused, "these commands only"},
		"the folder above":        {run("cat", "/var/log/.."), event.Refused, "these commands only"},
		"a wildcard as above":     {run("tail", "-n", "5", "/var/../app.log"), event.Refused, "these commands only"},
		"an option as a wildcard": {run("tail", "-n", "-f/etc/passwd", "/var/log/app.log"), event.Refused, "these commands only"},
		"a path as a wildcard":    {run("tail", "-n", "/etc/passwd", "/var/log/app.log"), event.Refused, "these commands only"},
		"an option that is meant": {run("true", "-n"), event.Done, ""},
		"a program as meant":      {run("/usr/bin/true"), event.Done, ""},
		"a shell":                 {shell("echo x; rm y"), event.Refused, "without shell, env and dir"},
		"an environment":          {subscribers.ExecParameters{Command: []string{"echo", "x"}, Env: map[string]string{"PATH": "/tmp"}}, event.Refused, "without shell"},
		"a folder":                {subscribers.ExecParameters{Command: []string{"echo", "x"}, Dir: "/tmp"}, event.Refused, "without shell"},
		"allowed":                 {run("echo", "a", "b", "c; d"), event.Done, ""},
		"allowed, nothing behind": {run("echo"), event.Done, ""},
		"empty":                   {run(), event.Failed, "command is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.run(test.p)
			require.Equal(t, test.kind, r.reply.Kind, r.reply.Error)
			require.Contains(t, r.reply.Error, test.says)
			require.Equal(t, test.kind == event.Done, len(r.reply.Payload.Value) > 0, "what has not run has no exit code")
		})
	}
	open := newHost(t)
	for name, test := range map[string]struct {
		p    subscribers.ExecParameters
		says string
	}{
		"missing":        {run("no-such-program"), "there is no such program"},
		"missing path":   {run("/no/such"), "there is no such program"},
		"not executable": {run(script), "chmod +x"},
		"no folder":      {subscribers.ExecParameters{Command: []string{"ls"}, Dir: "/no/such"}, "no such directory"},
		"a bad variable": {subscribers.ExecParameters{Command: []string{"ls"}, Env: map[string]string{"a=b": "c"}}, "no name of a variable"},
		"two lines":      {subscribers.ExecParameters{Command: []string{"ls", "x"}, Shell: true}, "it is one line"},
	} {
		t.Run(name, func(t *testing.T) {
			r := open.run(test.p)
			require.Equal(t, event.Failed, r.reply.Kind)
			require.Contains(t, r.reply.Error, test.says)
		})
	}
	e := event.New("exec", "run", bson.M{"command": bson.A{"echo", "x"}})
	for r, err := range open.bus.Call(t.Context(), e) {
		require.NoError(t, err)
		if r.Kind.Final() {
			require.Equal(t, event.Refused, r.Kind)
			require.Contains(t, r.Error, "with a lease")
		}
	}
	for _, pattern := range []string{"", "[a", "cat [a/b]", "cat /x/\\"} {
		_, err := subscribers.NewExec([]string{pattern}, nil)
		require.ErrorContains(t, err, "pattern of allowed commands", pattern)
	}
}
