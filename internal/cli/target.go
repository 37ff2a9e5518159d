package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// targetFlags are the flags that say who is meant, the same on every command.
type targetFlags struct {
	serverIDs []string
	names     []string
	hosts     []string
	pids      []int
	workerIDs []int
	labels    []string
	limit     string
	dryRun    bool

	changed func(flag string) bool // nil when they are no flags
}

func (a *app) addTargetFlags(cmd *cobra.Command) *targetFlags {
	t := a.addServerFilters(cmd)
	f := cmd.Flags()
	f.IntSliceVar(&t.workerIDs, "worker-id", nil, "only the worker with this number (repeatable)")
	f.StringVar(&t.limit, "limit", "", "at most N, or N%, of the matching servers, first by name")
	f.BoolVar(&t.dryRun, "dry-run", false, "show who would match and publish nothing")
	byHandAlone(cmd, "worker-id", "limit")
	return t
}

// addServerFilters adds the flags that choose servers.
func (a *app) addServerFilters(cmd *cobra.Command) *targetFlags {
	f := cmd.Flags()
	t := &targetFlags{changed: f.Changed}
	f.StringSliceVar(&t.serverIDs, "server-id", nil, "only the server with this id (repeatable)")
	f.StringSliceVar(&t.names, "server", nil, "only servers with this name, or matching this pattern such as 'web-*' (repeatable)")
	f.StringSliceVar(&t.hosts, "host", nil, "only servers on this host, or matching this pattern (repeatable)")
	f.IntSliceVar(&t.pids, "pid", nil, "only the process with this pid (repeatable)")
	f.StringSliceVar(&t.labels, "label", nil, "only servers with this label, as KEY=VALUE; the value may be a pattern (repeatable: all must match)")
	byHandAlone(cmd, "server-id", "server", "host", "pid", "label")
	_ = cmd.RegisterFlagCompletionFunc("server", a.completeServers(func(e server.Entry) (string, string) {
		return e.Name, string(e.Lifecycle) + " on " + e.Host
	}))
	_ = cmd.RegisterFlagCompletionFunc("server-id", a.completeServers(func(e server.Entry) (string, string) {
		return e.ID.Hex(), e.Name
	}))
	_ = cmd.RegisterFlagCompletionFunc("host", a.completeServers(func(e server.Entry) (string, string) {
		return e.Host, ""
	}))
	return t
}

// notFromEnvironment annotates flags that say who is meant: a variable, such as
// the FLEETCAST_SERVER_ID that child processes of a server have, must not make
// "all" mean "some".
const notFromEnvironment = "not-from-environment"

func byHandAlone(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		_ = cmd.Flags().SetAnnotation(name, notFromEnvironment, []string{"true"})
	}
}

// target parses the flags.
func (t *targetFlags) target() (event.Target, error) {
	target := event.Target{Names: t.names, Hosts: t.hosts, PIDs: t.pids, WorkerIDs: t.workerIDs}
	// A variable of a script that is not set must not make "one" mean "all".
	for flag, n := range map[string]int{"server-id": len(t.serverIDs), "server": len(t.names), "host": len(t.hosts), "label": len(t.labels)} {
		if n == 0 && t.changed != nil && t.changed(flag) {
			return target, usageError("--%s is empty: leave it out to mean all servers", flag)
		}
	}
	for _, text := range t.serverIDs {
		id, err := bson.ObjectIDFromHex(text)
		if err != nil {
			return target, usageError("--server-id %q: an id has 24 hexadecimal digits; `fleetcast servers` shows them", text)
		}
		target.ServerIDs = append(target.ServerIDs, id)
	}
	for _, text := range t.labels {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return target, usageError("--label %q: write it as KEY=VALUE", text)
		}
		if target.Labels == nil {
			target.Labels = map[string]string{}
		}
		target.Labels[key] = value
	}
	if err := target.Validate(); err != nil {
		return target, usageError("%w", err)
	}
	return target, nil
}

// namesServers reports whether the target says which servers.
func namesServers(t event.Target) bool {
	t.WorkerIDs = nil
	return !t.IsZero()
}

// count reads a number of servers, or a percentage of n, which is rounded up, so
// that some server is always tried. Nothing given means all.
func count(flag, text string, n int) (int, error) {
	if text == "" {
		return n, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	limit, err := strconv.Atoi(number)
	if err != nil || limit < 1 || (percent && limit > 100) {
		return 0, usageError("--%s %q: write it as a number of servers such as 3, or as a percentage such as 25%%", flag, text)
	}
	if percent {
		limit = (n*limit + 99) / 100
	}
	return min(n, limit), nil
}

// narrow applies the limit: the event is then for those servers alone.
func (t *targetFlags) narrow(e *event.Event, members []event.Member) ([]event.Member, error) {
	n, err := count("limit", t.limit, len(members))
	if err != nil || n == len(members) {
		return members, err
	}
	e.Target.ServerIDs = idsOf(members[:n])
	return members[:n], nil
}

func idsOf(members []event.Member) []bson.ObjectID {
	var ids []bson.ObjectID
	for _, m := range members {
		ids = append(ids, m.ServerID)
	}
	return ids
}

// completeServers completes a flag by what the living servers have.
func (a *app) completeServers(word func(server.Entry) (value, hint string)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var words []string
		for _, e := range a.registryForCompletion(cmd) {
			value, hint := word(e)
			if strings.HasPrefix(value, prefix) && !e.Lost() {
				words = append(words, fmt.Sprintf("%s\t%s", value, hint))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) registryForCompletion(cmd *cobra.Command) []server.Entry {
	return forCompletion(a, cmd, func(ctx context.Context, s *store) ([]server.Entry, error) {
		return server.NewRegistry(s.db).ListTables(ctx)
	})
}

// forCompletion reads a list, quickly and silently: nobody waits long for a Tab.
func forCompletion[T any](a *app, cmd *cobra.Command, read func(context.Context, *store) ([]T, error)) []T {
	if err := a.prepare(cmd); err != nil {
		return nil
	}
	a.timeout = min(a.timeout, completionTimeout)
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	s, err := a.connect(ctx)
	if err != nil {
		return nil
	}
	defer s.close()
	list, err := read(ctx, s)
	if err != nil {
		return nil
	}
	return list
}
