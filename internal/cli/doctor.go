package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Args: noArgs,
		Short: "Check the database and the fleet, and say what to do",
		Long: `Look at all that fleetcast stands on: whether the database is near and new enough,
what the login may do there, clocks, whether the collections of events and replies are
as they must be and how far back they reach, who in the registry is lost, deaf, stuck
or has missed something, and whether every server answers.

It changes nothing, but for the event "server ping" that all servers get. Exit code 1
when something is broken; warnings alone are 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
	return cmd
}

// findingOutput is one thing that was looked at.
type findingOutput struct {
	Check  string  `json:"check"`
	Status verdict `json:"status"`
	Found  string  `json:"found"`
	Advice string  `json:"advice"` // empty when it is ok
}

// verdict is how a finding is.
type verdict string

const (
	isOK      verdict = "ok"
	isWarning verdict = "warning" // it works, and may not for long, or is not meant to be so
	isBroken  verdict = "broken"
)

// doctor is one examination.
type doctor struct {
	*store
	findings []findingOutput
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, findingOutput{check, isOK, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(check, advice, format string, args ...any) {
	d.findings = append(d.findings, findingOutput{check, isWarning, fmt.Sprintf(format, args...), advice})
}

func (d *doctor) broken(check, advice, format string, args ...any) {
	d.findings = append(d.findings, findingOutput{check, isBroken, fmt.Sprintf(format, args...), advice})
}

func (a *app) doctor(ctx context.Context) error {
	s, err := a.connect(ctx)
	if err != nil { // which says what to do
		return err
	}
	defer s.close()
	bounded, cancel := context.WithTimeout(ctx, 3*a.timeout)
	defer cancel()
	d := &doctor{store: s}
	d.examine(bounded)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return a.printFindings(d.findings)
}

func (d *doctor) examine(ctx context.Context) {
	d.examineDatabase(ctx)
	d.examineRights(ctx)
	entries, err := server.NewRegistry(d.db).List(ctx)
	if err != nil {
		d.broken("registry", "see the error", "%v", err)
	}
	logs := d.examineLogs(ctx, len(entries) > 0)
	d.examineFleet(entries)
	if living := slices.ContainsFunc(entries, func(e server.Entry) bool { return !e.Lost() }); living && logs {
		d.examineAnswers(ctx)
	}
}

func (a *app) printFindings(findings []findingOutput) error {
	broken := slices.ContainsFunc(findings, func(f findingOutput) bool { return f.Status == isBroken })
	if a.output != "text" {
		if err := printAll(a, findings); err != nil {
			return err
		}
	} else {
		a.printFindingsText(findings)
	}
	if broken {
		return &codeError{code: exitFailure}
	}
	return nil
}

func (a *app) printFindingsText(findings []findingOutput) {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "CHECK\tSTATUS\tFOUND\n")
	count := map[verdict]int{}
	for _, f := range findings {
		count[f.Status]++
		fprintf(w, "%s\t%s\t%s\n", f.Check, f.Status, f.Found)
		if f.Advice != "" {
			fprintf(w, "\t\t→ %s\n", f.Advice)
		}
	}
	_ = w.Flush()
	a.printf("%d ok, %s, %d broken\n", count[isOK], output.Plural(count[isWarning], "warning"), count[isBroken])
}

// some lists names, not too many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(names[:most], ", "), len(names)-most)
}
