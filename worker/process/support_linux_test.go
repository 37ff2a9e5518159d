package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetcast/fleetcast/worker"
)

// patience bounds each wait; only what is broken reaches it.
const (
	patience = 30 * time.Second
	tick     = 2 * time.Millisecond
)

// The test binary, called so, is the server that TestNoOrphans kills.
const serverMode = "FLEETCAST_TEST_SERVER"

func TestMain(m *testing.M) {
	if script := os.Getenv(serverMode); script != "" {
		beServer(script)
		return
	}
	goleak.VerifyTestMain(m)
}

// logged is the log of a pool.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type logLine struct {
	Level, Message, Stream, Kind, Error, Reason string
	Worker                                      int    `json:"worker_id"`
	WorkID                                      string `json:"work_id"`
}

func (l *logged) lines(t *testing.T) (lines []logLine) {
	for text := range strings.Lines(l.String()) {
		var line logLine
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

// fleet is a pool of copies of a shell script.
type fleet struct {
	*worker.Pool
	t    *testing.T
	log  *logged
	done chan error
}

func scripts(t *testing.T, workers int, script string, change ...func(*Config)) *fleet {
	t.Helper()
	cfg := Config{Command: []string{"sh", "-c", script}}
	for _, f := range change {
		f(&cfg)
	}
	source, err := Source(cfg)
	require.NoError(t, err)
	pool, err := worker.New(source, worker.Config{Workers: workers})
	require.NoError(t, err)
	f := &fleet{Pool: pool, t: t, log: &logged{}, done: make(chan error, 1)}
	ctx := zerolog.New(f.log).Level(zerolog.InfoLevel).WithContext(context.Background())
	go func() { f.done <- pool.Run(ctx) }()
	t.Cleanup(func() {
		pool.Kill(patience)
		_ = f.result()
		if t.Failed() {
			text := f.log.String()
			t.Logf("the end of the log:\n%s", text[max(0, len(text)-5000):])
		}
	})
	return f
}

// result is what Run returned.
func (f *fleet) result() error {
	f.t.Helper()
	select {
	case err := <-f.done:
		f.done <- err
		return err
	case <-time.After(patience):
		require.Fail(f.t, "Run has not returned")
		return nil
	}
}

func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	require.Eventually(t, met, patience, tick, what)
}

// printed returns what the copies have printed to a stream.
func (f *fleet) printed(stream string) (lines []string) {
	for _, line := range f.log.lines(f.t) {
		if line.Stream == stream {
			lines = append(lines, line.Message)
		}
	}
	return lines
}

// firstCopy waits for the end of the first copy, and returns what it has printed.
func (f *fleet) firstCopy() (stdout, stderr []string) {
	f.t.Helper()
	await(f.t, "the end of a copy", func() bool { return f.has("process ended") })
	lines := f.log.lines(f.t)
	for _, line := range lines {
		switch {
		case line.WorkID != lines[0].WorkID:
		case line.Stream == "stdout":
			stdout = append(stdout, line.Message)
		case line.Stream == "stderr":
			stderr = append(stderr, line.Message)
		}
	}
	return stdout, stderr
}

// awaitLine waits for a line that begins so, and returns the rest of it.
func (f *fleet) awaitLine(prefix string) (rest string) {
	f.t.Helper()
	await(f.t, "a line "+prefix, func() bool {
		for _, line := range append(f.printed("stdout"), f.printed("stderr")...) {
			if after, ok := strings.CutPrefix(line, prefix); ok {
				rest = after
				return true
			}
		}
		return false
	})
	return strings.TrimSpace(rest)
}

// has reports whether the log has a line with this message.
func (f *fleet) has(message string) bool {
	return strings.Contains(f.log.String(), `"message":"`+message+`"`)
}

func (f *fleet) states() (states []worker.State) {
	for _, w := range f.Workers() {
		states = append(states, w.State)
	}
	return states
}

// condition is the state letter of a process: R, S, T for halted, Z or "" for
// gone.
func condition(pid string) string {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

// awaitDead waits until processes have gone; a zombie has, but for its parent.
func awaitDead(t *testing.T, pids ...string) {
	t.Helper()
	for _, pid := range pids {
		require.NotEmpty(t, pid)
		await(t, fmt.Sprint("the end of process ", pid), func() bool {
			c := condition(pid)
			return c == "" || c == "Z"
		})
	}
}

func requireAlive(t *testing.T, pids ...string) {
	t.Helper()
	for _, pid := range pids {
		require.Contains(t, "RSDT", condition(pid), "process %s", pid)
		require.NotEmpty(t, condition(pid), "process %s", pid)
	}
}
