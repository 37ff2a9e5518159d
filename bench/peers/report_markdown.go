package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// The report stands between these lines of a document; what is around them is kept.
const (
	markBegin = "<!-- bench/peers: begin; written by make bench-peers -->"
	markEnd   = "<!-- bench/peers: end -->"
)

// writeInto replaces the report in a file.
func (r report) writeInto(file string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(old, []byte(markBegin))
	_, after, ends := bytes.Cut(rest, []byte(markEnd))
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the report: put these two lines where it belongs:\n%s\n%s", file, markBegin, markEnd)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(markBegin + "\n")
	if err := r.writeMarkdown(&out); err != nil {
		return err
	}
	out.WriteString(markEnd)
	out.Write(after)
	return os.WriteFile(file, out.Bytes(), 0o644)
}

func (r report) writeMarkdown(w io.Writer) error {
	var out strings.Builder
	m := r.Machine
	fmt.Fprintf(&out, "\n%s, commit %s, %s, %s, %d CPUs (%s), %.0f GiB; load average %s before. %d runs of up to %d rounds.\n",
		r.Date, m.Commit, m.Go, m.OS, m.CPUs, m.CPU, m.MemoryGiB, m.Load, r.Runs, r.Rounds)
	for _, measure := range r.measures() {
		r.markdownTable(&out, measure)
	}
	r.markdownContenders(&out)
	r.markdownMissing(&out)
	_, err := io.WriteString(w, out.String()+"\n")
	return err
}

// markdownTable has a row for each contender and a column for each size.
func (r report) markdownTable(out *strings.Builder, measure string) {
	fmt.Fprintf(out, "\n**%s**, ms: median (least–most of the runs' medians), p99, ×floor\n\n| |", measure)
	for _, n := range r.Sizes {
		fmt.Fprintf(out, " N = %d |", n)
	}
	fmt.Fprintf(out, "\n|---|%s\n", strings.Repeat("---|", len(r.Sizes)))
	for _, c := range r.present() {
		row, any := fmt.Sprintf("| %s |", c.Name), false
		for _, n := range r.Sizes {
			f, ok := r.of(c.Name, measure, n)
			any = any || ok
			row += " " + r.markdownFigure(f, ok) + " |"
		}
		if any {
			fmt.Fprintln(out, row)
		}
	}
}

func (r report) markdownFigure(f figure, ok bool) string {
	if !ok {
		return ""
	}
	text := "nobody's time is known"
	if f.Rounds > 0 {
		text = fmt.Sprintf("**%s** (%s–%s), %s", number(f.P50), number(f.P50Least), number(f.P50Most), number(f.P99))
	}
	if f.Ratio > 0 {
		text += ", ×" + number(f.Ratio)
	}
	if all := f.Rounds + f.Incomplete; f.Incomplete > 0 {
		text += fmt.Sprintf("; incomplete %d of %d", f.Incomplete, all)
	} else if all < r.Rounds*r.Runs {
		text += fmt.Sprintf("; %d rounds", all)
	}
	return text
}

func (r report) markdownContenders(out *strings.Builder) {
	out.WriteString("\n| contender | what it is | version |\n|---|---|---|\n")
	for _, c := range r.Contenders {
		version := c.Version
		if c.Absent != "" {
			version = "absent: " + c.Absent + "; " + c.Install
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", c.Name, c.About, version)
	}
}

func (r report) markdownMissing(out *strings.Builder) {
	if len(r.Missing) == 0 {
		return
	}
	out.WriteString("\nNot measured:\n\n")
	for _, m := range r.Missing {
		why, _, _ := strings.Cut(m.Why, "\n")
		fmt.Fprintf(out, "- %s, N = %d: %s\n", m.Contender, m.N, why)
	}
}
