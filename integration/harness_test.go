// Package integration runs the built binary in separate processes and looks at
// what its users see. The store is an embedded one in a process of its own, or
// the MongoDB that FLEETCAST_TEST_URI names; each test has a database of its own.
package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// patience bounds each wait; only a broken program reaches it.
const patience = 60 * time.Second

var (
	binary  string // the built command
	storage string // URI without a database
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fleetcast")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "fleetcast")
	build := exec.Command("go", "build", "-o", binary, "github.com/fleetcast/fleetcast/cmd/fleetcast")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the command:", err)
		return 1
	}
	if storage = os.Getenv("FLEETCAST_TEST_URI"); storage != "" {
		return m.Run()
	}
	fmt.Println("integration: FLEETCAST_TEST_URI is not set; running on the embedded store")
	store, err := launch("", "store", "--store-addr", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer store.end(syscall.SIGTERM)
	line, err := store.line(patience)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the store:", err, store.stderr)
		return 1
	}
	storage = strings.TrimSuffix(line, "/fleetcast")
	return m.Run()
}

// output collects what a process prints.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a running command.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	exited         chan struct{}
	code           int
}

func launch(uri string, args ...string) (*process, error) { return launchWith(nil, uri, args...) }

// launchWith adds variables to the environment.
func launchWith(vars []string, uri string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), stdout: newOutput(), stderr: newOutput(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Env = append(os.Environ(), vars...)
	if uri != "" {
		p.cmd.Env = append(p.cmd.Env, "FLEETCAST_URI="+uri)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			p.code = exit.ExitCode()
		}
		close(p.exited)
	}()
	return p, nil
}

// line waits for the first line of stdout.
func (p *process) line(limit time.Duration) (string, error) {
	timeout := time.After(limit)
	for {
		if line, _, ok := strings.Cut(p.stdout.String(), "\n"); ok {
			return line, nil
		}
		select {
		case <-p.stdout.changed:
		case <-p.exited:
			return "", fmt.Errorf("the process ended with code %d", p.code)
		case <-timeout:
			return "", fmt.Errorf("no output within %s", limit)
		}
	}
}

// end sends a signal and waits for the end.
func (p *process) end(s syscall.Signal) int {
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return p.code
}

// env is one test's database.
type env struct {
	t    *testing.T
	uri  string
	db   *mongo.Database
	vars []string // more variables of its processes, as NAME=VALUE
}

func newEnv(t *testing.T) *env {
	t.Helper()
	name := "it_" + bson.NewObjectID().Hex()
	client, err := mongo.Connect(options.Client().ApplyURI(storage))
	require.NoError(t, err)
	db := client.Database(name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = db.Drop(ctx)
		_ = client.Disconnect(ctx)
	})
	return &env{t: t, uri: withDatabase(storage, name), db: db}
}

// withDatabase names the database in a URI. A login stays one to the database
// that the URI named before.
func withDatabase(uri, name string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	rest, query, _ := strings.Cut(rest, "?")
	hosts, login, _ := strings.Cut(rest, "/")
	if strings.Contains(hosts, "@") && !strings.Contains(strings.ToLower(query), "authsource=") {
		query = strings.Trim(query+"&authSource="+cmp.Or(login, "admin"), "&")
	}
	uri = scheme + "://" + hosts + "/" + name
	if query != "" {
		uri += "?" + query
	}
	return uri
}

func TestWithDatabase(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://127.0.0.1:27017":             "mongodb://127.0.0.1:27017/x",
		"mongodb://a:1,b:2/y?replicaSet=rs":     "mongodb://a:1,b:2/x?replicaSet=rs",
		"mongodb://u:p@a/":                      "mongodb://u:p@a/x?authSource=admin",
		"mongodb://u:p@a/y?tls=true":            "mongodb://u:p@a/x?tls=true&authSource=y",
		"mongodb+srv://u:p@a/?authSource=other": "mongodb+srv://u:p@a/x?authSource=other",
	} {
		require.Equal(t, want, withDatabase(uri, "x"))
	}
}

// start runs a command in the background; it is killed when the test ends.
func (e *env) start(args ...string) *process {
	e.t.Helper()
	p, err := launchWith(e.vars, e.uri, args...)
	require.NoError(e.t, err)
	e.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if e.t.Failed() {
			e.t.Logf("%v\nstdout: %s\nstderr: %s", args, p.stdout, p.stderr)
		}
	})
	return p
}

// server starts a server process and waits until it is in the registry.
func (e *env) server(name string, args ...string) *process {
	e.t.Helper()
	p := e.start(append([]string{"server", "--name", name, "--no-color"}, args...)...)
	e.await("server "+name+" in the registry", func() bool {
		_, ok := e.servers()[name]
		return ok
	})
	return p
}

// result is what a command left.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a command to its end.
func (e *env) run(args ...string) result {
	e.t.Helper()
	p, err := launchWith(e.vars, e.uri, args...)
	require.NoError(e.t, err)
	return p.result(e.t, args)
}

func runWith(t *testing.T, uri string, args ...string) result {
	t.Helper()
	p, err := launch(uri, args...)
	require.NoError(t, err)
	return p.result(t, args)
}

// result waits for the end.
func (p *process) result(t *testing.T, args []string) result {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		t.Fatalf("%v did not end within %s\n%s%s", args, patience, p.stdout, p.stderr)
	}
	return result{p.stdout.String(), p.stderr.String(), p.code}
}

// call runs an acting command with -o json and decodes its output.
func (e *env) call(code int, args ...string) summary {
	e.t.Helper()
	r := e.run(append(args, "-o", "json")...)
	require.Equal(e.t, code, r.code, "%v: %s%s", args, r.stdout, r.stderr)
	var s summary
	require.NoError(e.t, json.Unmarshal([]byte(r.stdout), &s), r.stdout)
	return s
}

// summary and serverInfo are what scripts read; see DESIGN and docs.
type summary struct {
	EventID    string `json:"event_id"`
	Subscriber string `json:"subscriber"`
	Action     string `json:"action"`
	Matched    int    `json:"matched"`
	Acked      int    `json:"acked"`
	Done       int    `json:"done"`
	Failed     int    `json:"failed"`
	Refused    int    `json:"refused"`
	Missing    int    `json:"missing"`
	Replies    []struct {
		Server  string          `json:"server"`
		Kind    string          `json:"kind"`
		Payload json.RawMessage `json:"payload"`
		Error   string          `json:"error"`
	} `json:"replies"`
}

type serverInfo struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Host      string            `json:"host"`
	PID       int               `json:"pid"`
	Labels    map[string]string `json:"labels"`
	Lifecycle string            `json:"lifecycle"`
	Paused    bool              `json:"paused"`
	Lost      bool              `json:"lost"`
	Deaf      bool              `json:"deaf"`
	Heartbeat struct {
		At    time.Time `json:"at"`
		AgeMS int       `json:"age_ms"`
		LagMS int       `json:"lag_ms"`
	} `json:"heartbeat"`
	Workers []struct {
		ID    int    `json:"id"`
		State string `json:"state"`
		Kind  string `json:"kind"`
	} `json:"workers"`
}

func (s serverInfo) busy() int {
	n := 0
	for _, w := range s.Workers {
		if w.State == "busy" {
			n++
		}
	}
	return n
}

func (e *env) servers() map[string]serverInfo {
	e.t.Helper()
	r := e.run("servers", "-o", "json")
	require.Zero(e.t, r.code, r.stderr)
	var list []serverInfo
	require.NoError(e.t, json.Unmarshal([]byte(r.stdout), &list), r.stdout)
	byName := map[string]serverInfo{}
	for _, s := range list {
		byName[s.Name] = s
	}
	return byName
}

func (e *env) await(what string, met func() bool) {
	e.t.Helper()
	require.Eventually(e.t, met, patience, 50*time.Millisecond, what)
}

func (e *env) awaitText(what string, o *output, text string) {
	e.t.Helper()
	e.await(what, func() bool { return strings.Contains(o.String(), text) })
}
