package worker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// traceback renders the goroutines of one worker:
//
//	worker 7, busy with import 42: 3 goroutines
//
//	1 goroutine [chan receive]:
//	app.(*importer).wait
//		/src/app/import.go:17
//	…
//
//	2 goroutines [IO wait]:
//	…
//
// The stack of the worker's own goroutine comes first, the others follow by
// number.
func traceback(w Status, samples []*profile.Sample) string {
	groups, total := group(samples)
	var text strings.Builder
	fmt.Fprintf(&text, "worker %d, %s: %s\n", w.ID, occupation(w), goroutines(total))
	for _, g := range groups {
		fmt.Fprintf(&text, "\n%s %s", goroutines(g.count), g.text)
	}
	return text.String()
}

func occupation(w Status) string {
	if w.BusySince.IsZero() {
		return string(w.State)
	}
	return words(string(w.State), "with", cmp.Or(words(w.Kind, w.WorkID), "work"))
}

func goroutines(n int64) string {
	if n == 1 {
		return "1 goroutine"
	}
	return fmt.Sprintf("%d goroutines", n)
}

// stackGroup is a number of goroutines that are at the same place.
type stackGroup struct {
	count int64
	own   bool // the worker's own goroutine
	text  string
}

func group(samples []*profile.Sample) (groups []*stackGroup, total int64) {
	byText := map[string]*stackGroup{}
	for _, sample := range samples {
		frames := framesOf(sample)
		g := &stackGroup{text: render(frames)}
		if same := byText[g.text]; same != nil {
			g = same
		} else {
			byText[g.text] = g
			groups = append(groups, g)
		}
		g.count += sample.Value[0]
		g.own = slices.ContainsFunc(frames, func(f frame) bool { return strings.HasSuffix(f.function, loopSuffix) })
		total += sample.Value[0]
	}
	slices.SortFunc(groups, func(a, b *stackGroup) int {
		if a.own != b.own {
			return cmp.Compare(b2i(b.own), b2i(a.own))
		}
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.text, b.text))
	})
	return groups, total
}

// loopSuffix ends the name of the function that only a worker's own goroutine
// runs.
const loopSuffix = "/worker.(*worker).loop"

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

type frame struct {
	function, file string
	line           int64
}

// framesOf lists a sample's calls, the innermost first.
func framesOf(sample *profile.Sample) (frames []frame) {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if line.Function != nil {
				frames = append(frames, frame{line.Function.Name, line.Function.Filename, line.Line})
			}
		}
	}
	return frames
}

// render writes the state and the frames. The runtime's own innermost frames
// (gopark, chanrecv, …) give way to the state that they mean, as in Go's
// tracebacks.
func render(frames []frame) string {
	shown := slices.IndexFunc(frames, func(f frame) bool { return !strings.HasPrefix(f.function, "runtime.") })
	shown = max(shown, 0)
	var text strings.Builder
	fmt.Fprintf(&text, "[%s]:\n", condition(frames, shown))
	for _, f := range frames[shown:] {
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", f.function, f.file, f.line)
	}
	return text.String()
}

// conditions names the state that a function stands for, in the words of Go's
// tracebacks.
var conditions = map[string]string{
	"runtime.chanrecv1":                     "chan receive",
	"runtime.chanrecv2":                     "chan receive",
	"runtime.chansend1":                     "chan send",
	"runtime.selectgo":                      "select",
	"runtime.block":                         "select (no cases)",
	"time.Sleep":                            "sleep",
	"internal/poll.runtime_pollWait":        "IO wait",
	"sync.runtime_notifyListWait":           "sync.Cond.Wait",
	"sync.runtime_Semacquire":               "semacquire",
	"sync.runtime_SemacquireWaitGroup":      "sync.WaitGroup.Wait",
	"sync.runtime_SemacquireMutex":          "sync.Mutex.Lock",
	"sync.runtime_SemacquireRWMutex":        "sync.RWMutex.Lock",
	"sync.runtime_SemacquireRWMutexR":       "sync.RWMutex.RLock",
	"internal/sync.runtime_SemacquireMutex": "sync.Mutex.Lock",
}

// condition says what a goroutine is at whose own frames begin at index shown.
func condition(frames []frame, shown int) string {
	for _, f := range frames[max(shown-1, 0):min(shown+1, len(frames))] {
		if state, ok := conditions[f.function]; ok {
			return state
		}
		if strings.Contains(f.function, "syscall.") {
			return "syscall"
		}
	}
	if len(frames) > 0 && frames[0].function == "runtime.gopark" {
		return "waiting"
	}
	return "running"
}
