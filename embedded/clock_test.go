package embedded

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestStampsRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(clock)
		next := func() bson.Timestamp {
			t.Helper()
			before := c.last
			ts, err := c.next()
			require.NoError(t, err)
			require.True(t, ts.After(before))
			return ts
		}
		now := func() uint32 { return uint32(time.Now().Unix()) }
		require.Equal(t, bson.Timestamp{T: now(), I: 1}, next())
		require.Equal(t, bson.Timestamp{T: now(), I: 2}, next())
		time.Sleep(time.Second)
		require.Equal(t, bson.Timestamp{T: now(), I: 1}, next())

		c.last = bson.Timestamp{T: now() + 100, I: 7} // as if the clock had stepped back
		require.Equal(t, bson.Timestamp{T: now() + 100, I: 8}, next())
		c.last.I = math.MaxUint32
		require.Equal(t, bson.Timestamp{T: now() + 101, I: 1}, next())
	})
}

func TestStampsRiseAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	var last bson.Timestamp
	for range 3 {
		c, err := openClock(dir)
		require.NoError(t, err)
		for range 5 {
			ts, err := c.next()
			require.NoError(t, err)
			require.True(t, ts.After(last))
			last = ts
		}
		require.NoError(t, c.close())
	}
	require.LessOrEqual(t, last.T, uint32(time.Now().Unix())+3)
}
