package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLifecycleNeverGoesBack looks at every pair of stages.
func TestLifecycleNeverGoesBack(t *testing.T) {
	order := []Lifecycle{Starting, Running, Quiet, Stopping, Stopped}
	for i, from := range order {
		for j, to := range order {
			if j <= i {
				require.False(t, from.mayBecome(to), "%s to %s", from, to)
			}
		}
		if from != Stopped {
			require.Equal(t, from != Stopping, from.mayBecome(Stopping), from)
		}
	}
	require.True(t, Stopping.mayBecome(Stopped))
	require.False(t, Running.mayBecome(Stopped), "not without stopping")
}
