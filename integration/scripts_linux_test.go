package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// listener starts a process that runs scripts, and waits until it listens.
func (e *env) listener(args ...string) *process {
	e.t.Helper()
	l := e.start(append([]string{"listen", "--no-color", "--name", "l"}, args...)...)
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	return l
}

// userEvent publishes an event that is not merged, and waits for the answers.
func (e *env) userEvent(name string, args ...string) result {
	e.t.Helper()
	return e.run(append([]string{"event", name, "--coalesce=false", "--wait", "30s"}, args...)...)
}

// payloadOf is the payload of the one answer, as JSON.
func (e *env) payloadOf(code int, name string) string {
	e.t.Helper()
	s := e.call(code, "event", name, "--coalesce=false", "--wait", "30s")
	require.Len(e.t, s.Replies, 1)
	return string(s.Replies[0].Payload)
}

func TestScriptThatFailsReportsItsExitCode(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	fails, works := scriptFile(t, "echo why >&2; exit 3"), scriptFile(t, "echo fine")
	shot := scriptFile(t, "kill -9 $$")
	l := e.listener("--on", "x="+fails, "--on", "x="+works, "--on", "shot="+shot)
	r := e.userEvent("x")
	require.Equal(t, 1, r.code)
	require.Regexp(t, `l +output +why`, r.stdout)
	require.Regexp(t, `l +output +fine`, r.stdout, "the next script runs all the same")
	require.Regexp(t, `l +failed .* `+fails+`: exit code 3; `+works+`: exit code 0`, r.stdout)
	require.JSONEq(t, `{"scripts": [
		{"script": "`+fails+`", "exit_code": 3, "output_bytes": 4, "error": "exit code 3"},
		{"script": "`+works+`", "exit_code": 0, "output_bytes": 5}]}`, e.payloadOf(1, "x"))
	require.Regexp(t, `script ended error="exit code 3" .*exit_code=3 .*script=`+fails, l.stderr.String())
	require.Regexp(t, `ERR action failed error="`+fails+`: exit code 3`, l.stderr.String())

	require.JSONEq(t, `{"scripts": [{"script": "`+shot+`", "exit_code": 137, "output_bytes": 0, "error": "ended by signal: killed"}]}`, e.payloadOf(1, "shot"))
}

// TestScriptThatHangsIsEndedWithItsChildren has children that ignore what they are
// told, and one that is halted.
func TestScriptThatHangsIsEndedWithItsChildren(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	pids := filepath.Join(t.TempDir(), "pids")
	hangs := scriptFile(t, `trap '' TERM
(trap '' TERM HUP INT; echo $(sh -c 'echo $PPID') >>`+pids+`; while :; do sleep 1; done) &
(echo $(sh -c 'echo $PPID') >>`+pids+`; kill -STOP $(sh -c 'echo $PPID')) &
echo $$ >>`+pids+`
while :; do sleep 1; done`)
	l := e.listener("--on", "hangs="+hangs, "--on", "next=true", "--script-timeout", "1s")
	r := e.userEvent("hangs")
	require.Equal(t, 1, r.code)
	require.Regexp(t, `l +failed .* `+hangs+`: ended, because it took longer than 1s`, r.stdout)
	require.Regexp(t, `script ended error="ended, because it took longer than 1s"`, l.stderr.String())
	text, err := os.ReadFile(pids)
	require.NoError(t, err)
	family := strings.Fields(string(text))
	require.Len(t, family, 3)
	for _, word := range family {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		e.awaitDead(pid)
	}
	require.Zero(t, e.userEvent("next").code, "and the listener goes on")
}

func TestScriptThatPrintsAMegabyte(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	large := scriptFile(t, `head -c 1000000 /dev/zero | tr '\0' Q; echo end >&2`)
	l := e.listener("--on", "large="+large, "--max-output", "1000")
	r := e.userEvent("large")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `l +done .* `+large+`: exit code 0 \(999004 of 1000004 bytes of output were not kept, see max-output\)`, r.stdout)
	require.LessOrEqual(t, strings.Count(r.stdout, "Q"), 1000)
	require.Regexp(t, `WRN the script has printed more than max-output; the rest was not kept .*dropped_bytes=999004`, l.stderr.String())
	require.JSONEq(t, `{"scripts": [{"script": "`+large+`", "exit_code": 0, "output_bytes": 1000004, "dropped_bytes": 999004}]}`, e.payloadOf(0, "large"))

	// All of it, unless told otherwise.
	require.Zero(t, l.end(syscall.SIGTERM))
	e.listener("--on", "large="+large)
	r = e.userEvent("large")
	require.Zero(t, r.code, r.stderr)
	require.GreaterOrEqual(t, strings.Count(r.stdout, "Q"), 1000000)
	require.NotContains(t, r.stdout, "not kept")
}

// TestScriptThatCannotBeRun is wrong usage at the start, and a failed answer later.
func TestScriptThatCannotBeRun(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	plain, gone, changed, none := scriptFile(t, "true"), scriptFile(t, "true"), scriptFile(t, "true"), scriptFile(t, "true")
	require.NoError(t, os.Chmod(plain, 0o600))
	for script, says := range map[string]string{
		"/no/such.sh":  "script /no/such.sh cannot be run: there is no such file: /no/such.sh",
		"no-such-tool": "there is no such program in PATH; write ./no-such-tool for a file of the folder",
		plain:          "it is not executable: chmod +x " + plain,
		t.TempDir():    "is a folder",
		"":             "the script is missing",
	} {
		r := e.run("listen", "--on", "x="+script)
		require.Equal(t, 2, r.code, script)
		require.Contains(t, r.stderr, `--on "x=`+script+`": `)
		require.Contains(t, r.stderr, says)
	}
	l := e.listener("--on", "gone="+gone, "--on", "changed="+changed, "--on", "none="+none)
	require.NoError(t, os.Remove(gone))
	require.NoError(t, os.Chmod(changed, 0o600))
	require.NoError(t, os.WriteFile(none, []byte("no program"), 0o700))
	for name, says := range map[string]string{
		"gone":    gone + " cannot be run: there is no such program on this host",
		"changed": changed + " cannot be run: it is not executable for this server's user (chmod +x)",
		"none":    "exec format error: does it begin with a line such as #!/bin/sh?",
	} {
		r := e.userEvent(name)
		require.Equal(t, 1, r.code, name)
		require.Contains(t, r.stdout, "failed")
		require.Contains(t, r.stdout, says)
		require.Contains(t, l.stderr.String(), says)
		require.Contains(t, e.payloadOf(1, name), `"exit_code": -1`)
	}
}

// TestOneRunOfAScriptAtATime publishes several events at once: each script finds out
// whether another runs.
func TestOneRunOfAScriptAtATime(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	dir := t.TempDir()
	alone := scriptFile(t, "mkdir "+dir+"/lock || exit 9; sleep 0.3; rmdir "+dir+"/lock")
	// It ends when three have begun.
	together := scriptFile(t, "touch "+dir+"/$FLEETCAST_EVENT_ID; while [ $(ls "+dir+" | wc -l) -lt 3 ]; do sleep 0.05; done")
	publish := func(name string) []result {
		results := make([]result, 3)
		var publishing sync.WaitGroup
		for i := range results {
			publishing.Go(func() { results[i] = e.userEvent(name) })
		}
		publishing.Wait()
		return results
	}
	l := e.listener("--on", "x="+alone)
	for _, r := range publish("x") {
		require.Zero(t, r.code, r.stdout)
	}
	require.Zero(t, l.end(syscall.SIGTERM))

	l = e.listener("--on", "x="+together, "--parallel", "--script-timeout", "20s")
	for _, r := range publish("x") {
		require.Zero(t, r.code, r.stdout)
	}
	require.Zero(t, l.end(syscall.SIGTERM))
}

// TestListenConfig has scripts that wait for each other, and one that does not: it
// ends only when one of the others has begun after it.
func TestListenConfig(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700))
	}
	write("deploy.sh", `#!/bin/sh
echo "$FLEETCAST_EVENT $COLOR $FLEETCAST_LABEL_ROLE $1 in $(basename $PWD)"`)
	write("waits.sh", `#!/bin/sh
while [ ! -e `+dir+`/begun ]; do sleep 0.05; done`)
	write("listen.yaml", `
name: l
labels: {role: ops}
handlers:
- event: 'deploy-*'
  run: [./deploy.sh, "two words"]
  dir: work
  env: {COLOR: red}
- event: hangs
  run: sleep 600
  script_timeout: 100ms
- event: waits
  run: ./waits.sh
  parallel: true
- event: begins
  run: touch `+dir+`/begun
- event: large
  run: head -c 1000 /dev/zero
  max_output: 10
- event: '*'
  run: echo all
`)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "work"), 0o700))
	l := e.start("listen", "--no-color", "--config", filepath.Join(dir, "listen.yaml"), "--label", "zone=a")
	e.await("the listener", func() bool { return e.servers()["l"].Lifecycle == "running" })
	require.Equal(t, map[string]string{"role": "ops", "zone": "a"}, e.servers()["l"].Labels)

	r := e.userEvent("deploy-db")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `l +output +deploy-db red ops two words in work`, r.stdout)
	require.Regexp(t, `l +output +all`, r.stdout)
	require.Contains(t, e.userEvent("hangs").stdout, "sleep: ended, because it took longer than 100ms")
	require.Contains(t, e.userEvent("large").stdout, "990 of 1000 bytes of output were not kept")

	waiting := e.start("event", "waits", "--coalesce=false", "--wait", "50s")
	e.awaitText("the script that waits", waiting.stdout, "all") // of the one that is for all
	require.Zero(t, e.userEvent("begins").code, "it does not wait for the one that waits")
	<-waiting.exited
	require.Zero(t, waiting.code)
	require.Regexp(t, `l +done .*echo: exit code 0; ./waits.sh: exit code 0`, waiting.stdout.String())
	require.Zero(t, l.end(syscall.SIGTERM))

	r = e.run("listen", "--config", filepath.Join(dir, "deploy.sh"))
	require.Equal(t, 2, r.code)
	require.Contains(t, r.stderr, filepath.Join(dir, "deploy.sh")+":")
}
