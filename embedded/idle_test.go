//go:build unix

package embedded

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func cpuTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestIdleTailsCostNoCPU leaves fifty tails waiting and looks at the CPU time of
// the whole process: polling every 10 ms would cost many times as much.
func TestIdleTailsCostNoCPU(t *testing.T) {
	st, _ := start(t, Config{})
	client := connect(t, st)
	log := logOf(t, client, 1<<20, 0)
	insert(t, log, 1, 100)
	for range 50 {
		conn, err := net.Dial("tcp", st.Addr())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		find := newRequest("test", bson.D{{Key: "find", Value: "log"}, {Key: "tailable", Value: true}, {Key: "awaitData", Value: true}})
		var reply struct {
			Cursor struct {
				ID int64 `bson:"id"`
			} `bson:"cursor"`
		}
		require.NoError(t, bson.Unmarshal(exchangeOn(t, conn, find.encode()).body, &reply))
		more := newRequest("test", bson.D{{Key: "getMore", Value: reply.Cursor.ID}, {Key: "collection", Value: "log"}, {Key: "maxTimeMS", Value: int64(3600_000)}})
		_, err = conn.Write(more.encode())
		require.NoError(t, err)
	}
	st.awaitWaiting(t, log)
	before := cpuTime(t)
	<-time.After(500 * time.Millisecond) // the time that is measured
	require.Less(t, cpuTime(t)-before, 100*time.Millisecond)
}
