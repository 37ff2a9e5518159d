package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

func (r report) writeText(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s, %s, %d CPUs (%s), load %s before\n\n", r.Date, r.Machine.OS, r.Machine.CPUs, r.Machine.CPU, r.Machine.Load)
	for _, c := range r.Contenders {
		if c.Absent != "" {
			fmt.Fprintf(&out, "%-10s absent: %s; %s\n", c.Name, c.Absent, c.Install)
		} else {
			fmt.Fprintf(&out, "%-10s %s\n", c.Name, c.Version)
		}
	}
	for _, measure := range r.measures() {
		r.textTable(&out, measure)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&out, "\nmissing: %s, n = %d: %s\n", m.Contender, m.N, m.Why)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (r report) textTable(out *strings.Builder, measure string) {
	fmt.Fprintf(out, "\n%s, ms\n", measure)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "n\t contender\t p50\t least..most\t p99\t to floor\t rounds\t incomplete\t")
	for _, n := range r.Sizes {
		for _, c := range r.present() {
			if f, ok := r.of(c.Name, measure, n); ok {
				_, _ = fmt.Fprintf(t, "%d\t %s\t %s\t %s..%s\t %s\t %s\t %d\t %d\t\n",
					n, c.Name, number(f.P50), number(f.P50Least), number(f.P50Most), number(f.P99), number(f.Ratio), f.Rounds, f.Incomplete)
			}
		}
	}
	_ = t.Flush()
}

// number is a figure for people: three digits that count, - for none.
func number(f float64) string {
	switch {
	case f == 0:
		return "-"
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.0f", f)
	}
}
