package cli

import (
	"cmp"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

func printAuditTable(w io.Writer, entries []server.AuditEntry) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fprintf(tab, "TIME\tEVENT\tWHO\tWHAT\tTO WHOM\tOUTCOME\n")
	for _, e := range entries {
		fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateTime), e.ID.Hex(),
			output.Who(e.Publisher), output.Clip(output.What(e), 60), output.Clip(output.ToWhom(e), 40), output.Clip(output.How(e), 80))
	}
	return tab.Flush()
}

// printAuditEntry shows one entry with each server's outcome.
func printAuditEntry(w io.Writer, e server.AuditEntry) {
	fprintf(w, "event    %s\ntime     %s\n", e.ID.Hex(), e.At.Local().Format(time.RFC3339))
	fprintf(w, "who      %s, process %d\n", output.Who(e.Publisher), e.Publisher.PID)
	fprintf(w, "what     %s\nto whom  %s\noutcome  %s\n", output.What(e), output.ToWhomInFull(e), output.How(e))
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range e.Servers {
		took := ""
		if s.DurationMS > 0 {
			took = output.Short(time.Duration(s.DurationMS * float64(time.Millisecond)))
		}
		line := strings.Join([]string{s.Server, cmp.Or(s.Kind, "unknown"), took, output.OutcomeNote(s)}, "\t")
		fprintf(tab, "  %s\n", strings.TrimRight(line, "\t"))
	}
	_ = tab.Flush() // see fprintf
	if e.Deed {
		return
	}
	switch e.State() {
	case server.AuditUnknown, server.AuditWaiting, server.AuditLeft:
		fprintf(w, "what has been answered since: fleetcast replies %s\n", e.ID.Hex())
	}
}
