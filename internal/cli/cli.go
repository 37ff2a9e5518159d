// Package cli is the command line: it parses, calls the library, and prints.
// Data goes to stdout, logs and messages go to stderr.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
)

// Exit codes; scripts depend on them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNoMatch     = 3
	exitIncomplete  = 4
	exitKilled      = 5
	exitInterrupted = 130
)

// Process is what the command line has of the process it runs in.
type Process struct {
	Name   string   // how the program was called
	Args   []string // its arguments
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    func(string) (string, bool)
	Hurry  <-chan struct{} // closed at the second signal

	// Operator, if set, begins to receive the signals by which operators ask a
	// server to be quiet, for a thread dump, and to refresh its settings. Only the command server calls it:
	// in all others these signals do what they usually do.
	Operator func() (quiet, dump, refresh <-chan os.Signal)
}

// app is one run of the command line.
type app struct {
	Process
	levels *logging.Levels

	uri       string
	output    string
	logLevel  string
	logFormat string
	noColor   bool
	timeout   time.Duration
	strategy  string

	rawDumps bool // thread dumps are shown as they are
}

// codeError ends the program with a code; without an error, silently: all was
// said already.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &codeError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// Run executes one command line and returns the exit code. It returns soon
// after ctx ends.
func Run(ctx context.Context, p Process) int {
	a := &app{Process: p}
	root := a.rootCommand()
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	code := exitCode(ctx, err)
	var coded *codeError
	if err != nil && (!errors.As(err, &coded) || coded.err != nil) && code != exitInterrupted {
		a.say("fleetcast: %v\n", err)
		if code == exitUsage {
			a.say("Try 'fleetcast --help' or 'fleetcast COMMAND --help'.\n")
		}
	}
	return code
}

func exitCode(ctx context.Context, err error) int {
	var coded *codeError
	var unknown *event.UnknownError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &unknown), errors.Is(err, event.ErrInvalid):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	case strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "if any flags in the group"):
		return exitUsage
	}
	return exitFailure
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetcast",
		Short: "The control plane of worker fleets that share a MongoDB",
		Long: `fleetcast stops, pauses, resumes, kills and inspects the worker processes of a
fleet by events in a capped MongoDB collection, and says exactly how each went.

Start here:  fleetcast dev

Every flag has an environment variable, FLEETCAST_<FLAG>, such as FLEETCAST_URI,
but those that choose which servers or workers are meant.
Exit codes: 0 all that matched are done; 1 failure; 2 wrong usage; 3 nothing
matched; 4 incomplete: somebody who should have answered has not; 130 interrupted.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.uri, "uri", "mongodb://127.0.0.1:27017/fleetcast", "the MongoDB; the path names the database")
	flags.StringVarP(&a.output, "output", "o", "text", "text, json or jsonl")
	flags.StringVar(&a.logLevel, "log-level", "info", "trace, debug, info, warn, error or disabled")
	flags.StringVar(&a.logFormat, "log-format", "text", "text or json")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours in logs (default when stderr is no terminal)")
	flags.DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to try to reach the database")
	flags.StringVar(&a.strategy, "strategy", "auto", "how events are kept: auto, capped, or polling for stores without tailable cursors")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	completeWords(root, "output", "text", "json", "jsonl")
	completeWords(root, "strategy", "auto", "capped", "polling")
	completeWords(root, "log-format", "text", "json")
	completeWords(root, "log-level", "trace", "debug", "info", "warn", "error", "disabled")

	root.AddCommand(
		a.devCommand(), a.storeCommand(), a.serverCommand(), a.publishCommand(),
		a.serversCommand(), a.pingCommand(), a.doctorCommand(), a.execCommand(), a.eventsCommand(), a.repliesCommand(),
		a.auditCommand(), a.eventCommand(), a.listenCommand(), a.actionsCommand(), a.configCommand(), a.consoleCommand(), a.versionCommand(),
	)
	root.AddCommand(a.everydayCommands()...)
	return root
}

// prepare fills flags from the environment and checks the global ones.
func (a *app) prepare(cmd *cobra.Command) error {
	var faults []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "FLEETCAST_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := a.Env(name)
		if !set || f.Changed || f.Annotations[notFromEnvironment] != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			faults = append(faults, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	switch a.output {
	case "text", "json", "jsonl":
	default:
		faults = append(faults, fmt.Errorf("--output %q: choose text, json or jsonl", a.output))
	}
	switch a.logFormat {
	case "text", "json":
	default:
		faults = append(faults, fmt.Errorf("--log-format %q: choose text or json", a.logFormat))
	}
	if _, err := event.ParseStrategy(a.strategy); err != nil {
		faults = append(faults, fmt.Errorf("--strategy: %w", err))
	}
	if a.timeout <= 0 {
		faults = append(faults, fmt.Errorf("--timeout %s: a positive duration such as 10s", a.timeout))
	}
	levels, err := logging.New(a.logLevel)
	if err != nil {
		faults = append(faults, fmt.Errorf("--log-level: %w", err))
	}
	a.levels = levels
	if err := errors.Join(faults...); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// Without this, zerolog's timestamps end at the second.
func init() { zerolog.TimeFieldFormat = time.RFC3339Nano }

// logger returns a logger on stderr that follows the levels.
func (a *app) logger(levels *logging.Levels) zerolog.Logger {
	out := a.Stderr
	if a.logFormat == "text" {
		_, noColor := a.Env("NO_COLOR")
		out = zerolog.ConsoleWriter{
			Out: a.Stderr, TimeFormat: "15:04:05.000",
			NoColor: a.noColor || noColor || !isTerminal(a.Stderr),
		}
	}
	return levels.Logger(zerolog.New(zerolog.SyncWriter(out)).With().Timestamp().Logger(), "")
}

// noArgs refuses arguments with a message for people.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError("%s takes %d arguments: %s", cmd.CommandPath(), len(names), strings.Join(names, " "))
		}
		return nil
	}
}

func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
