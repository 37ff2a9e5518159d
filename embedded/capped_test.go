package embedded

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// A tail reads all there is and then asks to be woken. What comes in between the
// two must not wait for the insert after it.
func TestATailIsWokenByWhatCameBeforeItWaits(t *testing.T) {
	c := newCapped(cappedOptions{DB: "a", Name: "b", Size: 1 << 20}, new(clock))
	insert := func(id int32) {
		require.NoError(t, c.insert(bsoncore.NewDocumentBuilder().AppendInt32("_id", id).Build()))
	}
	require.False(t, isClosed(c.waiter(0)), "nothing there")
	insert(1)
	require.True(t, isClosed(c.waiter(0)), "a tail that has read nothing")
	require.True(t, isClosed(c.waiter(1)))
	wait := c.waiter(2)
	require.False(t, isClosed(wait), "all is read")
	insert(2)
	require.True(t, isClosed(wait))
	require.True(t, isClosed(c.waiter(2)), "came in before the tail waits")
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
