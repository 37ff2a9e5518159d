package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestPing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	b := e.server("b")
	r := e.run("ping", "--count", "5", "--interval", "1ms", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	var rows []struct {
		Server   string  `json:"server"`
		Sent     int     `json:"sent"`
		Answered int     `json:"answered"`
		Min      float64 `json:"min_ms"`
		Median   float64 `json:"median_ms"`
		P99      float64 `json:"p99_ms"`
		Max      float64 `json:"max_ms"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &rows), r.stdout)
	require.Len(t, rows, 3)
	for i, name := range []string{"a", "b", "all"} {
		row := rows[i]
		require.Equal(t, name, row.Server)
		require.Equal(t, row.Sent, row.Answered)
		require.True(t, 0 < row.Min && row.Min <= row.Median && row.Median <= row.P99 && row.P99 <= row.Max, row)
	}
	require.Equal(t, 10, rows[2].Sent)

	require.NoError(t, b.cmd.Process.Signal(syscall.SIGSTOP))
	r = e.run("ping", "--count", "1", "--wait", "500ms")
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGCONT))
	require.Equal(t, 4, r.code)
	require.Regexp(t, `b +1 +0 +- `, r.stdout)
	require.Equal(t, 3, e.run("ping", "--server", "nobody").code)
}

func TestRepliesAreShownLater(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	e.server("b")
	r := e.run("pause", "--no-wait")
	require.Zero(t, r.code, r.stderr)
	id := strings.TrimSpace(r.stdout)
	require.Equal(t, 3, e.run("replies", id).code, "nobody has asked for answers")

	s := e.call(0, "resume")
	r = e.run("replies", s.EventID)
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `a +done .*running`, r.stdout)
	require.Regexp(t, `b +done .*running`, r.stdout)
	r = e.run("replies", s.EventID, "-o", "json")
	var out struct {
		EventID    string `json:"event_id"`
		Subscriber string `json:"subscriber"`
		Action     string `json:"action"`
		Replies    []struct {
			Server string `json:"server"`
			Kind   string `json:"kind"`
		} `json:"replies"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out))
	require.Equal(t, []string{s.EventID, "server", "resume"}, []string{out.EventID, out.Subscriber, out.Action})
	require.Len(t, out.Replies, 2)

	require.Equal(t, 3, e.run("replies", bson.NewObjectID().Hex()).code)
	require.Equal(t, 2, e.run("replies", "web-1").code)
	s = e.call(1, "publish", "server", "kill", "--param", "wait_timeout=soon", "--server", "a")
	require.Equal(t, 1, e.run("replies", s.EventID).code)
}

func TestBatches(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for i := range 5 {
		e.server(fmt.Sprintf("s%d", i), "--workers", "1")
	}
	r := e.run("pause", "--batch", "2", "--batch-sleep", "1ms")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "batch 3: 1 server, 5 of 5")
	require.Contains(t, r.stderr, "5 servers matched, 5 done")
	n, err := e.db.Collection("events").CountDocuments(t.Context(), bson.D{{Key: "action", Value: "pause"}})
	require.NoError(t, err)
	require.EqualValues(t, 3, n, "an event for each batch")

	s := e.call(0, "resume", "--batch", "40%", "--server", "s[0-3]")
	require.Equal(t, []int{4, 4}, []int{s.Matched, s.Done})

	// The second batch fails: the third is not tried.
	r = e.run("publish", "server", "resize", "--param", "max_workers=0", "--batch", "1", "--max-failures", "1", "-o", "json")
	require.Equal(t, 1, r.code, r.stdout)
	var out struct {
		Batches   int      `json:"batches"`
		Failed    int      `json:"failed"`
		Untouched []string `json:"untouched_servers"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out))
	require.Equal(t, []int{2, 2}, []int{out.Batches, out.Failed})
	require.Equal(t, []string{"s2", "s3", "s4"}, out.Untouched)
	require.Contains(t, r.stderr, "stopped after batch 2")

	for flag, says := range map[string]string{
		"--batch=0": "--batch", "--batch-sleep=1s": "are for --batch", "--batch=1 --no-wait": "no-wait", "--batch=1 --max-failures=-1": "--max-failures",
		"--batch=1 --sticky": "sticky", "--batch=1 --min-servers=2": "min-servers",
	} {
		r = e.run(append([]string{"pause"}, strings.Fields(flag)...)...)
		require.Equal(t, 2, r.code, flag)
		require.Contains(t, r.stderr, says)
	}
}

func TestMinimumOfServers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	require.Zero(t, e.run("publish", "server", "refresh", "--min-servers", "1").code)
	r := e.run("publish", "server", "refresh", "--min-servers", "2", "--wait", "300ms")
	require.Equal(t, 4, r.code)
	require.Contains(t, r.stderr, "1 fewer than the 2")
}
