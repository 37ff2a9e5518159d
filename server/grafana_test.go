package server

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
)

// TestGrafanaNamesExistingMetrics holds the dashboard against the metrics.
func TestGrafanaNamesExistingMetrics(t *testing.T) {
	dashboard, err := os.ReadFile("../docs/grafana.json")
	require.NoError(t, err)
	require.True(t, json.Valid(dashboard))
	s, err := newServer(nil, &fakeLedger{}, Config{})
	require.NoError(t, err)
	require.NoError(t, s.join(event.NewBus(nil, nil, event.Config{})))
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(&metrics{s}))
	families, err := registry.Gather()
	require.NoError(t, err)
	known := map[string]bool{}
	for _, f := range families {
		known[f.GetName()] = true
	}
	used := regexp.MustCompile(`fleetcast_[a-z_]+`).FindAllString(string(dashboard), -1)
	require.NotEmpty(t, used)
	for _, name := range used {
		require.True(t, known[name], name)
	}
}
