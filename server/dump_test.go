package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

func TestFit(t *testing.T) {
	goroutine := func(n int) string { return fmt.Sprintf("goroutine %d [select]:\napp.f()\n\t/f.go:1\n\n", n) }
	large := strings.Repeat(goroutine(1), 100)
	printed := strings.Repeat("thread main is here\n", 100)
	dumps := []subscribers.WorkerStack{{ID: 1, Stack: large}, {ID: 2, Stack: goroutine(2)}, {ID: 3, Stack: printed}, {ID: 4, Stack: "idle\n"}}
	fit(dumps, 2000)
	require.Equal(t, goroutine(2), dumps[1].Stack, "a small one stays whole")
	require.Equal(t, "idle\n", dumps[3].Stack)
	kept := strings.Count(dumps[0].Stack, "goroutine 1 ")
	require.Greater(t, kept, 10)
	require.Equal(t, 100, kept+dumps[0].Cut)
	require.Regexp(t, `^(thread main is here\n){20,}… \d+ bytes more are in the log of the server\n$`, dumps[2].Stack)
	require.Zero(t, dumps[2].Cut)

	fit(dumps, 1<<20)
	require.Equal(t, goroutine(2), dumps[1].Stack)
}

// Programs that print much do not make the answer too large to be sent.
func TestDumpOfProgramsThatPrintMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, each = 20, 1 << 20
		text := strings.Repeat(strings.Repeat("x", 99)+"\n", each/100)
		source := worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
			return worker.Work{
				Run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
				Hooks: worker.Hooks{Dump: func(context.Context) (string, error) { return text, nil }},
			}, nil
		})
		o := run(t, source, Config{Pool: worker.Config{Workers: workers}})
		time.Sleep(time.Minute) // they start one after the other
		defer func() { o.Kill(0); <-o.done }()
		dump, err := (*control)(o.Server).WorkerDump(t.Context(), nil)
		require.NoError(t, err)
		require.Len(t, dump.Workers, workers)
		all := 0
		for _, w := range dump.Workers {
			all += len(w.Stack)
			require.True(t, strings.HasSuffix(w.Stack, " are in the log of the server\n"), w.ID)
			require.False(t, w.BusySince.IsZero())
		}
		require.Less(t, all, subscribers.MaxDump+workers*100)
	})
}
