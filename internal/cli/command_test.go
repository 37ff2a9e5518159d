//go:build unix

package cli

import (
	"context"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]os.Signal{
		"": nil, "QUIT": syscall.SIGQUIT, "SIGQUIT": syscall.SIGQUIT, "sigusr1": syscall.SIGUSR1, "tstp": syscall.SIGTSTP,
	} {
		got, err := parseSignal("dump-signal", name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	for _, bad := range []string{"KILL", "9", "SIG", "SIGSIGINT"} {
		_, err := parseSignal("dump-signal", bad)
		require.ErrorContains(t, err, "--dump-signal")
		require.ErrorContains(t, err, "choose one of ABRT, ALRM, CONT, ")
	}
}

func TestServerUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"a command for the workers comes after --": {"./import.sh"},
		`got "x"`:                                   {"x", "--", "true"},
		"are for a command: give it after --":       {"--dump-signal", "QUIT"},
		`--pause-signal "NO": choose one of ABRT`:   {"--pause-signal", "NO", "--", "true"},
		"command ./nothing.sh cannot be run":        {"--", "./nothing.sh"},
		"command fleetcast-nothing is not in PATH:": {"--", "fleetcast-nothing"},
		"--stuck-after -1s: 0 or more":              {"--stuck-after", "-1s"},
	} {
		_, errs, code := execute(t, nil, append([]string{"server"}, args...)...)
		require.Equal(t, exitUsage, code, errs)
		require.Contains(t, errs, want)
	}
}

// In other commands the operators' signals do what they usually do.
func TestOnlyServerTakesSignals(t *testing.T) {
	taken := 0
	p := Process{Args: []string{"servers"}, Stdout: io.Discard, Stderr: io.Discard, Env: func(name string) (string, bool) {
		env := map[string]string{"FLEETCAST_URI": "mongodb://127.0.0.1:1/x", "FLEETCAST_TIMEOUT": "10ms"}
		value, ok := env[name]
		return value, ok
	}, Operator: func() (quiet, dump, refresh <-chan os.Signal) { taken++; return nil, nil, nil }}
	require.NotZero(t, Run(t.Context(), p))
	require.Zero(t, taken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Args = []string{"server"}
	require.NotZero(t, Run(ctx, p))
	require.Equal(t, 1, taken, "before the database is there")
}
