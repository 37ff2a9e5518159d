package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

// listenFlags are those of listen.
type listenFlags struct {
	config   string
	on       []string
	limit    time.Duration
	output   int64
	parallel bool
	durable  string
	from     string
	name     string
	labels   map[string]string

	given func(flag string) bool // by hand, or in the environment
}

func (a *app) listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "listen [--on EVENT=SCRIPT ...] [--config FILE]", Args: noArgs,
		Short: "Run scripts on events, as the event handlers of a Serf agent",
		Long: `Run scripts when "fleetcast event" publishes their events. EVENT is a name or a
pattern: '*' is every event. A script gets the payload on stdin, and in its environment
FLEETCAST_EVENT, FLEETCAST_EVENT_ID, FLEETCAST_EVENT_TIME, FLEETCAST_SERVER,
FLEETCAST_SERVER_ID and FLEETCAST_LABEL_<KEY>. What it prints and how it ends goes into
the log, and to a caller who waits. SCRIPT is a program and its arguments, split at
blanks; there is no shell.

Events wait for the scripts before them, so that one script runs at a time; with
--parallel they do not, and up to 16 run at a time. With --durable NAME events are kept for this name while nobody
listens, as long as the collection has them.

--config names a file in YAML with several handlers, and with settings for each; see
docs/listen.yaml. A flag, or its environment variable, goes before what the file says
for all; what a handler says for itself goes before both. Labels are put together. The
scripts of --on run after those of the file.`,
		Example: `  fleetcast listen --on deploy=./deploy.sh --on '*'=./log.sh
  fleetcast listen --durable mailer --on 'report-*=./mail.sh --to ops'
  fleetcast listen --config /etc/fleetcast/listen.yaml`,
	}
	f := &listenFlags{}
	f.add(cmd.Flags())
	byHandAlone(cmd, "on", "label")
	cmd.MarkFlagsMutuallyExclusive("durable", "parallel")
	completeWords(cmd, "from", "latest", "earliest")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		plan, err := f.plan()
		if err != nil {
			return err
		}
		return a.listen(cmd.Context(), plan)
	}
	return cmd
}

func (f *listenFlags) add(flags *pflag.FlagSet) {
	f.given = flags.Changed
	flags.StringVar(&f.config, "config", "", "read handlers and settings from this YAML file, too")
	flags.StringArrayVar(&f.on, "on", nil, "run a script on an event, as EVENT=SCRIPT (repeatable; several for one event run in this order)")
	flags.DurationVar(&f.limit, "script-timeout", 10*time.Minute, "end a script that takes longer than this, 0 = never")
	flags.Int64Var(&f.output, "max-output", subscribers.DefaultExecOutput, "bytes of output of a script that are kept; the rest is counted")
	flags.BoolVar(&f.parallel, "parallel", false, "do not wait for the scripts of earlier events")
	flags.StringVar(&f.durable, "durable", "", "continue where the last process of this name has stopped")
	flags.StringVar(&f.from, "from", "latest", "where a new --durable name begins: latest or earliest")
	flags.StringVar(&f.name, "name", "", "this process's unique name in the registry (default host:pid)")
	flags.StringToStringVar(&f.labels, "label", nil, "a label as KEY=VALUE (repeatable)")
}

func (a *app) listen(ctx context.Context, plan *listenPlan) error {
	ctx = a.logger(a.levels).WithContext(ctx)
	s, err := a.connectForever(ctx, a.uri)
	if err != nil {
		return err
	}
	defer s.close()
	srv, err := server.Open(ctx, s.db, nil, server.Config{
		Bus:     event.Config{Identity: event.Identity{Name: plan.name, Labels: plan.labels}, Log: s.log},
		Version: versionText(), Logger: a.levels,
	})
	if err != nil {
		return err
	}
	if err := plan.subscribe(srv.Bus()); err != nil {
		return err
	}
	return a.runServer(ctx, srv)
}

// subscribe subscribes the scripts that wait for each other, for which the order of
// events counts, and those that do not: each of the two has all events.
func (p *listenPlan) subscribe(bus *event.Bus) error {
	var opts []event.SubscribeOption
	if p.durable != "" {
		start := event.Latest()
		if p.from == "earliest" {
			start = event.Earliest()
		}
		opts = append(opts, event.Durable(p.durable, start))
	}
	speaks := true
	for _, parallel := range []bool{false, true} {
		r := &scriptRunner{handlers: p.withParallel(parallel), identity: bus.Identity(), wanted: p.wants, speaks: speaks}
		if len(r.handlers) == 0 {
			continue
		}
		if parallel {
			r.places = make(chan struct{}, maxScripts)
		}
		if _, err := bus.Subscribe(&subscribers.User{Handle: r.handle, Parallel: parallel}, opts...); err != nil {
			return err
		}
		speaks = false
	}
	return nil
}

// onFlag is one --on, as a handler.
func (f *listenFlags) onFlag(text string) (*handler, error) {
	name, command, ok := strings.Cut(text, "=")
	if !ok {
		return nil, usageError("--on %q: write it as EVENT=SCRIPT", text)
	}
	h := &handler{events: []string{name}, words: strings.Fields(command)}
	if err := checkEvents(h.events); err != nil {
		return nil, usageError("--on %q: %w", text, err)
	}
	if err := h.find(""); err != nil {
		return nil, usageError("--on %q: %w", text, err)
	}
	return h, nil
}
