package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/subscribers"
)

var dumpedAt = time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)

// workAt is a worker's own goroutine; wait is such as ", 12 minutes".
func workAt(id int, state, wait, place string, worker int) string {
	return fmt.Sprintf(`goroutine %d [%s%s labels:{"fleetcast_worker": "%d", "tenant": "acme"}]:
app.%s(0xc000)
	/src/app.go:17 +0x1b
github.com/fleetcast/fleetcast/worker.(*worker).loop(0xc000)
	/src/worker/loop.go:108 +0xa7
created by github.com/fleetcast/fleetcast/worker.(*Pool).fill in goroutine 5
	/src/worker/pool.go:115 +0x54

`, id, state, wait, worker, place)
}

func dumpReply(t *testing.T, server byte, dump any) event.Reply {
	t.Helper()
	kind, payload, err := bson.MarshalValue(dump)
	require.NoError(t, err)
	return event.Reply{
		ServerID: bson.ObjectID{server}, Server: fmt.Sprintf("web-%d", server), Kind: event.Done,
		Payload: bson.RawValue{Type: kind, Value: payload},
	}
}

// fleetDump is the dump of two servers: idle workers that wait for ever, work that is
// young, work that hangs, a program that prints, and what has been cut.
func fleetDump(t *testing.T) (dumps []output.Dumped) {
	busy := func(id int, kind, work string, since time.Duration, stack string) subscribers.WorkerStack {
		return subscribers.WorkerStack{ID: id, State: "busy", Kind: kind, WorkID: work, BusySince: dumpedAt.Add(-since), Stack: stack}
	}
	idle := func(id int) subscribers.WorkerStack {
		return subscribers.WorkerStack{ID: id, State: "idle", Stack: workAt(100+id, "select", ", 900 minutes", "take", id)}
	}
	e := event.New("worker", "thread_dump", nil)
	cut := busy(9, "report", "9", time.Second, workAt(9, "running", "", "count", 9))
	cut.Cut = 3
	dumps = output.DumpsOf(e, dumpReply(t, 1, subscribers.Dump{Workers: []subscribers.WorkerStack{
		idle(1), idle(2), busy(3, "import", "42", time.Minute, workAt(21, "chan receive", "", "wait", 3)), idle(4), cut,
	}}))
	helper := "goroutine 31 [IO wait, 12 minutes]:\napp.read(...)\n\t/src/app.go:30 +0x1\n...201 frames elided...\n\n"
	return append(dumps, output.DumpsOf(e, dumpReply(t, 2, subscribers.Dump{Workers: []subscribers.WorkerStack{
		busy(1, "java", "", time.Hour, "worker 1, busy with java:\n\n\"main\" #1 prio=5\n   java.lang.Thread.State: RUNNABLE\n"),
		busy(7, "import", "17", 30*time.Minute, workAt(18, "chan receive", ", 25 minutes", "wait", 7)+helper),
	}}))...)
}

func TestThreadDumpShapes(t *testing.T) {
	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "text"}
	a.printDumps(fleetDump(t))
	golden(t, "threaddump.txt", out.String())
	require.Less(t, strings.Index(out.String(), "web-2 worker 7"), strings.Index(out.String(), "idle"), "the one that hangs is first")

	out.Reset()
	a.output = "json"
	require.NoError(t, a.printJSON(output.Dump{
		Call: output.ToCall(event.New("worker", "thread_dump", nil), event.Summary{}, nil), Dumps: output.ToDumps(fleetDump(t), a.rawDumps)}))
	golden(t, "threaddump.json", out.String())

	out.Reset()
	a.rawDumps, a.output = true, "text"
	a.printDumps(fleetDump(t))
	golden(t, "threaddump-raw.txt", out.String())
	require.Equal(t, len(fleetDump(t)), strings.Count(out.String(), "=== "), "each by itself")
}

func TestProcessDumpShape(t *testing.T) {
	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "text"}
	all := subscribers.ProcessStacks{Goroutines: 9, Stacks: workAt(3, "select", "", "take", 1), Cut: 8, Places: "goroutine profile: total 9\n"}
	of := func(subscriber string, dump any) string {
		out.Reset()
		a.printDumps(output.DumpsOf(event.New(subscriber, "thread_dump", nil), dumpReply(t, 1, dump)))
		return out.String()
	}
	text := of("server", subscribers.Dump{Workers: []subscribers.WorkerStack{}, Process: &all})
	golden(t, "threaddump-process.txt", text)
	require.Equal(t, text, of("logger", all), "one form for both")
}

func TestDumpsOfAnAnswerThatFailed(t *testing.T) {
	r := dumpReply(t, 1, subscribers.Dump{Workers: []subscribers.WorkerStack{{ID: 1, Stack: "no dump: it crashed\n"}, {ID: 2, Stack: "thread main\n"}}})
	r.Kind, r.Error = event.Failed, "no dump of worker 1: it crashed"
	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "text"}
	a.printReply(event.New("worker", "thread_dump", nil), r)
	require.Contains(t, out.String(), "thread main\n", "the others' dumps are there")
	require.Contains(t, out.String(), "no dump of worker 1: it crashed")
}

func TestThreadDumpDiffShapes(t *testing.T) {
	first, second := fleetDump(t), fleetDump(t)
	second[2].Worker.WorkID, second[2].Worker.BusySince = "43", dumpedAt // web-1 worker 3 has gone on
	first = first[:len(first)-3]                                         // web-1 worker 9, web-2: added below
	first = append(first, fleetDump(t)[5:]...)
	successor := second[0]
	successor.ID, successor.Server = bson.ObjectID{3}, "web-1" // a process that was restarted counts its goroutines anew
	second = append(second, successor)
	list := output.Compare(first, second)

	var out bytes.Buffer
	a := &app{Process: Process{Stdout: &out}, output: "text"}
	a.printDiff(list, 5*time.Second)
	golden(t, "threaddump-diff.txt", out.String())
	require.Equal(t, []any{"web-2", 7, 2, 0}, []any{list[0].Server, list[0].WorkerID, len(list[0].Still), list[0].Moved})
	for _, s := range list {
		switch {
		case s.ServerID[:2] == "03", s.WorkerID == 9:
			require.True(t, s.New, "%s %d", s.Server, s.WorkerID)
		case s.WorkerID == 3:
			require.Equal(t, []int{0, 1}, []int{len(s.Still), s.Moved}, "other work at the same place")
		}
	}
	out.Reset()
	a.output = "json"
	require.NoError(t, a.printJSON(output.Diff{EventIDs: []string{"a", "b"}, Servers: list, Calls: []output.Call{}}))
	golden(t, "threaddump-diff.json", out.String())
}
