package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
)

func TestConfigHelp(t *testing.T) {
	for _, command := range []string{"", "get", "set", "unset", "list", "describe", "diff", "history", "refresh", "export", "import", "keygen", "reseal"} {
		args, name := []string{"config", command, "--help"}, "help-config-"+command+".txt"
		if command == "" {
			args, name = []string{"config"}, "help-config.txt"
		}
		out, errs, code := execute(t, nil, args...)
		require.Zero(t, code, errs)
		golden(t, name, out)
	}
}

func TestConfigUsage(t *testing.T) {
	for says, args := range map[string][]string{
		`unknown command "gte"`:                  {"gte"},
		"takes 1 arguments: PATH":                {"get"},
		`"a b" is no path`:                       {"get", "a b"},
		`--server ""`:                            {"get", "a", "--server", ""},
		`--label "zone"`:                         {"get", "a", "--label", "zone"},
		"[environment label server]":             {"get", "a", "--label", "zone=eu", "--server", "web-1"},
		"takes a PATH and a VALUE, but got 3":    {"set", "a", "b", "c"},
		"put a VALUE with blanks in quotes":      {"set", "a", "b", "c"},
		"comes after --: config set PATH -- -5":  {"set", "a", "-5"},
		"--if-version -1: 0 or more":             {"set", "a", "1", "--if-version", "-1"},
		"--wait 0s: a positive duration":         {"set", "a", "1", "--wait", "0s"},
		"takes at most 1 argument: PREFIX":       {"list", "a", "b"},
		"[effective environment]":                {"list", "--effective", "--environment", "x"},
		`"/app" is no path`:                      {"list", "/app"},
		"--limit -1: a number of changes":        {"history", "--limit", "-1"},
		"takes a FILE, or two SCOPEs":            {"diff"},
		"wants another SCOPE":                    {"diff", "global"},
		"of files, diff takes one":               {"diff", "global", "settings.yaml"},
		"[dry-run refresh]":                      {"import", "-", "--dry-run", "--refresh"},
		"there is no key: set FLEETCAST_SETTIN":  {"reseal"},
		"config refresh is for whole servers":    {"refresh", "--worker-id", "1"},
		"config keygen takes no arguments":       {"keygen", "x"},
		"config refresh takes no arguments, but": {"refresh", "web-1"},
	} {
		_, errs, code := execute(t, map[string]string{"FLEETCAST_URI": "no"}, append([]string{"config"}, args...)...)
		require.Equal(t, exitUsage, code, says)
		require.Contains(t, errs, says)
	}
	_, errs, code := execute(t, map[string]string{"FLEETCAST_SETTINGS_KEY": "hunter2"}, "config", "get", "a")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "FLEETCAST_SETTINGS_KEY: key 1 ")
	require.NotContains(t, errs, "hunter2")
}

// TestConfigVariablesChooseNoScope: a variable of the environment, such as the one that
// tells a server its own, must not make "all" mean "some".
func TestConfigVariablesChooseNoScope(t *testing.T) {
	env := map[string]string{
		"FLEETCAST_URI": "no", "FLEETCAST_SERVER": "", "FLEETCAST_ENVIRONMENT": "x", "FLEETCAST_LABEL": "none",
		"FLEETCAST_SECRET": "no boolean", "FLEETCAST_REVEAL": "neither", "FLEETCAST_IF_VERSION": "x",
	}
	for _, args := range []string{"set a 1", "get a", "unset a", "list", "history", "export"} {
		_, errs, _ := execute(t, env, append([]string{"config"}, strings.Fields(args)...)...)
		require.Contains(t, errs, "--uri", args)
	}
}

func TestScopeFlags(t *testing.T) {
	for want, args := range map[config.Scope][]string{
		config.Global:                      nil,
		config.InEnvironment("production"): {"--environment", "production"},
		config.WithLabel("zone", "eu=1"):   {"--label", "zone=eu=1"},
		config.OnServer("web-1:80"):        {"--server", "web-1:80"},
	} {
		cmd := &cobra.Command{}
		flags := (&app{}).addScopeFlags(cmd, "the value")
		require.NoError(t, cmd.ParseFlags(args))
		scope, err := flags.scope()
		require.NoError(t, err)
		require.Equal(t, want, scope)
		require.Equal(t, strings.Join(args, " "), strings.TrimSpace(flagsOf(scope)), "the way back")
	}
	require.Equal(t, ` --server 'it'\''s; *'`, flagsOf(config.OnServer("it's; *")))
}

func TestConfigErrors(t *testing.T) {
	for want, err := range map[int]error{
		exitNoMatch: config.ErrNotFound,
		exitUsage:   errors.Join(&config.FaultsError{Faults: []error{&config.ValueError{Path: "a"}}}),
		exitFailure: config.ErrConflict,
	} {
		require.Equal(t, want, exitCode(t.Context(), configError(err)))
	}
	undeclared := configError(config.ErrUndeclared)
	require.Equal(t, exitUsage, exitCode(t.Context(), undeclared))
	require.ErrorContains(t, undeclared, "--undeclared")
	require.NoError(t, configError(nil))
}

func TestKeygen(t *testing.T) {
	first, _, code := execute(t, nil, "config", "keygen")
	require.Zero(t, code)
	second, _, _ := execute(t, nil, "config", "keygen")
	require.NotEqual(t, first, second)
	keys, err := config.ParseKeyring(first + second)
	require.NoError(t, err)
	require.Len(t, keys.IDs(), 2)
}

func TestCompletedValues(t *testing.T) {
	require.Equal(t, []string{"true", "false"}, valuesOf(config.Declaration{Type: config.Boolean, Default: "true"}))
	require.Equal(t, []string{"red", "green"}, valuesOf(config.Declaration{Type: config.Text, Rules: "min=1,oneof=red green"}))
	require.Equal(t, []string{"25\tthe default"}, valuesOf(config.Declaration{Type: config.Integer, Default: "25"}))
	require.Empty(t, valuesOf(config.Declaration{Type: config.Text}))
}
