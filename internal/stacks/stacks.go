// Package stacks reads, groups and compares the tracebacks of Go's runtime, and
// takes one of this process. It is what thread dumps are made of and shown by.
package stacks

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// Goroutine is one goroutine of a traceback.
type Goroutine struct {
	ID     int    // 0 when it is not known
	State  string // in the runtime's words, such as "chan receive"
	Wait   time.Duration
	Labels map[string]string // of the profiler
	Frames []Frame           // the innermost first
	// CreatedBy is where it was started, the zero value for the first one.
	CreatedBy Frame
	// Raw is its part of the traceback, ended by a newline.
	Raw string
}

// Frame is one call; or, without a File, a remark of the runtime's about calls that
// it does not show.
type Frame struct {
	Func string // without its arguments
	File string
	Line int
}

// header matches the first line of a goroutine: its number, and what is in the
// brackets. Between them a crash has more.
var header = regexp.MustCompile(`^goroutine (\d+)(?: [^\[]*)? \[(.*)\]:$`)

// Parse reads a traceback such as [runtime.Stack] writes it. What is no part of a
// goroutine comes back as rest, unchanged: programs in other languages print
// other dumps.
func Parse(text string) (goroutines []Goroutine, rest string) {
	var other strings.Builder
	for block := range blocks(text) {
		if g, ok := parse(block); ok {
			goroutines = append(goroutines, g)
		} else {
			other.WriteString(block)
		}
	}
	return goroutines, other.String()
}

// blocks yields the text cut behind its empty lines.
func blocks(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			end := len(text)
			if i := strings.Index(text, "\n\n"); i >= 0 {
				end = i + 2
			}
			if !yield(text[:end]) {
				return
			}
			text = text[end:]
		}
	}
}

func parse(block string) (Goroutine, bool) {
	first, body, _ := strings.Cut(block, "\n")
	m := header.FindStringSubmatch(first)
	if m == nil {
		return Goroutine{}, false
	}
	g := Goroutine{Raw: strings.TrimRight(block, "\n") + "\n"}
	g.ID, _ = strconv.Atoi(m[1])
	g.condition(m[2])
	lines := strings.Split(strings.TrimRight(body, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		file, ok := "", false
		if i+1 < len(lines) {
			file, ok = strings.CutPrefix(lines[i+1], "\t")
		}
		if !ok {
			if remark := strings.TrimSpace(lines[i]); remark != "" {
				g.Frames = append(g.Frames, Frame{Func: remark})
			}
			continue
		}
		f := Frame{Func: lines[i]}
		f.at(file)
		i++
		if by, ok := strings.CutPrefix(f.Func, "created by "); ok {
			f.Func, _, _ = strings.Cut(by, " in goroutine ")
			g.CreatedBy = f
			continue
		}
		f.Func = withoutArguments(f.Func)
		g.Frames = append(g.Frames, f)
	}
	return g, true
}

// condition reads what is in the brackets: the state, the time, whether it is
// locked to a thread, and the labels.
func (g *Goroutine) condition(text string) {
	state, labels, ok := strings.Cut(text, " labels:{")
	if ok {
		g.Labels = parseLabels(strings.TrimSuffix(labels, "}"))
	}
	parts := strings.Split(state, ", ")
	g.State = parts[0]
	for _, part := range parts[1:] {
		if minutes, ok := strings.CutSuffix(part, " minutes"); ok {
			n, _ := strconv.Atoi(minutes)
			g.Wait = time.Duration(n) * time.Minute
			continue
		}
		g.State += ", " + part
	}
}

// parseLabels reads pairs of quoted texts: "a": "b", "c": "d".
func parseLabels(text string) map[string]string {
	labels := map[string]string{}
	for {
		key, rest, ok := quoted(text)
		if !ok {
			return labels
		}
		value, rest, ok := quoted(strings.TrimPrefix(rest, ": "))
		if !ok {
			return labels
		}
		labels[key] = value
		text = strings.TrimPrefix(rest, ", ")
	}
}

func quoted(text string) (value, rest string, ok bool) {
	q, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", text, false
	}
	value, err = strconv.Unquote(q)
	return value, text[len(q):], err == nil
}

// at reads "/src/app/main.go:17 +0x1b".
func (f *Frame) at(text string) {
	text, _, _ = strings.Cut(text, " +0x")
	f.File = text
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		if n, err := strconv.Atoi(text[i+1:]); err == nil {
			f.File, f.Line = text[:i], n
		}
	}
}

// withoutArguments cuts the last pair of parentheses: names of methods have some
// of their own.
func withoutArguments(call string) string {
	if !strings.HasSuffix(call, ")") {
		return call
	}
	for depth, i := 0, len(call)-1; i >= 0; i-- {
		switch call[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth == 0 {
				return call[:i]
			}
		}
	}
	return call
}

// Take returns the traceback of the goroutines of this process, and how many of
// them are missing from it because it would be larger than limit bytes. The world
// stands still meanwhile: some milliseconds for a thousand of them. Labels are in it
// if the program runs with GODEBUG tracebacklabels=1.
func Take(limit int) (text string, missing int) {
	for size := min(limit, 64<<10+runtime.NumGoroutine()<<10); ; size = min(limit, 2*size) {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return string(buf[:n]), 0
		}
		if size == limit { // the last goroutine may be cut off
			text = string(buf[:bytes.LastIndex(buf, []byte("\n\n"))+1])
			return text, max(1, runtime.NumGoroutine()-Count(text))
		}
	}
}

// Count returns how many goroutines a traceback shows.
func Count(text string) int {
	goroutines, _ := Parse(text)
	return len(goroutines)
}

// Places lists how many goroutines of this process are where, the most first, as the
// goroutine profile does: some hundred bytes for each place, however many they are.
// What does not fit into limit bytes is left out, and that is said.
func Places(limit int) string {
	var text strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return "no goroutine profile: " + err.Error() + "\n"
	}
	if text.Len() <= limit {
		return text.String()
	}
	end := strings.LastIndex(text.String()[:limit], "\n\n") + 1
	return text.String()[:end] + fmt.Sprintf("\n… %d bytes more: the rarest places\n", text.Len()-end)
}

// Limit cuts a traceback after the last goroutine that fits into that many bytes,
// and returns how many it has cut off.
func Limit(text string, limit int) (string, int) {
	if len(text) <= limit {
		return text, 0
	}
	end := strings.LastIndex(text[:limit], "\n\n") + 1
	return text[:end], Count(strings.TrimLeft(text[end:], "\n"))
}
