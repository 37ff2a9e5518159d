package cli

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
)

// TestFlagsBehindACommandAreItsOwn, as with sudo, env or nice.
func TestFlagsBehindACommandAreItsOwn(t *testing.T) {
	for name, test := range map[string]struct{ args, want []string }{
		"plain":            {[]string{"ls", "-l"}, []string{"ls", "-l"}},
		"one of ours":      {[]string{"ls", "--wait", "x", "-o", "json"}, []string{"ls", "--wait", "x", "-o", "json"}},
		"help is not ours": {[]string{"ls", "--help"}, []string{"ls", "--help"}},
		"ours before it":   {[]string{"--wait", "3s", "-o", "json", "ls", "-l"}, []string{"ls", "-l"}},
		"dashes before it": {[]string{"--wait", "3s", "--", "ls", "-l"}, []string{"ls", "-l"}},
		"its own dashes":   {[]string{"grep", "--", "-v"}, []string{"grep", "--", "-v"}},
		"both":             {[]string{"--", "grep", "--", "-v"}, []string{"grep", "--", "-v"}},
		"one like a flag":  {[]string{"--", "-x"}, []string{"-x"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{}
			root := a.rootCommand()
			cmd, rest, err := root.Find(append([]string{"exec"}, test.args...))
			require.NoError(t, err)
			require.Equal(t, "exec", cmd.Name())
			require.NoError(t, cmd.ParseFlags(rest))
			require.Equal(t, test.want, cmd.Flags().Args())
		})
	}
}

// TestCommandThatWouldRunEverywhereIsRefused: who writes --server too far behind does
// not mean everybody.
func TestCommandThatWouldRunEverywhereIsRefused(t *testing.T) {
	for says, args := range map[string][]string{
		"--server behind reboot would be a flag of reboot": {"reboot", "--server", "web-1"},
		"--label behind docker would":                      {"docker", "ps", "--label=role=web"},
		"--dry-run behind rm would":                        {"rm", "-rf", "x", "--dry-run"},
		"--uri":                                            {"--", "docker", "ps", "--label=role=web"}, // which is meant
		"--uri: ":                                          {"--server", "web-1", "ls", "--hostile", "-l", "host"},
	} {
		_, errs, code := execute(t, map[string]string{"FLEETCAST_URI": "no"}, append([]string{"exec"}, args...)...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, errs, says)
	}
}

func TestEnvironmentOfACommand(t *testing.T) {
	f := &execFlags{acting: &acting{}, env: []string{"URI=mongodb://a,b/?x=y", "EMPTY="}}
	f.parameters.Command = []string{"env"}
	require.NoError(t, f.check())
	require.Equal(t, map[string]string{"URI": "mongodb://a,b/?x=y", "EMPTY": ""}, f.parameters.Env)
	for _, bad := range []string{"x", "=y", ""} {
		_, errs, code := execute(t, nil, "exec", "--env", bad, "env")
		require.Equal(t, exitUsage, code)
		require.Contains(t, errs, "write it as KEY=VALUE")
	}
}

func TestExitsInWords(t *testing.T) {
	reply := func(kind event.ReplyKind, code int) event.Reply {
		return event.Reply{Server: "a", Kind: kind, Payload: rawValue(t, subscribers.ExecResult{ExitCode: code})}
	}
	for want, finals := range map[string][]event.Reply{
		"the command has succeeded wherever it has run":                            {reply(event.Done, 0), reply(event.Failed, 0)},
		"the command has run nowhere":                                              {reply(event.Refused, 0), reply(event.Failed, 0)},
		"the command has exited with 0 on 1 server, otherwise on 2 (a: 3, a: 137)": {reply(event.Done, 0), reply(event.Done, 3), reply(event.Done, 137)},
	} {
		require.Equal(t, want, exitsOf(finals).String())
	}
}

// outputs are of a server that prints text, and of one that prints more than that.
func outputs(t *testing.T, output string) (*execOutputs, *bytes.Buffer) {
	var out bytes.Buffer
	show := &execOutputs{app: &app{Process: Process{Stdout: &out}, output: output}, lines: map[string]*bytes.Buffer{}}
	for _, r := range []struct{ server, data string }{{"x", "€"}, {"y", "a\xff"}, {"x", "b"}} {
		payload := rawValue(t, subscribers.ExecOutput{Stream: "stdout", Data: []byte(r.data)})
		show.reply(event.Event{}, event.Reply{Server: r.server, Kind: event.Output, Payload: payload})
	}
	return show, &out
}

// TestOutputAsJSON is lossless: text is text, and what is none comes in base64, too.
func TestOutputAsJSON(t *testing.T) {
	_, out := outputs(t, "jsonl")
	var chunks []execChunk
	for dec := json.NewDecoder(out); dec.More(); {
		var c execChunk
		require.NoError(t, dec.Decode(&c))
		chunks = append(chunks, c)
	}
	require.Len(t, chunks, 3)
	require.Equal(t, []string{"€", "a\ufffd", "b"}, []string{chunks[0].Data, chunks[1].Data, chunks[2].Data})
	require.Equal(t, [][]byte{nil, []byte("a\xff"), nil}, [][]byte{chunks[0].Base64, chunks[1].Base64, chunks[2].Base64})

	show, out := outputs(t, "json")
	require.NoError(t, show.app.printJSON(show.collected()))
	require.JSONEq(t, `[
		{"server": "x", "stdout": "€b", "stderr": ""},
		{"server": "y", "stdout": "a\ufffd", "stdout_base64": "Yf8=", "stderr": ""}
	]`, out.String())
}
