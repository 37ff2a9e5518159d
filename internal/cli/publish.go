package cli

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish SUBSCRIBER ACTION",
		Short: "Publish an event and wait for the answers",
		Example: `  fleetcast publish server pause --dry-run
  fleetcast publish server resize --param max_workers=8 --server web-1
  fleetcast publish logger set --param level=debug --host web1
  fleetcast publish example greet --params '{"name": "Jack", "port": 123}'`,
		Args: exactArgs("SUBSCRIBER", "ACTION"),
	}
	act := a.addActingFlags(cmd, event.DefaultWait)
	act.addAllServers(cmd)
	parameters := addParameterFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		doc, err := parameters.document()
		if err != nil {
			return err
		}
		return a.act(cmd.Context(), act, args[0], args[1], doc)
	}
	cmd.ValidArgsFunction = a.completeActions
	_ = cmd.RegisterFlagCompletionFunc("param", a.completeParameters)
	return cmd
}

// parameterFlags are --param and --params.
type parameterFlags struct {
	pairs []string
	json  string
}

func addParameterFlags(cmd *cobra.Command) *parameterFlags {
	p := &parameterFlags{}
	cmd.Flags().StringArrayVar(&p.pairs, "param", nil, "a parameter as KEY=VALUE (repeatable); a VALUE that is JSON is taken as such, all else as text")
	cmd.Flags().StringVar(&p.json, "params", "", "all parameters as a JSON object")
	cmd.MarkFlagsMutuallyExclusive("param", "params")
	return p
}

func isJSON(text string) bool { return json.Valid([]byte(text)) }

// document encodes the parameters; nil means none.
func (p *parameterFlags) document() (bson.Raw, error) {
	fields := bson.D{}
	if p.json != "" {
		if err := bson.UnmarshalExtJSON([]byte(p.json), false, &fields); err != nil {
			return nil, usageError("--params is not a JSON object: %w", err)
		}
	}
	for _, pair := range p.pairs {
		key, text, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usageError("--param %q: write it as KEY=VALUE", pair)
		}
		value, err := parameterValue(text)
		if err != nil {
			return nil, usageError("--param %s: %w", key, err)
		}
		fields = append(fields, bson.E{Key: key, Value: value})
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return bson.Marshal(fields)
}

func parameterValue(text string) (any, error) {
	if !isJSON(text) {
		return text, nil
	}
	var doc bson.D
	if err := bson.UnmarshalExtJSON([]byte(`{"v":`+text+`}`), false, &doc); err != nil {
		return nil, err
	}
	return doc[0].Value, nil
}

// completeActions completes SUBSCRIBER and ACTION by what the fleet has.
func (a *app) completeActions(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var words []string
	for _, e := range a.registryForCompletion(cmd) {
		for subscriber, actions := range e.Actions {
			switch {
			case len(args) == 0:
				words = append(words, subscriber)
			case len(args) == 1 && args[0] == subscriber:
				words = append(words, actions...)
			}
		}
	}
	words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, prefix) })
	slices.Sort(words)
	return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
}
