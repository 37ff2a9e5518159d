package stacks

import (
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sample = `goroutine 1 [running]:
main.main()
	/src/main.go:10 +0x155

goroutine 19 [sleep, 12 minutes, locked to thread labels:{"a, b": "x\"]:", "worker": "7"}]:
time.Sleep(0x34630b8a000)
	/go/time.go:363 +0x165
app.(*importer[...]).wait(0xc000, {0x51a9a8?, 0x63fa5d16150?})
	/src/a b/import.go:5
...additional frames elided...
created by main.main in goroutine 1
	/src/main.go:5 +0xf6

goroutine 23 gp=0xc000 m=3 mp=0xd00 [chan receive]:
app.f(...)
	C:/src/f.go:7
`

func TestParse(t *testing.T) {
	goroutines, rest := Parse("before\n\n" + sample + "\n\"main\" #1 prio=5\n   java.lang.Thread.State: RUNNABLE\n")
	require.Equal(t, "before\n\n\"main\" #1 prio=5\n   java.lang.Thread.State: RUNNABLE\n", rest)
	require.Len(t, goroutines, 3)
	g := goroutines[1]
	require.Contains(t, sample, g.Raw)
	g.Raw = ""
	require.Equal(t, Goroutine{
		ID: 19, State: "sleep, locked to thread", Wait: 12 * time.Minute, Labels: map[string]string{"a, b": `x"]:`, "worker": "7"},
		Frames:    []Frame{{"time.Sleep", "/go/time.go", 363}, {"app.(*importer[...]).wait", "/src/a b/import.go", 5}, {Func: "...additional frames elided..."}},
		CreatedBy: Frame{"main.main", "/src/main.go", 5},
	}, g)
	require.Equal(t, []Frame{{"app.f", "C:/src/f.go", 7}}, goroutines[2].Frames)
	require.Equal(t, "chan receive", goroutines[2].State)
	require.Equal(t, Frame{}, goroutines[0].CreatedBy)
}

func take() string {
	text, _ := Take(64 << 20)
	return text
}

//go:noinline
func waits(c chan struct{}) { <-c }

func TestTake(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	c := make(chan struct{})
	var all sync.WaitGroup
	for _, name := range []string{"one", "two", "two"} {
		all.Go(func() { pprof.Do(context.Background(), pprof.Labels("name", name), func(context.Context) { waits(c) }) })
	}
	defer func() { close(c); all.Wait() }()
	of := func(text string) (found []Goroutine) {
		goroutines, rest := Parse(text)
		require.Empty(t, rest)
		for _, g := range goroutines {
			if strings.Contains(g.Raw, "stacks.waits(") && g.State == "chan receive" {
				found = append(found, g)
			}
		}
		return found
	}
	require.Eventually(t, func() bool { return len(of(take())) == 3 }, 10*time.Second, time.Millisecond)
	before := of(take())
	groups := Grouped(before)
	require.Len(t, groups, 1, "they differ in their labels alone")
	text := groups[0].String()
	require.Regexp(t, `^3 goroutines \[chan receive\]: \d+, \d+, \d+\nlabels: name=`, text)
	require.Contains(t, text, "stacks.waits\n\t")
	require.Contains(t, text, "created by sync.(*WaitGroup).Go\n")

	c <- struct{}{}
	require.Eventually(t, func() bool { return len(of(take())) == 2 }, 10*time.Second, time.Millisecond)
	d := Diff(before, of(take()))
	require.Len(t, d.Still, 2)
	require.Equal(t, []int{0, 1, 0}, []int{d.Moved, d.Ended, d.Started})
}

// What the runtime says of calls that it does not show is shown.
func TestRemarks(t *testing.T) {
	const text = "goroutine 9 [chan receive]:\nmain.f(0x1)\n\t/a.go:3 +0x1\n...201 frames elided...\nmain.g()\n\t/a.go:9 +0x1\n\n" +
		"goroutine 10 [running]:\n\tgoroutine running on other thread; stack unavailable\ncreated by main.main in goroutine 1\n\t/a.go:1 +0x2\n"
	goroutines, _ := Parse(text)
	var grouped strings.Builder
	require.NoError(t, Write(&grouped, Grouped(goroutines)))
	require.Equal(t, "1 goroutine [chan receive]: 9\nmain.f\n\t/a.go:3\n...201 frames elided...\nmain.g\n\t/a.go:9\n\n"+
		"1 goroutine [running]: 10\ngoroutine running on other thread; stack unavailable\ncreated by main.main\n\t/a.go:1\n", grouped.String())
}

// A traceback that is too large is whole goroutines, and none is lost uncounted.
func TestTakeCountsWhatIsMissing(t *testing.T) {
	const n, limit = 500, 64 << 10
	c := make(chan struct{})
	var all sync.WaitGroup
	for range n {
		all.Go(func() { waits(c) })
	}
	defer func() { close(c); all.Wait() }()
	before := runtime.NumGoroutine()
	text, missing := Take(limit)
	require.LessOrEqual(t, len(text), limit)
	goroutines, rest := Parse(text)
	require.Empty(t, rest)
	require.Greater(t, len(goroutines), 10)
	require.Contains(t, goroutines[len(goroutines)-1].Raw, "created by", "the last one is whole")
	require.InDelta(t, before, len(goroutines)+missing, 2)
	whole, missing := Take(64 << 20)
	require.Zero(t, missing)
	require.GreaterOrEqual(t, Count(whole), n)

	require.Eventually(t, func() bool { return strings.Contains(Places(1<<20), "\n500 @ ") }, 10*time.Second, time.Millisecond)
	require.Regexp(t, `(?s)stacks\.waits.*\n… \d+ bytes more: the rarest places\n$`, Places(1<<10))
}

func TestGroupsByWait(t *testing.T) {
	at := func(id int, wait time.Duration, place string) Goroutine {
		return Goroutine{ID: id, State: "select", Wait: wait, Frames: []Frame{{place, "f.go", 1}}}
	}
	groups := Grouped([]Goroutine{at(1, 0, "a"), at(2, 0, "b"), at(3, 5*time.Minute, "b"), at(4, 9*time.Minute, "c"), at(5, 0, "a")})
	var text strings.Builder
	require.NoError(t, Write(&text, groups))
	require.Equal(t, `1 goroutine [select, 9 minutes]: 4
c
	f.go:1

2 goroutines [select, 5 minutes]: 3, 2
b
	f.go:1

2 goroutines [select]: 1, 5
a
	f.go:1
`, text.String())
}

func TestDiff(t *testing.T) {
	a, b, c := Goroutine{ID: 1, State: "select"}, Goroutine{ID: 2, State: "select"}, Goroutine{ID: 3}
	later := b
	later.State = "running"
	waited := a
	waited.Wait = time.Minute
	require.Equal(t, Difference{Still: []Goroutine{waited}, Moved: 1, Ended: 1, Started: 1},
		Diff([]Goroutine{a, b, c}, []Goroutine{waited, later, {ID: 4}}))
}

func TestLimit(t *testing.T) {
	text, cut := Limit(sample, len(sample))
	require.Equal(t, sample, text)
	require.Zero(t, cut)
	text, cut = Limit(sample, len(sample)-1)
	require.Equal(t, 1, cut)
	goroutines, rest := Parse(text)
	require.Len(t, goroutines, 2)
	require.Empty(t, rest)
	text, cut = Limit(sample, 3)
	require.Empty(t, text)
	require.Equal(t, 3, cut)
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("goroutine 1 [a labels:{\"")
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		goroutines, rest := Parse(text)
		n := len(rest)
		for _, g := range goroutines {
			n += len(g.Raw)
		}
		if n > len(text)+len(goroutines) { // each Raw may have got its newline
			t.Errorf("%d bytes of %d", n, len(text))
		}
		_ = Write(&strings.Builder{}, Grouped(goroutines))
		Diff(goroutines, goroutines)
	})
}
