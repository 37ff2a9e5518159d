// Command peers measures fleetcast beside what else people use to reach a fleet and
// to hear its answers: NATS, Redis, PostgreSQL, Serf, Celery, and the bare MongoDB
// driver as the floor. All in one run, on loopback, so that the ratios mean something
// on a machine whose absolute figures do not.
//
//	go run . -n 1,5,20 -rounds 200 -runs 3
//
// For each size N and each contender there is a broker in a process of its own, one
// process with all N responders, each with a connection of its own, and the caller,
// which is this process. (Celery's workers are N processes, and Serf has no broker.)
// Measured are publish -> all answered, a round trip whose end is the N-th answer, and
// publish -> last handler, one way, by the machine's clock.
//
// What is not installed is reported as absent, with what to install. All that is
// started ends with this program, whatever that dies of. Needs a Unix.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if inRole(os.Args[1:]) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "peers: interrupted: the figures are those of the rounds until then")
		os.Exit(130)
	}
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	plan
	only, require []string
	output        string
	into          string
	binary        string
}

// errUsage says that the flags were wrong, which has been told.
var errUsage = errors.New("wrong usage")

func parse(args []string, stderr io.Writer) (settings, error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	o := settings{plan: plan{log: stderr}}
	sizes := flags.String("n", "1,5,20,100", "the `sizes` of the fleet")
	flags.IntVar(&o.rounds, "rounds", 200, "rounds of each measure, for each size and run")
	flags.IntVar(&o.runs, "runs", 3, "how often all is repeated")
	flags.DurationVar(&o.budget, "budget", 20*time.Minute, "time for all; when it is short there are fewer rounds, at least 3")
	only := flags.String("only", "", "the `contenders` to measure, of "+strings.Join(names(contenders), ",")+" (default all)")
	require := flags.String("require", "", "`contenders` that must not be absent")
	flags.StringVar(&o.output, "o", "text", "text, json or markdown")
	flags.StringVar(&o.into, "into", "", "write the markdown report into this `file`, too, between its marks")
	flags.StringVar(&o.binary, "fleetcast", "", "the built fleetcast `binary`, whose store is used (default: it is built)")
	if err := flags.Parse(args); err != nil {
		return o, errUsage
	}
	var err error
	o.sizes, err = parseSizes(*sizes)
	o.only, o.require = list(*only), list(*require)
	err = errors.Join(err, o.check(flags.Args()))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "peers:", err)
		return o, errUsage
	}
	return o, nil
}

func (o settings) check(args []string) error {
	var err error
	for _, name := range slices.Concat(o.only, o.require) {
		_, unknown := contenderNamed(name)
		err = errors.Join(err, unknown)
	}
	if !slices.Contains([]string{"text", "json", "markdown"}, o.output) {
		err = errors.Join(err, fmt.Errorf("-o is text, json or markdown, not %q", o.output))
	}
	if o.rounds < 1 || o.runs < 1 || o.budget <= 0 {
		err = errors.Join(err, errors.New("-rounds, -runs and -budget must be above 0"))
	}
	if len(args) > 0 {
		err = errors.Join(err, fmt.Errorf("unexpected arguments %v", args))
	}
	return err
}

func parseSizes(text string) ([]int, error) {
	var sizes []int
	for _, word := range list(text) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-n wants numbers from 1, such as 1,5,20: not %q", word)
		}
		sizes = append(sizes, n)
	}
	if len(sizes) == 0 {
		return nil, errors.New("-n names no size")
	}
	return sizes, nil
}

// list splits a flag's value at commas.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	r, err := o.measure(ctx)
	if ctx.Err() == nil && o.into != "" && len(r.Figures) > 0 {
		err = errors.Join(err, r.writeInto(o.into))
	}
	if len(r.Contenders) > 0 {
		err = errors.Join(err, r.write(stdout, o.output))
	}
	return err
}

func (r report) write(w io.Writer, format string) error {
	switch format {
	case "json":
		return r.writeJSON(w)
	case "markdown":
		return r.writeMarkdown(w)
	default:
		return r.writeText(w)
	}
}

// measure returns the report of what could be measured, and the errors of the rest.
// What is absent, or had to be left out for want of time, is no error.
func (o settings) measure(ctx context.Context) (report, error) {
	s, err := newSite(o.binary)
	if err != nil {
		return report{}, err
	}
	defer s.close()
	machine := thisMachine(ctx)
	present, list, err := o.choose(ctx, s)
	if err != nil {
		return report{}, err
	}
	// What hangs in spite of all its own bounds ends with this.
	ctx, cancel := context.WithTimeoutCause(ctx, o.budget+startTime, errBudget)
	defer cancel()
	res := o.measureAll(ctx, s, present)
	return newReport(machine, o.plan, list, res, time.Now()), errors.Join(res.broken(), context.Cause(ctx))
}

// choose returns the contenders that are there, and what the report says of all.
func (o settings) choose(ctx context.Context, s *site) (present []contender, list []contenderReport, err error) {
	for _, c := range contenders {
		if len(o.only) > 0 && !slices.Contains(o.only, c.name) {
			continue
		}
		version, cause := c.version(ctx, s)
		entry := contenderReport{Name: c.name, About: c.about, Version: version}
		var absent *absentError
		switch {
		case errors.As(cause, &absent):
			entry.Absent, entry.Install = absent.Reason, absent.Install
			_, _ = fmt.Fprintf(o.log, "%s is absent: %v\n", c.name, absent)
			if slices.Contains(o.require, c.name) {
				err = errors.Join(err, fmt.Errorf("%s is required: %w", c.name, absent))
			}
		case cause != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w", c.name, cause))
		default:
			present = append(present, c)
		}
		list = append(list, entry)
	}
	return present, list, err
}
