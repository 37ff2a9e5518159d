package embedded

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
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

// TestOneClockForAll: stamps of either kind of collection, by inserts and by
// updates, come from one counter.
func TestOneClockForAll(t *testing.T) {
	st, _ := start(t, Config{})
	client := connect(t, st)
	log := logOf(t, client, 1<<20, 0)
	some := client.Database("test").Collection("some")
	var last bson.Timestamp
	rises := func(of *mongo.Collection) {
		t.Helper()
		all := entries(t, of)
		now := all[len(all)-1].TS
		require.True(t, now.After(last), "%v after %v", now, last)
		last = now
	}
	touch := bson.D{{Key: "$currentDate", Value: bson.D{{Key: "ts", Value: bson.D{{Key: "$type", Value: "timestamp"}}}}}}
	for n := range 5 {
		insert(t, log, n, n)
		rises(log)
		_, err := some.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, touch, options.UpdateOne().SetUpsert(true))
		require.NoError(t, err)
		rises(some)
	}
}
