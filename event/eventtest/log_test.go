package eventtest_test

import (
	"testing"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

func TestMemoryLog(t *testing.T) {
	eventtest.TestLog(t, func(_ *testing.T, bytes int) event.Log { return eventtest.NewLog(bytes) })
}
