package subscribers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/procgroup"
)

// The defaults of [ExecParameters].
const (
	DefaultExecWait   = 2 * time.Second // as consul exec's
	DefaultExecLimit  = 10 * time.Minute
	DefaultExecOutput = 1 << 20
)

// ExecParameters are those of exec run.
type ExecParameters struct {
	// Command is the program and its arguments; a name without a slash is looked up
	// in the server's PATH. With Shell it is one text for /bin/sh -c. Required.
	Command []string `bson:"command" json:"command" doc:"the program and its arguments; with shell one text"`
	Shell   bool     `bson:"shell,omitempty" json:"shell,omitempty" doc:"the command is a text for /bin/sh -c"`
	// Env is added to the server's environment, from which FLEETCAST_* variables are
	// taken out, see [Exec]; its values are in no record.
	Env map[string]string `bson:"env,omitempty" json:"env,omitempty" fleetcast:"secret" doc:"added to the server's environment without its FLEETCAST_* variables"`
	// Dir is where it runs. Default: where the server does.
	Dir string `bson:"dir,omitempty" json:"dir,omitempty" doc:"where it runs (default: where the server does)"`
	// Wait is how long the command may print nothing before its process group is
	// killed; 0 means for ever. Default 2 s.
	Wait Duration `bson:"wait" json:"wait" doc:"kill it when it has printed nothing for this long, 0 = never"`
	// Limit is how long it may take in all; 0 means without limit. Default 10 min.
	Limit Duration `bson:"limit" json:"limit" doc:"end it when it takes longer, 0 = never"`
	// MaxOutput is how many bytes of output are sent; the rest is counted. Default 1
	// MiB.
	MaxOutput int64 `bson:"max_output" json:"max_output" doc:"bytes of output that are sent; the rest is counted"`
}

// SetDefaults implements event.Defaulter.
func (p *ExecParameters) SetDefaults() {
	p.Wait, p.Limit, p.MaxOutput = Duration(DefaultExecWait), Duration(DefaultExecLimit), DefaultExecOutput
}

func (p ExecParameters) check() error {
	switch {
	case len(p.Command) == 0 || p.Command[0] == "":
		return errors.New("command is empty: give the program and its arguments")
	case p.Shell && len(p.Command) != 1:
		return fmt.Errorf("command has %d texts: with shell it is one line", len(p.Command))
	case p.MaxOutput < 0:
		return fmt.Errorf("max_output is %d: a number of bytes", p.MaxOutput)
	}
	for name := range p.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("env %q: that is no name of a variable", name)
		}
	}
	return nil
}

// ExecOutput is the payload of the replies of kind output that exec run sends.
type ExecOutput struct {
	Stream string `bson:"stream" json:"stream"` // stdout or stderr
	// Data is cut anywhere, also within a line, but not within a character of UTF-8.
	// Other bytes come as they are.
	Data []byte `bson:"data" json:"data"`
}

// ExecResult is the result of exec run. That the command failed is no failure of
// the action.
type ExecResult struct {
	// ExitCode is the command's, or 128 and the signal that has ended it.
	ExitCode int    `bson:"exit_code" json:"exit_code"`
	Signal   string `bson:"signal,omitempty" json:"signal,omitempty"` // that has ended it
	// Killed says why the server has ended it, if it has.
	Killed       string `bson:"killed,omitempty" json:"killed,omitempty"`
	OutputBytes  int64  `bson:"output_bytes" json:"output_bytes"`                       // printed in all
	DroppedBytes int64  `bson:"dropped_bytes,omitempty" json:"dropped_bytes,omitempty"` // of these, not sent: beyond MaxOutput, or not taken in time
}

// maxExecs is how many commands run at a time.
const maxExecs = 16

// Exec is the subscriber "exec": it runs commands here, as this process's user, for
// everybody who can publish events. It is for servers whose operators want that,
// and is never there by itself.
//
// A command gets this process's environment without the variables FLEETCAST_*, of
// which FLEETCAST_URI may have the login to the database. That keeps them out of what
// commands print by the way; it is no protection against a command that looks for them,
// since it runs as the same user.
//
// A command's process group ends with it, with the server however that ends, and
// with the caller: events without a lease (see [event.Lease]) are refused.
type Exec struct {
	// Allow are the commands that may be run, none for all. Each is a pattern, as of
	// [path.Match], for each word of the command; a last word "*" stands for any
	// further arguments, whatever they are. Elsewhere wildcards are narrower: they
	// match no "/", no ".." of a path, and no "-" that begins a word. With patterns
	// there are no shell, no Env and no Dir, which would make something else of an
	// allowed command.
	Allow []string
	// Env is added to the environment of each command, as "KEY=value"; a later one of
	// the same name counts.
	Env []string

	running atomic.Int32
}

// NewExec returns the subscriber, or an error when a pattern is broken or commands
// cannot be run on this system.
func NewExec(allow, env []string) (*Exec, error) {
	for _, pattern := range allow {
		if err := checkPattern(pattern); err != nil {
			return nil, err
		}
	}
	return &Exec{Allow: allow, Env: env}, procgroup.Supported()
}

// Name implements event.Subscriber.
func (x *Exec) Name() string { return "exec" }

// Actions implements event.Subscriber.
func (x *Exec) Actions() []event.Action {
	return []event.Action{
		event.OnResult("run", x.run, event.Concurrent(), event.ExpiresAfter(DefaultExpiry),
			event.Doc("run a command on the server's host")),
	}
}

func (x *Exec) run(ctx context.Context, p ExecParameters) (ExecResult, error) {
	e, _ := event.FromContext(ctx)
	if err := p.check(); err != nil {
		return ExecResult{}, err
	}
	if err := x.refusal(e, p); err != nil {
		return ExecResult{}, err
	}
	defer x.running.Add(-1)
	if n := x.running.Add(1); n > maxExecs {
		return ExecResult{}, event.Refuse("%d commands are running here already", n-1)
	}
	log := zerolog.Ctx(ctx).With().Strs("command", p.Command).Bool("shell", p.Shell).Str("user", e.Publisher.User).
		Str("from", e.Publisher.Host).Int("from_pid", e.Publisher.PID).Logger()
	log.Warn().Msg("running a command")
	result, err := x.execute(ctx, p)
	log.Info().Err(err).Int("exit_code", result.ExitCode).Str("killed", result.Killed).
		Int64("output_bytes", result.OutputBytes).Msg("command ended")
	return result, err
}

func (x *Exec) execute(ctx context.Context, p ExecParameters) (ExecResult, error) {
	c := procgroup.Command{
		Words: p.Command, Dir: p.Dir, Base: withoutOwn(os.Environ()), Env: slices.Clone(x.Env),
		Wait: time.Duration(p.Wait), Limit: time.Duration(p.Limit), MaxOutput: p.MaxOutput,
		Output: emitOutput,
	}
	if p.Shell {
		c.Words = []string{"/bin/sh", "-c", p.Command[0]}
	}
	for name, value := range p.Env {
		c.Env = append(c.Env, name+"="+value)
	}
	r, err := procgroup.Run(ctx, c)
	return ExecResult{
		ExitCode: r.ExitCode, Signal: r.Signal, Killed: r.Killed, OutputBytes: r.Printed, DroppedBytes: r.Dropped,
	}, err
}

// withoutOwn takes out what is for fleetcast itself.
func withoutOwn(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool { return strings.HasPrefix(v, "FLEETCAST_") })
}

// emitOutput sends what a command prints to the caller.
func emitOutput(ctx context.Context, stream string, data []byte) error {
	return event.Emit(ctx, ExecOutput{Stream: stream, Data: data})
}

// refusal says why a command is not run.
func (x *Exec) refusal(e event.Event, p ExecParameters) error {
	switch {
	case e.Lease == 0:
		return event.Refuse("a command ends with its caller: call it with a lease")
	case len(x.Allow) == 0:
		return nil
	case p.Shell || len(p.Env) > 0 || p.Dir != "":
		return event.Refuse("this server allows certain commands only, without shell, env and dir: %s", strings.Join(x.Allow, "; "))
	}
	for _, pattern := range x.Allow {
		if allows(strings.Fields(pattern), p.Command) {
			return nil
		}
	}
	return event.Refuse("this server allows these commands only: %s", strings.Join(x.Allow, "; "))
}
