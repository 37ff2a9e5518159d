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

// outputs are of a server that prints text, and of one that prints more than that.
func outputs(t *testing.T, output string) (*execOutputs, *bytes.Buffer) {
	var out bytes.Buffer
	show := &execOutputs{app: &app{Process: Process{Stdout: &out}, output: output}, lines: map[string]*bytes.Buffer{}}
	for _, r := range []struct{ server, data string }{{"x", "€"}, {"y", "a\xff"}, {"x", "b"}} {
		payload := rawValue(t, subscribers.ExecOutput{Stream: "stdout", Data: []byte(r.data)})
		show.reply(event.Reply{Server: r.server, Kind: event.Output, Payload: payload})
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
