package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
	"github.com/fleetcast/fleetcast/server"
)

// completePaths completes the first argument by the paths that are set; with declared,
// also by those that could be.
func (a *app) completePaths(declared bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.pathsForCompletion(cmd, declared, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSet completes a path, and then its value where there are few.
func (a *app) completeSet(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.pathsForCompletion(cmd, true, prefix), cobra.ShellCompDirectiveNoFileComp
	case 1:
		var words []string
		for _, d := range settings.DeclaredByLiving(a.registryForCompletion(cmd)) {
			if d.Path == args[0] {
				words = append(words, valuesOf(d.Declaration)...)
			}
		}
		words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, prefix) })
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// valuesOf returns the values of a setting that has few, else its default.
func valuesOf(d config.Declaration) []string {
	if d.Type == config.Boolean {
		return []string{"true", "false"}
	}
	for rule := range strings.SplitSeq(d.Rules, ",") {
		if words, ok := strings.CutPrefix(rule, "oneof="); ok {
			return strings.Fields(words)
		}
	}
	if d.Default != "" {
		return []string{d.Default + "\tthe default"}
	}
	return nil
}

func (a *app) pathsForCompletion(cmd *cobra.Command, declared bool, prefix string) []string {
	hints := map[string]string{}
	for _, path := range a.settingsForCompletion(cmd) {
		hints[path] = "is set"
	}
	if declared {
		for _, d := range settings.DeclaredByLiving(a.registryForCompletion(cmd)) {
			hints[d.Path] = d.Doc
		}
	}
	var words []string
	for path, hint := range hints {
		if strings.HasPrefix(path, prefix) {
			words = append(words, path+"\t"+hint)
		}
	}
	slices.Sort(words)
	return words
}

// settingsForCompletion returns the paths in the collection, quickly or not at all.
func (a *app) settingsForCompletion(cmd *cobra.Command) (paths []string) {
	list := a.listForCompletion(cmd)
	for _, s := range list {
		paths = append(paths, s.Path)
	}
	return paths
}

func (a *app) listForCompletion(cmd *cobra.Command) []config.Setting {
	return forCompletion(a, cmd, func(ctx context.Context, s *store) ([]config.Setting, error) {
		return config.NewStore(s.db, config.StoreConfig{}).List(ctx, config.Filter{})
	})
}

// completeScopes completes the flags of a scope by the servers there are, and
// environments by those that something is set for.
func (a *app) completeScopes(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("server", a.completeServers(func(e server.Entry) (string, string) {
		return e.Name, string(e.Lifecycle) + " on " + e.Host
	}))
	_ = cmd.RegisterFlagCompletionFunc("label", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var words []string
		for _, e := range a.registryForCompletion(cmd) {
			words = append(words, output.LabelList(e.Labels)...)
		}
		return distinct(words, prefix), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("environment", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var words []string
		for _, s := range a.listForCompletion(cmd) {
			if name, ok := strings.CutPrefix(string(s.Scope), "environment:"); ok {
				words = append(words, name)
			}
		}
		return distinct(words, prefix), cobra.ShellCompDirectiveNoFileComp
	})
}

// distinct sorts words that begin with a prefix.
func distinct(words []string, prefix string) []string {
	words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, prefix) })
	slices.Sort(words)
	return slices.Compact(words)
}
