package storetest_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/embedded"
	"github.com/fleetcast/fleetcast/embedded/storetest"
)

// TestStore runs the suite against the embedded store, or against the database
// that FLEETCAST_TEST_URI names.
func TestStore(t *testing.T) {
	if uri := os.Getenv("FLEETCAST_TEST_URI"); uri != "" {
		storetest.Run(t, uri)
		return
	}
	t.Run("memory", func(t *testing.T) { storetest.Run(t, start(t, embedded.Config{})) })
	t.Run("folder", func(t *testing.T) { storetest.Run(t, start(t, embedded.Config{Dir: t.TempDir()})) })
}

func start(t *testing.T, cfg embedded.Config) (uri string) {
	st, err := embedded.Open(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return st.URI()
}
