package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/teststore"
)

func TestMain(m *testing.M) { os.Exit(teststore.Main(m)) }

// write makes a file of a test and returns its name.
func write(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "settings.yaml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// open opens settings without the environment of the test's process.
func open(t testing.TB, cfg config.Config) *config.Settings {
	t.Helper()
	if cfg.Environ == nil {
		cfg.Environ = []string{}
	}
	s, err := config.Open(t.Context(), cfg)
	require.NoError(t, err)
	return s
}

// origin is where a setting comes from.
func origin(t testing.TB, s *config.Settings, path string) string {
	t.Helper()
	v, ok := s.Snapshot().Value(path)
	require.True(t, ok, path)
	return v.Origin.String()
}

const testKey = "b64f4c8f0b9d1a7c6e2d3f4a5b6c7d8e9f00112233445566778899aabbccddee"

func keyring(t testing.TB, keys string) *config.Keyring {
	t.Helper()
	k, err := config.ParseKeyring(keys)
	require.NoError(t, err)
	return k
}
