package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// planFolder has the scripts that the documented file names, and one that is not
// executable.
func planFolder(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"deploy.sh", "notify.sh", "log.sh"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain.sh"), []byte("#!/bin/sh\n"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "release"), 0o700))
	return dir
}

// planOf is what listen would do with a file of this text, and these flags.
func planOf(t *testing.T, dir, text string, args ...string) (*listenPlan, error) {
	t.Helper()
	file := filepath.Join(dir, "listen.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	f := &listenFlags{}
	flags := pflag.NewFlagSet("listen", pflag.ContinueOnError)
	f.add(flags)
	require.NoError(t, flags.Parse(append(args, "--config", file)))
	return f.plan()
}

func TestDocumentedListenFile(t *testing.T) {
	text, err := os.ReadFile("../../docs/listen.yaml")
	require.NoError(t, err)
	dir := planFolder(t)
	plan, err := planOf(t, dir, string(text))
	require.NoError(t, err)
	require.Equal(t, "ops-1", plan.name)
	require.Equal(t, map[string]string{"role": "ops", "zone": "eu-1"}, plan.labels)
	require.Equal(t, []string{"ops", "latest"}, []string{plan.durable, plan.from})
	require.Equal(t, []*handler{
		{
			events: []string{"deploy"}, script: "./deploy.sh", words: []string{dir + "/deploy.sh", "--fast"},
			dir: dir + "/release", env: []string{"DEPLOY_ENV=production", "RETRIES=3"},
			limit: 5 * time.Minute, maxOutput: 65536,
		},
		{
			events: []string{"deploy", "rollback-*"}, script: "./notify.sh",
			words: []string{dir + "/notify.sh", "--subject", "a deployment ended"}, limit: 10 * time.Minute, maxOutput: 1 << 20,
		},
		{events: []string{"*"}, script: "./log.sh", words: []string{dir + "/log.sh"}, limit: 10 * time.Second, maxOutput: 1 << 20},
	}, plan.handlers)
	for _, key := range append(yamlKeysOf[listenFile](), yamlKeysOf[handlerEntry]()...) {
		require.Contains(t, string(text), key+":", "the documented file has every key")
	}
}

// TestFlagsGoBeforeTheListenFile is the order that the help and docs/listen.yaml tell.
func TestFlagsGoBeforeTheListenFile(t *testing.T) {
	dir := planFolder(t)
	const text = `
name: file
labels: {a: file, b: file}
script_timeout: 1m
max_output: 10
parallel: true
handlers:
- event: one
  run: ./log.sh
- event: two
  run: ./log.sh
  script_timeout: 2m
  max_output: 20
  parallel: false
`
	plan, err := planOf(t, dir, text)
	require.NoError(t, err)
	require.Equal(t, "file", plan.name)
	shape := func(h *handler) []any { return []any{h.limit, h.maxOutput, h.parallel} }
	require.Equal(t, []any{time.Minute, int64(10), true}, shape(plan.handlers[0]))
	require.Equal(t, []any{2 * time.Minute, int64(20), false}, shape(plan.handlers[1]))

	plan, err = planOf(t, dir, text, "--name", "flag", "--label", "b=flag", "--script-timeout", "3m", "--max-output", "30",
		"--parallel=false", "--on", "three="+filepath.Join(dir, "log.sh"))
	require.NoError(t, err)
	require.Equal(t, "flag", plan.name)
	require.Equal(t, map[string]string{"a": "file", "b": "flag"}, plan.labels)
	require.Len(t, plan.handlers, 3)
	require.Equal(t, []any{3 * time.Minute, int64(30), false}, shape(plan.handlers[0]), "before what the file says for all")
	require.Equal(t, []any{2 * time.Minute, int64(20), false}, shape(plan.handlers[1]), "not before what it says for one")
	require.Equal(t, []any{3 * time.Minute, int64(30), false}, shape(plan.handlers[2]), "--on is the last")
	require.Equal(t, []string{"three"}, plan.handlers[2].events)

	// The environment is a flag that was not written.
	_, errs, code := execute(t, map[string]string{"FLEETCAST_CONFIG": dir + "/listen.yaml", "FLEETCAST_FROM": "now"}, "listen")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, `--from "now": latest or earliest`)
}

func TestBadListenFiles(t *testing.T) {
	const handlers = "handlers:\n- event: a\n  run: ./log.sh\n"
	for name, test := range map[string]struct {
		text string
		says []string // FILE is the file
	}{
		"empty":          {"", []string{"FILE: the file is empty"}},
		"comments alone": {"# nothing\n", []string{"the file is empty"}},
		"no YAML":        {"handlers:\n- event: 'a\n", []string{"FILE:", "found unexpected end of stream"}},
		"a tab":          {"handlers:\n\t- event: a\n", []string{"FILE:2:", "found character that cannot start any token"}},
		"no mapping":     {"- event: a\n", []string{"FILE:1: write KEY: VALUE, with the keys name, labels,"}},
		"no list":        {"handlers: x\n", []string{"FILE:1: handlers are a list, with - before each, of the keys event, run,"}},
		"a list of text": {"handlers: [x]\n", []string{"FILE:1: handlers are a list"}},
		"empty entry":    {"handlers:\n- {}\n", []string{"FILE: handler 1 has no event"}},
		"null":           {"handlers:\n- event: a\n  run:\n", []string{"FILE:2: handler 1 has no script"}},
		"two documents":  {handlers + "---\n" + handlers, []string{"FILE: there is more after the end of the document"}},
		"unknown key": {"handler:\n- event: a\n", []string{
			`FILE:1: unknown key "handler"; known here: name, labels, durable, from, script_timeout, max_output, parallel, handlers`,
		}},
		"unknown key of a handler": {handlers + "  evnt: b\n", []string{
			`FILE:4: unknown key "evnt"; known here: event, run, dir, env, script_timeout, max_output, parallel`,
		}},
		"all faults at once": {"color: x\n" + handlers + "  evnt: b\n", []string{`FILE:1: unknown key "color"`, `FILE:5: unknown key "evnt"`}},
		"twice":              {"name: a\nname: b\n", []string{`FILE:2: mapping key "name" already defined at line 1`}},
		"no handlers":        {"name: a\n", []string{"no script is named"}},
		"no event":           {"handlers:\n- run: ./log.sh\n", []string{"FILE:2: handler 1 has no event: write event: NAME"}},
		"empty event":        {"handlers:\n- event: ['']\n  run: ./log.sh\n", []string{"FILE:2: the name of an event is empty"}},
		"event of a kind":    {"handlers:\n- event: {a: b}\n  run: ./log.sh\n", []string{"FILE:2: that is no event: write a name"}},
		"broken pattern":     {"handlers:\n- event: '[a'\n  run: ./log.sh\n", []string{`FILE:2: event "[a" is no pattern`}},
		"no script":          {"handlers:\n- event: a\n- event: b\n", []string{"FILE:2: handler 1 has no script: write run: ./script.sh", "FILE:3: handler 2"}},
		"empty script":       {"handlers:\n- event: a\n  run: ''\n", []string{"FILE:3: the script is missing"}},
		"script of a kind":   {"handlers:\n- event: a\n  run: {x: y}\n", []string{"FILE:3: that is no command"}},
		"missing script":     {"handlers:\n- event: a\n  run: ./gone.sh\n", []string{"FILE:3: script ./gone.sh cannot be run: there is no such file: DIR/gone.sh"}},
		"missing program":    {"handlers:\n- event: a\n  run: log.sh\n", []string{"FILE:3: script log.sh cannot be run: there is no such program in PATH; write ./log.sh"}},
		"not executable":     {"handlers:\n- event: a\n  run: ./plain.sh\n", []string{"FILE:3: script ./plain.sh cannot be run: it is not executable: chmod +x DIR/plain.sh"}},
		"a folder":           {"handlers:\n- event: a\n  run: ./release\n", []string{"FILE:3: script ./release cannot be run: DIR/release is a folder"}},
		"no duration":        {handlers + "  script_timeout: soon\n", []string{"FILE:4: that is no duration: write it as 30s or 5m"}},
		"a bare number":      {handlers + "  script_timeout: 30\n", []string{"FILE:4: that is no duration: write it as 30s or 5m"}},
		"negative time":      {handlers + "  script_timeout: -1s\n", []string{"FILE:4: script_timeout is negative"}},
		"negative, for all":  {"script_timeout: -1s\n" + handlers, []string{"FILE:1: script_timeout is negative"}},
		"no number":          {"max_output: 64KiB\n" + handlers, []string{"FILE:1: that is no number: write bytes as digits"}},
		"negative output":    {handlers + "  max_output: -1\n", []string{"FILE:4: max_output is negative"}},
		"no truth":           {"parallel: maybe\n" + handlers, []string{"FILE:1: that is neither true nor false"}},
		"no pairs":           {"labels: [a]\n" + handlers, []string{"FILE:1: these are no pairs: write KEY: VALUE"}},
		"empty label":        {"labels: {'': a}\n" + handlers, []string{"FILE:1: the key of a label is empty"}},
		"no text":            {"name: [a]\n" + handlers, []string{"FILE:1: that is no text"}},
		"no start":           {"from: now\n" + handlers, []string{`FILE:1: from "now": write latest or earliest`}},
		"no folder":          {handlers + "  dir: gone\n", []string{"FILE:4: dir: there is no folder DIR/gone"}},
		"no variable":        {handlers + "  env: {A=B: c}\n", []string{`FILE:4: env: "A=B" is no name of a variable`}},
		"one of ours":        {handlers + "  env: {FLEETCAST_EVENT_ID: x}\n", []string{"FILE:4: env: FLEETCAST_EVENT_ID is set by listen itself"}},
		"durable, parallel":  {"durable: x\n" + handlers + "  parallel: true\n", []string{"durable and parallel exclude each other"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := planFolder(t)
			_, err := planOf(t, dir, test.text)
			require.Error(t, err)
			for _, text := range test.says {
				text = strings.NewReplacer("FILE", dir+"/listen.yaml", "DIR", dir).Replace(text)
				require.Contains(t, err.Error(), text)
			}
			require.NotContains(t, err.Error(), "cli.", "no names of Go")
			require.NotContains(t, err.Error(), "!!", "no tags of YAML")
			require.Equal(t, exitUsage, exitCode(t.Context(), err))
		})
	}
	_, errs, code := execute(t, nil, "listen", "--config", "/no/such.yaml")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "--config: open /no/such.yaml: no such file")
}

func TestWhichEventsAScriptIsFor(t *testing.T) {
	for _, test := range []struct {
		events []string
		yes    []string
		no     []string
	}{
		{[]string{"deploy"}, []string{"deploy"}, []string{"deploy2", "", "Deploy"}},
		{[]string{"*"}, []string{"deploy", "a/b", "[x"}, nil},
		{[]string{"db/*", "web-?"}, []string{"db/", "db/a/b", "web-1"}, []string{"db", "web-12"}},
		{[]string{`\*`}, []string{"*", `\*`}, []string{"deploy"}},
	} {
		h := &handler{events: test.events}
		for _, name := range test.yes {
			require.True(t, h.wants(name), "%v %q", test.events, name)
		}
		for _, name := range test.no {
			require.False(t, h.wants(name), "%v %q", test.events, name)
		}
	}
}

// TestScriptsOfFlagsAreRelativeToTheFolder of this process, not found in PATH.
func TestScriptsOfFlagsAreRelativeToTheFolder(t *testing.T) {
	dir := planFolder(t)
	t.Chdir(dir)
	f := &listenFlags{}
	flags := pflag.NewFlagSet("listen", pflag.ContinueOnError)
	f.add(flags)
	require.NoError(t, flags.Parse([]string{"--on", "deploy=./deploy.sh --fast", "--on", "other=release/../log.sh", "--on", "x=true"}))
	plan, err := f.plan()
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/deploy.sh", "--fast"}, plan.handlers[0].words)
	require.Equal(t, "./deploy.sh", plan.handlers[0].script)
	require.Equal(t, []string{dir + "/log.sh"}, plan.handlers[1].words)
	require.Equal(t, "true", filepath.Base(plan.handlers[2].words[0]))
	for script, says := range map[string]string{
		"./gone.sh": "there is no such file: " + dir + "/gone.sh", "./plain.sh": "it is not executable: chmod +x " + dir + "/plain.sh",
	} {
		_, errs, code := execute(t, nil, "listen", "--on", "x="+script)
		require.Equal(t, exitUsage, code)
		require.Contains(t, errs, says)
	}
}

// FuzzListenFile: whatever is in the file, it is read, or what is wrong is told without
// a panic, by the name of the file and in no words of Go.
func FuzzListenFile(f *testing.F) {
	text, err := os.ReadFile("../../docs/listen.yaml")
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte("handlers:\n- {event: a, run: &r [b], script_timeout: 1s}\n- {<<: *r, run: *r}\n"))
	f.Add([]byte("parallel: [1]\nlabels: {a: {b: c}}\nmax_output: 1e3\nhandlers: {}\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseListenFile("FILE", data)
		if err == nil {
			err = file.check()
		}
		if err == nil {
			for i := range file.Handlers {
				_, _ = file.handler(i, handler{})
			}
			return
		}
		require.Contains(t, err.Error(), "FILE")
		require.NotRegexp(t, `cli\.[a-zA-Z]|setting\[`, err.Error())
	})
}
