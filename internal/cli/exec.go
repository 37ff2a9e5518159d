package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/subscribers"
)

// execFlags are those of exec.
type execFlags struct {
	*acting
	parameters   subscribers.ExecParameters
	quiet, limit time.Duration
	env          []string
	service, tag string
	failOnExit   bool
}

func (a *app) execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec [flags] CMD ARGS...", Args: cobra.ArbitraryArgs,
		Short: "Run a command on the servers that allow it",
		Long: `Run a command on the hosts of the matching servers that were started with
--allow-exec, and show what it prints as it comes, each line with its server's name.
The command ends when it has printed nothing for --wait (its whole process group is
killed), after --run-limit, and when this program ends or is interrupted. Flags of exec
come before CMD; what follows CMD is its own. A -- before it is allowed.

A command that fails is no failure of exec, the summary counts it; --fail-on-exit
makes it one. There is no shell unless --shell is given.`,
		Example: `  fleetcast exec uptime -p
  fleetcast exec --server 'web-*' --shell 'df -h / | tail -1'
  fleetcast exec --service import --wait 60s --min-servers 3 ./migrate --check
  fleetcast exec --batch 10% --batch-sleep 30s --fail-on-exit systemctl restart app`,
	}
	f := &execFlags{acting: &acting{targetFlags: a.addTargetFlags(cmd)}}
	f.parameters.SetDefaults()
	flags := cmd.Flags()
	flags.SetInterspersed(false) // those behind CMD are its own
	flags.DurationVar(&f.quiet, "wait", subscribers.DefaultExecWait, "kill a command that has printed nothing for this long, 0 = never")
	flags.DurationVar(&f.limit, "run-limit", subscribers.DefaultExecLimit, "end a command that takes longer than this, 0 = never")
	flags.Int64Var(&f.parameters.MaxOutput, "max-output", subscribers.DefaultExecOutput, "bytes of output of each server; the rest is counted")
	flags.BoolVar(&f.parameters.Shell, "shell", false, "CMD is one text for /bin/sh -c")
	flags.StringArrayVar(&f.env, "env", nil, "a variable of the command's environment as KEY=VALUE (repeatable)")
	flags.StringVar(&f.parameters.Dir, "dir", "", "where the command runs (default: where the server does)")
	flags.StringVar(&f.service, "service", "", "only servers whose label service is this, or matches this pattern")
	flags.StringVar(&f.tag, "tag", "", "only servers whose label tag is this, or matches this pattern")
	flags.IntVar(&f.minServers, "min-servers", 0, "want the answers of at least so many servers, those included that were just joining (within 10s)")
	flags.BoolVar(&f.failOnExit, "fail-on-exit", false, "exit with 1 when the command has failed on some server, which then counts for --max-failures")
	f.batch.add(cmd)
	cmd.MarkFlagsMutuallyExclusive("min-servers", "batch")
	byHandAlone(cmd, "shell", "env", "dir", "service", "tag", "min-servers")
	cmd.RunE = func(cmd *cobra.Command, command []string) error {
		if err := strayTarget(cmd, command); err != nil {
			return err
		}
		f.parameters.Command = command
		return a.exec(cmd.Context(), f)
	}
	return cmd
}

// narrowing are the flags without which a command runs on more servers, or at all.
var narrowing = []string{"server-id", "server", "host", "pid", "worker-id", "label", "limit", "dry-run", "service", "tag"}

// strayTarget refuses a command with a flag behind it that says who is meant, unless
// a -- shows that the flag is the command's: it would run everywhere.
func strayTarget(cmd *cobra.Command, command []string) error {
	if cmd.ArgsLenAtDash() == 0 || len(command) == 0 {
		return nil
	}
	for _, word := range command[1:] {
		name, _, _ := strings.Cut(word, "=")
		if name, ok := strings.CutPrefix(name, "--"); ok && slices.Contains(narrowing, name) {
			return usageError("--%[1]s behind %[2]s would be a flag of %[2]s, which would then run on more servers: "+
				"write --%[1]s before %[2]s, or -- before it if you mean that", name, command[0])
		}
	}
	return nil
}

func (f *execFlags) check() error {
	p := &f.parameters
	switch {
	case len(p.Command) == 0:
		return usageError("exec needs a command: fleetcast exec uptime")
	case p.Shell && len(p.Command) > 1:
		return usageError("--shell takes one text, but got %q behind it: put the text in quotes, and flags of exec before it", p.Command[1])
	case f.quiet < 0 || f.limit < 0 || p.MaxOutput < 0:
		return usageError("--wait, --run-limit and --max-output may not be negative")
	}
	for _, pair := range f.env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return usageError("--env %q: write it as KEY=VALUE", pair)
		}
		if p.Env == nil {
			p.Env = map[string]string{}
		}
		p.Env[name] = value
	}
	p.Wait, p.Limit = subscribers.Duration(f.quiet), subscribers.Duration(f.limit)
	f.wait = f.limit + patienceBeyond
	if f.limit == 0 {
		f.wait = 24 * time.Hour
	}
	for key, pattern := range map[string]string{"service": f.service, "tag": f.tag} {
		if pattern != "" {
			f.labels = append(f.labels, key+"="+pattern)
		}
	}
	return nil
}

func (a *app) exec(ctx context.Context, f *execFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	show := &execOutputs{app: a, lines: map[string]*bytes.Buffer{}}
	f.own = ownWays{
		before: a.sayWhoDoesNot, options: []event.CallOption{event.Lease()}, show: show.reply,
		report: func(e event.Event, sum event.Summary, finals []event.Reply, out output.Call) error {
			return a.reportExec(show, e, sum, finals, out)
		},
		failures: f.failures, verdict: f.verdict, left: "the servers end the command",
	}
	err := a.act(ctx, f.acting, "exec", "run", f.parameters)
	if unknown, ok := errors.AsType[*event.UnknownError](err); ok {
		return &codeError{code: exitNoMatch, err: fmt.Errorf("no living server allows exec (%w): start servers with --allow-exec", unknown)}
	}
	return err
}

// failures counts the servers where the command has failed, if that is a failure.
func (f *execFlags) failures(finals []event.Reply) int {
	if !f.failOnExit {
		return 0
	}
	return len(exitsOf(finals).failed)
}

func (f *execFlags) verdict(finals []event.Reply) error {
	if f.failures(finals) > 0 {
		return &codeError{code: exitFailure}
	}
	return nil
}

// reportExec prints the summary, and all output unless that was done.
func (a *app) reportExec(show *execOutputs, e event.Event, sum event.Summary, finals []event.Reply, out output.Call) error {
	exits := exitsOf(finals)
	if err := a.printExec(e, sum, execOutput{Call: out, Exits: exits.counts, Output: show.collected()}); err != nil {
		return err
	}
	if a.output == "text" && len(finals) > 0 {
		a.say("%s\n", exits)
	}
	return nil
}

// sayWhoDoesNot names the servers that are meant and do not allow exec: they are
// not asked.
func (a *app) sayWhoDoesNot(ctx context.Context, bus *event.Bus, e event.Event) error {
	asked, err := bus.Match(ctx, e)
	if err != nil {
		return err
	}
	meant, err := bus.Match(ctx, event.New("server", "refresh", nil, event.To(e.Target)))
	if err != nil {
		return err
	}
	var names []string
	for _, m := range meant {
		if !slices.ContainsFunc(asked, func(o event.Member) bool { return o.ServerID == m.ServerID }) {
			names = append(names, m.Name)
		}
	}
	if len(names) > 0 {
		a.say("%s meant, too, but not started with --allow-exec: %s\n", output.Plural(len(names), "server"), strings.Join(names, ", "))
	}
	return nil
}

// execOutput is the JSON of exec. What jsonl streams are execChunk and reply.
type execOutput struct {
	output.Call
	Exits  map[string]int     `json:"exits"`  // how many servers by exit code
	Output []execServerOutput `json:"output"` // not with jsonl, which has had it
}

// execServerOutput is what the command has printed. What is no UTF-8 has U+FFFD in
// place of its bytes in the text, and is there in base64, too.
type execServerOutput struct {
	Server       string `json:"server"`
	Stdout       string `json:"stdout"`
	StdoutBase64 []byte `json:"stdout_base64,omitempty"`
	Stderr       string `json:"stderr"`
	StderrBase64 []byte `json:"stderr_base64,omitempty"`
}

type execChunk struct {
	Type     string `json:"type"` // "output"
	EventID  string `json:"event_id"`
	ServerID string `json:"server_id"`
	Server   string `json:"server"`
	Stream   string `json:"stream"`
	// Data is cut anywhere, also within a line, but not within a character. As for
	// execServerOutput there is Base64 if it is no UTF-8.
	Data   string `json:"data"`
	Base64 []byte `json:"data_base64,omitempty"`
}

// binary is data that is no text, else nil.
func binary(data []byte) []byte {
	if utf8.Valid(data) {
		return nil
	}
	return data
}

func (a *app) printExec(e event.Event, sum event.Summary, out execOutput) error {
	switch a.output {
	case "json":
		return a.printJSON(out)
	case "jsonl":
		out.Replies, out.Output = []output.Reply{}, nil
		return a.printJSON(struct {
			Type string `json:"type"`
			execOutput
		}{"summary", out})
	}
	return a.printOutcome(e, sum, out.Call)
}

// execOutputs shows what the servers print: whole lines, with their names.
type execOutputs struct {
	app   *app
	lines map[string]*bytes.Buffer // begun ones, by server and stream; with json all there is
	names []string                 // of the servers, as they came
}

func (o *execOutputs) reply(e event.Event, r event.Reply) {
	var chunk subscribers.ExecOutput
	switch {
	case r.Kind == event.Output && r.Result(&chunk) == nil:
		o.add(r, chunk)
	case o.app.output == "jsonl":
		o.app.printReply(e, r)
	case o.app.output == "text" && r.Kind.Final():
		o.flush(r.Server, "stdout", true)
		o.flush(r.Server, "stderr", true)
		o.end(e, r)
	}
}

func (o *execOutputs) add(r event.Reply, chunk subscribers.ExecOutput) {
	if o.app.output == "jsonl" {
		_ = o.app.printJSON(execChunk{"output", r.EventID.Hex(), r.ServerID.Hex(), r.Server, chunk.Stream, string(chunk.Data), binary(chunk.Data)})
		return
	}
	if !slices.Contains(o.names, r.Server) {
		o.names = append(o.names, r.Server)
	}
	o.buffer(r.Server, chunk.Stream).Write(chunk.Data)
	if o.app.output == "text" {
		o.flush(r.Server, chunk.Stream, false)
	}
}

func (o *execOutputs) buffer(server, stream string) *bytes.Buffer {
	key := server + " " + stream
	if o.lines[key] == nil {
		o.lines[key] = &bytes.Buffer{}
	}
	return o.lines[key]
}

// flush prints the whole lines; in the end also one that is not.
func (o *execOutputs) flush(server, stream string, end bool) {
	to := map[string]io.Writer{"stdout": o.app.Stdout, "stderr": o.app.Stderr}[stream]
	buffer := o.buffer(server, stream)
	for {
		line, rest, found := bytes.Cut(buffer.Bytes(), []byte("\n"))
		if !found {
			if end && len(line) > 0 {
				fprintf(to, "%s: %s\n", server, line)
				buffer.Reset()
			}
			return
		}
		fprintf(to, "%s: %s\n", server, line)
		buffer.Next(buffer.Len() - len(rest))
	}
}

// end tells how the command ended where it did not do so well.
func (o *execOutputs) end(e event.Event, r event.Reply) {
	var result subscribers.ExecResult
	if r.Kind != event.Done || r.Result(&result) != nil {
		o.app.printReply(e, r)
		return
	}
	if result.DroppedBytes > 0 {
		o.app.say("%s: … %d of %d bytes are not shown (beyond --max-output, or not stored in time)\n", r.Server, result.DroppedBytes, result.OutputBytes)
	}
	switch {
	case result.Killed != "":
		o.app.say("%s: ended by the server, because %s\n", r.Server, result.Killed)
	case result.Signal != "":
		o.app.say("%s: ended by signal: %s\n", r.Server, result.Signal)
	case result.ExitCode != 0:
		o.app.say("%s: exit code %d\n", r.Server, result.ExitCode)
	}
}

// collected is all that was printed, for one JSON document.
func (o *execOutputs) collected() []execServerOutput {
	all := []execServerOutput{}
	for _, name := range o.names {
		stdout, stderr := o.buffer(name, "stdout").Bytes(), o.buffer(name, "stderr").Bytes()
		all = append(all, execServerOutput{name, string(stdout), binary(stdout), string(stderr), binary(stderr)})
	}
	return all
}

// exits are the exit codes of a command.
type exits struct {
	counts map[string]int
	failed []string // the servers where it was not 0
}

func exitsOf(finals []event.Reply) exits {
	x := exits{counts: map[string]int{}}
	for _, r := range finals {
		var result subscribers.ExecResult
		if r.Kind != event.Done || r.Result(&result) != nil {
			continue
		}
		x.counts[fmt.Sprint(result.ExitCode)]++
		if result.ExitCode != 0 {
			x.failed = append(x.failed, fmt.Sprintf("%s: %d", r.Server, result.ExitCode))
		}
	}
	return x
}

func (x exits) String() string {
	if len(x.counts) == 0 {
		return "the command has run nowhere"
	}
	if len(x.failed) == 0 {
		return "the command has succeeded wherever it has run"
	}
	return fmt.Sprintf("the command has exited with 0 on %s, otherwise on %d (%s)",
		output.Plural(x.counts["0"], "server"), len(x.failed), strings.Join(x.failed, ", "))
}
