package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
)

// scopeFlags say for which servers a value is, the same on every command.
type scopeFlags struct {
	cmd                        *cobra.Command
	environment, label, server string
}

// addScopeFlags adds them; what is a half-sentence such as "the value".
func (a *app) addScopeFlags(cmd *cobra.Command, what string) *scopeFlags {
	s := &scopeFlags{cmd: cmd}
	f := cmd.Flags()
	f.StringVar(&s.environment, "environment", "", what+" for the servers of this environment")
	f.StringVar(&s.label, "label", "", what+" for the servers with this label, as KEY=VALUE")
	f.StringVar(&s.server, "server", "", what+" for the server of this name")
	byHandAlone(cmd, "environment", "label", "server")
	cmd.MarkFlagsMutuallyExclusive("environment", "label", "server")
	a.completeScopes(cmd)
	return s
}

// scope is what the flags say, and global without any.
func (s *scopeFlags) scope() (config.Scope, error) {
	scope, err := s.filter()
	if scope == "" {
		scope = config.Global
	}
	return scope, err
}

// filter is what the flags say, and empty without any. A flag with an empty value is
// refused: a variable of a script that is not set must not make "one" mean "all".
func (s *scopeFlags) filter() (config.Scope, error) {
	for flag, scope := range map[string]config.Scope{
		"environment": config.InEnvironment(s.environment),
		"label":       config.Scope("label:" + s.label),
		"server":      config.OnServer(s.server),
	} {
		if !s.cmd.Flags().Changed(flag) {
			continue
		}
		if _, err := config.ParseScope(string(scope)); err != nil {
			return "", usageError("--%s %q: %w", flag, strings.TrimPrefix(string(scope), flag+":"), err)
		}
		return scope, nil
	}
	return "", nil
}

// flagsOf are the flags that mean a scope, with a blank before them.
func flagsOf(scope config.Scope) string {
	kind, name, ok := strings.Cut(string(scope), ":")
	if !ok {
		return ""
	}
	return " --" + kind + " " + shellWord(name)
}

// shellWord quotes what a shell would take apart.
func shellWord(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
