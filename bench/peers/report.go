package main

import (
	"encoding/json"
	"io"
	"time"
)

// report is the outcome for people and programs; its JSON is stable: fields may be
// added, none is renamed.
type report struct {
	Date       string            `json:"date"`
	Machine    machine           `json:"machine"`
	Sizes      []int             `json:"sizes"`
	Rounds     int               `json:"rounds"`
	Runs       int               `json:"runs"`
	Floor      string            `json:"floor"`
	Contenders []contenderReport `json:"contenders"`
	Figures    []figure          `json:"figures"`
	Missing    []missing         `json:"missing"`
}

type contenderReport struct {
	Name    string `json:"name"`
	About   string `json:"about"`
	Version string `json:"version,omitempty"`
	// Absent says why it was not measured, Install what to do about it.
	Absent  string `json:"absent,omitempty"`
	Install string `json:"install,omitempty"`
}

// figure is one measure of a contender at one size. Least and most are those of the
// runs' own figures.
type figure struct {
	Contender string `json:"contender"`
	Measure   string `json:"measure"`
	N         int    `json:"n"`
	Rounds    int    `json:"rounds"`
	// Incomplete is in how many more rounds somebody was not heard within 10 s.
	Incomplete int     `json:"incomplete"`
	P50        float64 `json:"p50_ms"`
	P50Least   float64 `json:"p50_least_ms"`
	P50Most    float64 `json:"p50_most_ms"`
	P99        float64 `json:"p99_ms"`
	P99Least   float64 `json:"p99_least_ms"`
	P99Most    float64 `json:"p99_most_ms"`
	// Ratio is the median over the runs of p50 to that of the floor; 0 without it.
	Ratio float64 `json:"ratio_to_floor"`
}

type missing struct {
	Contender string `json:"contender"`
	N         int    `json:"n"`
	Why       string `json:"why"`
}

func newReport(m machine, p plan, list []contenderReport, res *results, now time.Time) report {
	r := report{
		Date: now.Format(time.DateOnly), Machine: m, Sizes: p.sizes, Rounds: p.rounds, Runs: p.runs, Floor: floor,
		Contenders: list, Figures: []figure{}, Missing: []missing{},
	}
	for _, c := range res.cells {
		r.Figures = append(r.Figures, c.figure(res.find(floor, c.measure, c.n)))
	}
	for _, f := range res.faults {
		r.Missing = append(r.Missing, missing{f.contender, f.n, f.err.Error()})
	}
	return r
}

func (c *cell) figure(floor *cell) figure {
	f := figure{Contender: c.contender, Measure: c.measure, N: c.n, Ratio: c.ratio(floor)}
	for _, r := range c.runs {
		f.Rounds += r.rounds
		f.Incomplete += r.incomplete
	}
	if s, ok := c.over(func(r runTimes) time.Duration { return r.p50 }); ok {
		f.P50, f.P50Least, f.P50Most = ms(s.median), ms(s.least), ms(s.most)
	}
	if s, ok := c.over(func(r runTimes) time.Duration { return r.p99 }); ok {
		f.P99, f.P99Least, f.P99Most = ms(s.median), ms(s.least), ms(s.most)
	}
	return f
}

// ms is in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// measures are those of the figures, in their order.
func (r report) measures() []string {
	var list []string
	seen := map[string]bool{}
	for _, f := range r.Figures {
		if !seen[f.Measure] {
			seen[f.Measure] = true
			list = append(list, f.Measure)
		}
	}
	return list
}

// of returns a contender's figure.
func (r report) of(contender, measure string, n int) (figure, bool) {
	for _, f := range r.Figures {
		if f.Contender == contender && f.Measure == measure && f.N == n {
			return f, true
		}
	}
	return figure{}, false
}

// present are the contenders that were measured.
func (r report) present() []contenderReport {
	var list []contenderReport
	for _, c := range r.Contenders {
		if c.Absent == "" {
			list = append(list, c)
		}
	}
	return list
}
