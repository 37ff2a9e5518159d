package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// notices keeps what a pool tells.
type notices struct {
	mu   sync.Mutex
	told []Notice
}

func (n *notices) add(notice Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, notice)
}

// since returns what was told since the last time, as words.
func (n *notices) since() (words []string) {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, notice := range n.told {
		w := notice.Worker
		s := fmt.Sprintf("%s %d %s", notice.Moment, w.ID, w.State)
		if w.WorkID != "" {
			s += fmt.Sprintf(" with %s %s %q", w.Kind, w.WorkID, w.Description)
		}
		if notice.Moment == WorkFinished {
			s += fmt.Sprintf(" in %s: %v", notice.Took, notice.Err)
		}
		if notice.Cancelled {
			s += ", cancelled"
		}
		words = append(words, s)
	}
	n.told = nil
	return words
}

func TestNoticesOfAWholeLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notices
		source := make(feed)
		r := run(t, source, Config{Workers: 1, Grace: time.Second, Observe: told.add})
		require.Equal(t, []string{"worker started 1 starting"}, told.since())

		source <- Work{ID: "17", Kind: "import", Description: "rows", Run: func(ctx context.Context) error {
			Describe(ctx, "1 of 2")
			Describe(ctx, "1 of 2") // nothing new
			time.Sleep(time.Second)
			Describe(context.WithValue(ctx, t, t), "2 of 2")
			return errors.New("disk full")
		}}
		time.Sleep(time.Second)
		require.Equal(t, []string{
			`work started 1 busy with import 17 "rows"`,
			`work updated 1 busy with import 17 "1 of 2"`,
			`work updated 1 busy with import 17 "2 of 2"`,
			`work finished 1 busy with import 17 "2 of 2" in 1s: disk full`,
		}, told.since())

		// Stopped while it works, and replaced.
		source <- unit(18, lasting(time.Minute))
		synctest.Wait()
		require.NoError(t, r.StopWorker(t.Context(), 1))
		require.Equal(t, []string{
			`work started 1 busy with import 18 ""`,
			`work finished 1 stopping with import 18 "" in 1m0s: <nil>`,
			"worker stopped 1 stopped", "worker started 2 starting",
		}, told.since())

		// Killed, and it obeys.
		source <- unit(19, lasting(time.Minute))
		synctest.Wait()
		_, err := r.KillWorker(t.Context(), 2, time.Second)
		require.NoError(t, err)
		require.Equal(t, []string{
			`work started 2 busy with import 19 ""`,
			`work finished 2 stopping with import 19 "" in 0s: worker killed, cancelled`,
			"worker stopped 2 stopped", "worker started 3 starting",
		}, told.since())

		// Killed, and it does not: it may return after all.
		source <- unit(20, deaf(time.Minute))
		synctest.Wait()
		_, err = r.KillWorker(t.Context(), 3, time.Second)
		require.NoError(t, err)
		require.Equal(t, []string{
			`work started 3 busy with import 20 ""`, `worker abandoned 3 abandoned with import 20 ""`, "worker started 4 starting",
		}, told.since())
		time.Sleep(time.Minute)
		require.Equal(t, []string{
			`work finished 3 abandoned with import 20 "" in 1m0s: <nil>, cancelled`, "worker stopped 3 stopped",
		}, told.since())

		require.NoError(t, r.ended())
		require.Equal(t, []string{"worker stopped 4 stopped"}, told.since())
	})
}

// What is told of an abandoned worker has its stack.
func TestNoticeOfAnAbandonedWorkerHasItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stacks := make(chan string, 1)
		source := make(feed)
		r := run(t, source, Config{Workers: 1, Observe: func(n Notice) {
			if n.Moment == WorkerAbandoned {
				stacks <- n.Worker.Stack
			}
		}})
		source <- unit(1, deaf(time.Minute))
		synctest.Wait()
		_, err := r.KillWorker(t.Context(), 1, time.Second)
		require.NoError(t, err)
		require.Contains(t, <-stacks, "worker.TestNoticeOfAnAbandonedWorkerHasItsStack")
		time.Sleep(time.Minute)
		require.NoError(t, r.ended())
	})
}

func TestObserverThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		source := make(feed)
		pool, err := New(source, Config{Workers: 1, Observe: func(Notice) { panic("boom") }})
		require.NoError(t, err)
		done := make(chan error)
		log := zerolog.New(&out)
		go func() { done <- pool.Run(log.WithContext(t.Context())) }()
		var reported outcomes
		source <- Work{Run: func(context.Context) error { return nil }, Report: reported.report}
		synctest.Wait()
		require.NoError(t, reported.once(t))
		pool.Stop(0)
		require.NoError(t, <-done)
		require.Equal(t, 4, strings.Count(out.String(), "panic in Config.Observe"))
		require.Contains(t, out.String(), "notice_test.go")
	})
}

func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes atomic.Int32
		source := make(feed)
		r := run(t, source, Config{Workers: 1, OnChange: func() { changes.Add(1) }})
		old := make(chan context.Context, 1)
		source <- unit(1, func(ctx context.Context) error { old <- ctx; return nil })
		synctest.Wait()
		source <- Work{ID: "2", Description: "begins", Run: func(ctx context.Context) error {
			<-ctx.Done()
			Describe(ctx, "tidies up") // a kill does not silence it
			time.Sleep(time.Second)
			return nil
		}}
		synctest.Wait()
		Describe(<-old, "of one that has ended")
		Describe(t.Context(), "of none")
		require.Equal(t, "begins", r.Workers()[0].Description)
		before := changes.Load()
		r.Kill(time.Minute)
		synctest.Wait()
		require.Equal(t, "tidies up", r.Workers()[0].Description)
		require.Equal(t, before+2, changes.Load(), "kill, and the description")
		require.NoError(t, r.result())
	})
}

func TestDescriptionsAreShortAndValid(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"1,200 of 5,000 rows":            "1,200 of 5,000 rows",
		strings.Repeat("a", 256):         strings.Repeat("a", 256),
		strings.Repeat("a", 257):         strings.Repeat("a", 253) + "…",
		"a" + strings.Repeat("ü", 200):   "a" + strings.Repeat("ü", 126) + "…",
		"half a \xc3":                    "half a \uFFFD",
		strings.Repeat("a \xff \xfe", 1): "a \uFFFD \uFFFD",
	} {
		require.Equal(t, want, shorten(text))
		require.LessOrEqual(t, len(shorten(text)), MaxDescription)
	}
}
