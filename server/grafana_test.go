package server

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGrafanaNamesExistingMetrics holds the dashboard against the metrics, and each
// panel against its neighbours.
func TestGrafanaNamesExistingMetrics(t *testing.T) {
	text, err := os.ReadFile("../docs/grafana.json")
	require.NoError(t, err)
	known := metricNames(t)
	used := regexp.MustCompile(`fleetcast_[a-z_]+`).FindAllString(string(text), -1)
	require.NotEmpty(t, used)
	for _, name := range used {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} { // of histograms
			if base, ok := strings.CutSuffix(name, suffix); ok && known[base] {
				name = base
			}
		}
		require.True(t, known[name], name)
	}

	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y int }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	ids, places := map[int]string{}, map[[2]int]string{}
	for _, p := range dashboard.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		require.Empty(t, ids[p.ID], p.Title)
		require.Empty(t, places[at], p.Title)
		ids[p.ID], places[at] = p.Title, p.Title
	}
}
