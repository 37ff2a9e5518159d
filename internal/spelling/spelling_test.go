package spelling

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	known := []string{"stop", "pause", "Resume", "pausf"}
	for name, want := range map[string]string{
		"pause": "pause", "puase": "pause", "PAUSE": "pause", "pausg": "pause", "rsume": "Resume",
		"sto": "stop", "stoppp": "stop", "stopppp": "", "": "", "kill": "",
	} {
		require.Equal(t, want, Nearest(name, known, 2), name)
	}
	require.Empty(t, Nearest("pausg", known, 0))
	require.Empty(t, Nearest("pause", known, -1))
	require.Empty(t, Nearest("pause", nil, 9))
}
