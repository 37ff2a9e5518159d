package worker

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConditions(t *testing.T) {
	for name, test := range map[string]struct {
		functions []string
		want      string
	}{
		"known":          {[]string{"runtime.gopark", "runtime.chanrecv", "runtime.chanrecv1", "app.f"}, "[chan receive]:\napp.f\n"},
		"linked name":    {[]string{"runtime.gopark", "runtime.netpollblock", "internal/poll.runtime_pollWait", "net.f"}, "[IO wait]:\ninternal/poll.runtime_pollWait\n"},
		"mutex":          {[]string{"runtime.gopark", "runtime.semacquire1", "internal/sync.runtime_SemacquireMutex", "app.f"}, "[sync.Mutex.Lock]:\n"},
		"unknown":        {[]string{"runtime.gopark", "runtime.something", "app.f"}, "[waiting]:\napp.f\n"},
		"running":        {[]string{"app.f"}, "[running]:\napp.f\n"},
		"preempted":      {[]string{"runtime.asyncPreempt", "app.f"}, "[running]:\napp.f\n"},
		"system call":    {[]string{"internal/runtime/syscall.Syscall6", "syscall.Read", "app.f"}, "[syscall]:\ninternal/runtime/syscall.Syscall6\n"},
		"only runtime":   {[]string{"runtime.gopark"}, "[waiting]:\nruntime.gopark\n"},
		"no frame":       {nil, "[running]:\n"},
		"profiled table": {[]string{"runtime.gopark", "runtime.block", "app.f"}, "[select (no cases)]:\napp.f\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var frames []frame
			for _, function := range test.functions {
				frames = append(frames, frame{function, "/src/f.go", 7})
			}
			text := render(frames)
			require.True(t, strings.HasPrefix(strings.ReplaceAll(text, "\t/src/f.go:7\n", ""), test.want), text)
		})
	}
}

// The words for what goroutines of this Go release wait for.
func TestConditionsOfRealGoroutines(t *testing.T) {
	for want, hang := range hangs(t) {
		t.Run(want, func(t *testing.T) {
			f := newFamily(t)
			pool := f.start(t, Config{Workers: 1})
			t.Cleanup(hang.end)
			f.feed <- Work{ID: "it", Run: func(context.Context) error { hang.begin(); return nil }}
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				stacks, err := pool.Stacks()
				require.NoError(c, err)
				require.Contains(c, stacks[0].Text, "\n\n1 goroutine ["+want+"]:\n")
				require.Contains(c, stacks[0].Text, "worker.hangs")
			}, waitMost, tick)
		})
	}
}

type hang struct{ begin, end func() }

// hangs are ways to hang, by what a traceback says of them.
func hangs(t *testing.T) map[string]hang {
	var mutex sync.Mutex
	mutex.Lock()
	var readWrite sync.RWMutex
	readWrite.Lock()
	var group sync.WaitGroup
	group.Add(1)
	turn := make(chan int)
	var awake, ran atomic.Bool
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return map[string]hang{
		"sync.Mutex.Lock":     {func() { mutex.Lock() }, mutex.Unlock},
		"sync.RWMutex.RLock":  {func() { readWrite.RLock() }, readWrite.Unlock},
		"sync.WaitGroup.Wait": {func() { group.Wait() }, group.Done},
		"chan send":           {func() { turn <- 1 }, func() { <-turn }},
		"chan receive":        {func() { <-turn }, func() { turn <- 1 }},
		"IO wait":             {func() { _, _ = listener.Accept() }, func() { _ = listener.Close() }},
		"sleep": {func() {
			for !awake.Load() {
				time.Sleep(10 * time.Millisecond)
			}
		}, func() { awake.Store(true) }},
		"running": {func() {
			for !ran.Load() { // it is meant to be busy
			}
		}, func() { ran.Store(true) }},
	}
}
