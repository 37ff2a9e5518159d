package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit [EVENT_ID]",
		Short: "Show who asked what of the fleet, and how it went",
		Long: `List what was asked of the fleet, the newest last: the actions of the built-in
subscribers (stop, pause, kill, log-level, exec ...), and those of your own that
are declared as audited. With an EVENT_ID, one of them with the outcome on each
server. Secret parameters show as ` + event.Hidden + `.`,
		Example: `  fleetcast audit --since 168h --failed
  fleetcast audit --server web-1 --action stop
  fleetcast audit 6b03f022e9d73c8682d9f2da -o json`,
		Args: atMostOneID,
	}
	f := &server.AuditFilter{}
	flags := cmd.Flags()
	flags.DurationVar(&f.Since, "since", 24*time.Hour, "begin this long ago, by the database's clock, 0 = show all")
	flags.StringVar(&f.Subscriber, "subscriber", "", "only events for this subscriber")
	flags.StringVar(&f.Action, "action", "", "only events for this action")
	flags.StringVar(&f.User, "user", "", "only what this user has published, also by sudo")
	flags.StringVar(&f.Server, "server", "", "only what was meant for the server with this name, or matching this pattern")
	flags.BoolVar(&f.Failed, "failed", false, "only what has failed, was refused or not answered on some server, or of which that is not known")
	flags.IntVar(&f.Limit, "limit", 100, "at most so many, the newest, 0 = all")
	byHandAlone(cmd, "subscriber", "action", "user", "server", "failed", "limit") // FLEETCAST_USER must hide nothing
	_ = cmd.RegisterFlagCompletionFunc("server", a.completeServers(func(e server.Entry) (string, string) {
		return e.Name, string(e.Lifecycle) + " on " + e.Host
	}))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkAuditFilter(*f); err != nil {
			return err
		}
		s, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer s.close()
		ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
		defer cancel()
		if len(args) > 0 {
			return a.auditOne(ctx, server.NewRegistry(s.db), args[0])
		}
		return a.auditList(ctx, server.NewRegistry(s.db), *f)
	}
	return cmd
}

func checkAuditFilter(f server.AuditFilter) error {
	if f.Since < 0 {
		return usageError("--since %s: a duration such as 24h, or 0 for all", f.Since)
	}
	if f.Limit < 0 {
		return usageError("--limit %d: a number of entries, or 0 for all", f.Limit)
	}
	if f.Server != "" {
		if err := (event.Target{Names: []string{f.Server}}).Validate(); err != nil {
			return usageError("--server: %w", err)
		}
	}
	return nil
}

func atMostOneID(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return usageError("%s takes one event id, but got %d arguments", cmd.CommandPath(), len(args))
	case len(args) == 1:
		if _, err := bson.ObjectIDFromHex(args[0]); err != nil {
			return usageError("%q is not an event id: it has 24 hexadecimal digits; `fleetcast audit` lists them", args[0])
		}
	}
	return nil
}

func (a *app) auditOne(ctx context.Context, registry *server.Registry, hex string) error {
	id, err := bson.ObjectIDFromHex(hex)
	if err != nil {
		return err
	}
	entry, err := registry.Recorded(ctx, id)
	if errors.Is(err, server.ErrNotRecorded) {
		return &codeError{code: exitNoMatch, err: err}
	}
	if err != nil {
		return err
	}
	if a.output != "text" {
		return a.printJSON(output.ToAudit(entry))
	}
	printAuditEntry(a.Stdout, entry)
	return nil
}

func (a *app) auditList(ctx context.Context, registry *server.Registry, f server.AuditFilter) error {
	entries, more, err := registry.Trail(ctx, f)
	if err != nil {
		return err
	}
	if a.output != "text" {
		out := make([]output.Audit, 0, len(entries))
		for _, e := range entries {
			out = append(out, output.ToAudit(e))
		}
		err = printAll(a, out)
	} else if len(entries) > 0 {
		err = printAuditTable(a.Stdout, entries)
	}
	switch {
	case more:
		a.say("there is more: these are the newest %d; --limit 0 shows all\n", len(entries))
	case len(entries) == 0 && f.Since > 0:
		a.say("nothing like that is on record since %s; --since 0 looks further back\n", time.Now().Add(-f.Since).Format(time.DateTime))
	case len(entries) == 0:
		a.say("nothing like that is on record\n")
	}
	return err
}
