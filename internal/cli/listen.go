package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/procgroup"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

// listenFlags are those of listen.
type listenFlags struct {
	on       []string
	limit    time.Duration
	output   int64
	parallel bool
	durable  string
	from     string
	name     string
	labels   map[string]string
}

func (a *app) listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "listen --on EVENT=SCRIPT ...", Args: noArgs,
		Short: "Run scripts on events, as the event handlers of a Serf agent",
		Long: `Run scripts when "fleetcast event" publishes their events; '*' is every event. A
script gets the payload on stdin, and in its environment FLEETCAST_EVENT,
FLEETCAST_EVENT_ID, FLEETCAST_EVENT_TIME, FLEETCAST_SERVER, FLEETCAST_SERVER_ID and
FLEETCAST_LABEL_<KEY>. What it prints and how it ends goes into the log, and to a caller
who waits. SCRIPT is a program and its arguments, split at blanks; there is no shell.

Events wait for the scripts before them, unless --parallel. With --durable NAME events
are kept for this name while nobody listens, as long as the collection has them.`,
		Example: `  fleetcast listen --on deploy=./deploy.sh --on '*'=./log.sh
  fleetcast listen --durable mailer --on 'report=./mail.sh --to ops'`,
	}
	f := &listenFlags{}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.on, "on", nil, "run a script on an event, as EVENT=SCRIPT (repeatable; several for one event run in this order)")
	flags.DurationVar(&f.limit, "script-timeout", 10*time.Minute, "end a script that takes longer than this, 0 = never")
	flags.Int64Var(&f.output, "max-output", subscribers.DefaultExecOutput, "bytes of output of a script that are kept; the rest is counted")
	flags.BoolVar(&f.parallel, "parallel", false, "do not wait for the scripts of earlier events")
	flags.StringVar(&f.durable, "durable", "", "continue where the last process of this name has stopped")
	flags.StringVar(&f.from, "from", "latest", "where a new --durable name begins: latest or earliest")
	flags.StringVar(&f.name, "name", "", "this process's unique name in the registry (default host:pid)")
	flags.StringToStringVar(&f.labels, "label", nil, "a label as KEY=VALUE (repeatable)")
	byHandAlone(cmd, "on", "label")
	cmd.MarkFlagsMutuallyExclusive("durable", "parallel")
	completeWords(cmd, "from", "latest", "earliest")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.listen(cmd.Context(), f) }
	return cmd
}

// script is one --on.
type script struct {
	event string
	words []string
}

func (f *listenFlags) scripts() (scripts []script, err error) {
	for _, text := range f.on {
		name, command, ok := strings.Cut(text, "=")
		words := strings.Fields(command)
		if !ok || name == "" || len(words) == 0 {
			return nil, usageError("--on %q: write it as EVENT=SCRIPT", text)
		}
		if _, err := exec.LookPath(words[0]); err != nil {
			return nil, usageError("--on %q: the script cannot be run: %w", text, err)
		}
		scripts = append(scripts, script{name, words})
	}
	switch {
	case len(scripts) == 0:
		return nil, usageError("--on is missing: on which event to run which script, such as --on deploy=./deploy.sh")
	case f.from != "latest" && f.from != "earliest":
		return nil, usageError("--from %q: latest or earliest", f.from)
	case f.limit < 0 || f.output < 0:
		return nil, usageError("--script-timeout and --max-output may not be negative")
	}
	return scripts, procgroup.Supported()
}

func (a *app) listen(ctx context.Context, f *listenFlags) error {
	scripts, err := f.scripts()
	if err != nil {
		return err
	}
	ctx = a.logger(a.levels).WithContext(ctx)
	s, err := a.connectForever(ctx, a.uri)
	if err != nil {
		return err
	}
	defer s.close()
	srv, err := server.Open(ctx, s.db, nil, server.Config{
		Bus:     event.Config{Identity: event.Identity{Name: f.name, Labels: f.labels}, Log: s.log},
		Version: versionText(), Logger: a.levels,
	})
	if err != nil {
		return err
	}
	var opts []event.SubscribeOption
	if f.durable != "" {
		start := event.Latest()
		if f.from == "earliest" {
			start = event.Earliest()
		}
		opts = append(opts, event.Durable(f.durable, start))
	}
	h := &handlers{scripts: scripts, flags: f, identity: srv.Bus().Identity()}
	if _, err := srv.Bus().Subscribe(&subscribers.User{Handle: h.handle, Parallel: f.parallel}, opts...); err != nil {
		return err
	}
	return a.runServer(ctx, srv)
}

// handlers run the scripts.
type handlers struct {
	scripts  []script
	flags    *listenFlags
	identity event.Identity
}

// scriptOutcome is the result of one script.
type scriptOutcome struct {
	Script       string `bson:"script" json:"script"`
	ExitCode     int    `bson:"exit_code" json:"exit_code"`
	Killed       string `bson:"killed,omitempty" json:"killed,omitempty"`
	OutputBytes  int64  `bson:"output_bytes" json:"output_bytes"`
	DroppedBytes int64  `bson:"dropped_bytes,omitempty" json:"dropped_bytes,omitempty"`
}

// handle runs all scripts of an event, and fails with those that have failed.
func (h *handlers) handle(ctx context.Context, u subscribers.UserEvent) (any, error) {
	outcomes := []scriptOutcome{}
	var faults []string
	for _, s := range h.scripts {
		if s.event != "*" && s.event != u.Name {
			continue
		}
		outcome, fault := h.run(ctx, s, u)
		outcomes = append(outcomes, outcome)
		if fault != "" {
			faults = append(faults, fmt.Sprintf("%s: %s", s.words[0], fault))
		}
	}
	if len(outcomes) == 0 {
		return fmt.Sprintf("no script is for event %q here", u.Name), nil
	}
	result := struct {
		Scripts []scriptOutcome `bson:"scripts"`
	}{outcomes}
	if len(faults) > 0 {
		return result, fmt.Errorf("%s", strings.Join(faults, "; "))
	}
	return result, nil
}

func (h *handlers) run(ctx context.Context, s script, u subscribers.UserEvent) (outcome scriptOutcome, fault string) {
	e, _ := event.FromContext(ctx)
	log := zerolog.Ctx(ctx).With().Str("event", u.Name).Str("script", s.words[0]).Logger()
	r, err := procgroup.Run(ctx, procgroup.Command{
		Words: s.words, Env: h.environment(e, u), Stdin: payloadReader(u.Payload), Limit: h.flags.limit, MaxOutput: h.flags.output,
		Output: func(ctx context.Context, stream string, data []byte) error {
			for line := range bytes.Lines(data) {
				log.Info().Str("stream", stream).Msg(string(bytes.TrimRight(line, "\n")))
			}
			return event.Emit(ctx, subscribers.ExecOutput{Stream: stream, Data: data})
		},
	})
	outcome = scriptOutcome{Script: s.words[0], ExitCode: r.ExitCode, Killed: r.Killed, OutputBytes: r.Printed, DroppedBytes: r.Dropped}
	switch {
	case err != nil:
		outcome.ExitCode, fault = -1, err.Error()
	case r.Killed != "":
		fault = "ended, because " + r.Killed
	case r.Signal != "":
		fault = "ended by signal: " + r.Signal
	case r.ExitCode != 0:
		fault = fmt.Sprintf("exit code %d", r.ExitCode)
	}
	log.Info().Str("fault", fault).Dur("took_ms", r.Took).Msg("script ended")
	return outcome, fault
}

func (h *handlers) environment(e event.Event, u subscribers.UserEvent) []string {
	env := []string{
		"FLEETCAST_EVENT=" + u.Name, "FLEETCAST_EVENT_ID=" + e.ID.Hex(), "FLEETCAST_EVENT_TIME=" + timeOf(e.Time).Format(time.RFC3339),
		"FLEETCAST_SERVER=" + h.identity.Name, "FLEETCAST_SERVER_ID=" + h.identity.ServerID.Hex(),
	}
	for key, value := range h.identity.Labels {
		key = strings.Map(func(r rune) rune {
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r) {
				return r
			}
			return '_'
		}, strings.ToUpper(key))
		env = append(env, "FLEETCAST_LABEL_"+key+"="+value)
	}
	return env
}

// payloadReader is what a script reads: text and binary data as they are, all else
// as JSON.
func payloadReader(payload any) io.Reader {
	switch p := payload.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(p)
	case bson.Binary:
		return bytes.NewReader(p.Data)
	}
	typ, data, err := bson.MarshalValue(payload)
	if err != nil {
		return nil
	}
	return bytes.NewReader(toJSON(bson.RawValue{Type: typ, Value: data}))
}
