package config_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
)

func TestTogether(t *testing.T) {
	keys := &config.Keys{}
	least := config.New("app/least", 1, config.In(keys))
	most := config.New("app/most", 5, config.In(keys))
	keys.Together(func(s *config.Snapshot) error {
		if least.Get(s) > most.Get(s) {
			return errors.New("app/least is more than app/most")
		}
		return nil
	})
	file := write(t, "app: {least: 5}\n")
	s := open(t, config.Config{Keys: keys, File: file})
	require.Equal(t, 5, least.Get(s))
	_, err := config.Open(t.Context(), config.Config{Keys: keys, File: write(t, "app: {least: 6}\n"), Environ: []string{}})
	require.ErrorContains(t, err, "app/least is more than app/most")
}
