package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuantiles(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	require.Equal(t, 50, quantile(hundred, 50))
	require.Equal(t, 99, quantile(hundred, 99))
	require.Equal(t, 3, quantile([]int{1, 2, 3}, 99))
	require.Equal(t, 2, quantile([]int{1, 2, 3}, 50))
	require.Equal(t, 1, quantile([]int{1}, 1))
	require.Zero(t, quantile([]int(nil), 50))
	require.Equal(t, 2.5, median([]float64{1, 2, 3, 9}))
	require.Equal(t, 2.0, median([]float64{1, 2, 3}))
}

// exampleResults has two runs: the floor takes 1 and 2 ms, the other contender 4 and
// 2 ms, hence 4 times and once the floor; in one of its rounds somebody was not heard.
func exampleResults() *results {
	res := newResults()
	for run, floorTime := range []time.Duration{time.Millisecond, 2 * time.Millisecond} {
		res.add(run, 5, &lane{contender: floor, measure: measure{name: allAnswered}, times: []time.Duration{floorTime}})
		res.add(run, 5, &lane{contender: "nats", measure: measure{name: allAnswered}, times: []time.Duration{4 * time.Millisecond / time.Duration(run+1)}, incomplete: run})
	}
	res.add(0, 5, &lane{contender: "redis", measure: measure{name: allAnswered}, err: errors.New("cut off")})
	res.fail("serf", 5, errBudget)
	return res
}

func exampleReport() report {
	list := []contenderReport{
		{Name: floor, About: "the floor", Version: "v1"},
		{Name: "nats", About: "NATS", Version: "v2"},
		{Name: "celery", About: "Celery", Absent: "not here", Install: "apt-get install celery"},
	}
	m := machine{OS: "linux", CPU: "fast", CPUs: 2, MemoryGiB: 8, Go: "go1", Commit: "abc", Load: "0.5"}
	p := plan{sizes: []int{5}, rounds: 1, runs: 2}
	return newReport(m, p, list, exampleResults(), time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
}

func TestFigures(t *testing.T) {
	r := exampleReport()
	f, ok := r.of("nats", allAnswered, 5)
	require.True(t, ok)
	require.Equal(t, figure{
		Contender: "nats", Measure: allAnswered, N: 5, Rounds: 2, Incomplete: 1,
		P50: 3, P50Least: 2, P50Most: 4, P99: 3, P99Least: 2, P99Most: 4, Ratio: 2.5,
	}, f)
	f, _ = r.of(floor, allAnswered, 5)
	require.Equal(t, []float64{1.5, 1, 2, 1}, []float64{f.P50, f.P50Least, f.P50Most, f.Ratio})
	require.Equal(t, []missing{{"redis", 5, "cut off"}, {"serf", 5, errBudget.Error()}}, r.Missing)
	require.ErrorContains(t, exampleResults().broken(), "cut off", "a failure is one, and want of time is none")
	require.NotErrorIs(t, exampleResults().broken(), errBudget)
}

func TestReportsTellAll(t *testing.T) {
	for _, format := range []string{"text", "json", "markdown"} {
		var out bytes.Buffer
		require.NoError(t, exampleReport().write(&out, format))
		for _, word := range []string{"nats", "2.5", "not here", "apt-get install celery", "redis", "cut off", "budget"} {
			require.Contains(t, out.String(), word, format)
		}
	}
}

func TestMarkdownReplacesItsPlaceAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	require.NoError(t, os.WriteFile(file, []byte("# Mine\n"+markBegin+"\nold\n"+markEnd+"\nafter\n"), 0o600))
	require.NoError(t, exampleReport().writeInto(file))
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, `(?s)^# Mine\n.*nats.*\nafter\n$`, string(first))
	require.NotContains(t, string(first), "old")
	require.NoError(t, exampleReport().writeInto(file))
	second, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))

	require.NoError(t, os.WriteFile(file, []byte("no place"), 0o600))
	require.ErrorContains(t, exampleReport().writeInto(file), markBegin)
}

// TestRounds: all measures take turns, warm-ups do not count, what fails stops, and
// what is slow takes three rounds when the time is up.
func TestRounds(t *testing.T) {
	s := newTestSite(t)
	var calls []string
	make := func(name string, most int, err error) *lane {
		return &lane{measure: measure{name: name, most: most, round: func(context.Context, int64) (time.Duration, error) {
			calls = append(calls, name)
			return time.Millisecond, err
		}}}
	}
	good, few := make("good", 0, nil), make("few", 2, nil)
	lost, bad := make("lost", 0, errIncomplete{1, 2}), make("bad", 0, errors.New("bad"))
	takeTurns(t.Context(), s, []*lane{good, few, lost, bad}, 10, time.Now().Add(time.Hour))
	require.Len(t, good.times, 10)
	require.Len(t, few.times, 2)
	require.Equal(t, 10, lost.incomplete)
	require.Empty(t, lost.times)
	require.ErrorContains(t, bad.err, "bad: bad")
	require.Equal(t, []string{"good", "lost", "bad", "lost", "good"}, calls[:5])

	before := s.rounds.Load()
	takeTurns(t.Context(), s, []*lane{make("bad", 0, errors.New("bad"))}, 1000, time.Now().Add(time.Hour))
	require.Equal(t, before+1, s.rounds.Load(), "no rounds when nothing is left to measure")

	late := make("late", 0, nil)
	takeTurns(t.Context(), s, []*lane{late}, 10, time.Now().Add(-time.Hour))
	require.Len(t, late.times, atLeast)
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-n", "2,7", "-only", "nats,redis"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []int{2, 7}, o.sizes)
	require.Equal(t, []string{"nats", "redis"}, o.only)
	for _, wrong := range [][]string{{"-n", "0"}, {"-n", ""}, {"-only", "kafka"}, {"-require", "x"}, {"-o", "xml"}, {"-runs", "0"}, {"-budget", "0s"}, {"more"}, {"-what"}} {
		var stderr bytes.Buffer
		_, err := parse(wrong, &stderr)
		require.ErrorIs(t, err, errUsage, wrong)
		require.NotEmpty(t, stderr.String(), wrong)
	}
}

// TestRequired: with an empty PATH Redis is absent, which is said, and fails only where
// it is required.
func TestRequired(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := newTestSite(t)
	var log bytes.Buffer
	o := settings{plan: plan{log: &log}, only: []string{"redis", "nats"}}
	present, list, err := o.choose(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []string{"nats"}, names(present))
	require.Contains(t, list[1].Install, "apt-get install")
	require.Contains(t, log.String(), "redis is absent: redis-server is not in PATH")
	o.require = []string{"redis"}
	_, _, err = o.choose(t.Context(), s)
	require.ErrorContains(t, err, "redis is required")
}
