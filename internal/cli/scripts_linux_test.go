package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/subscribers"
)

// TestParallelScriptsAreBounded has many events at once, whose scripts count who runs
// beside them.
func TestParallelScriptsAreBounded(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "running"), 0o700))
	const count = `touch running/$$; ls running | wc -l; sleep 0.2; n=$(ls running | wc -l); rm running/$$; [ $n -le 16 ]`
	h := &handler{events: []string{"*"}, script: "sh", words: []string{"/bin/sh", "-c", count}, dir: dir, maxOutput: 100, limit: time.Minute}
	r := &scriptRunner{handlers: []*handler{h}, places: make(chan struct{}, maxScripts)}
	var running sync.WaitGroup
	for range 40 {
		running.Go(func() {
			result, err := r.handle(t.Context(), subscribers.UserEvent{Name: "x"})
			if err != nil {
				t.Error(result, err)
			}
		})
	}
	running.Wait()
	require.Empty(t, r.places)
}

// TestScriptThatHasNoPlace is not started when the process ends before there is one.
func TestScriptThatHasNoPlace(t *testing.T) {
	r := &scriptRunner{handlers: []*handler{{events: []string{"*"}, script: "x", words: []string{"/no/such"}}}, places: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("that is the end"))
	_, err := r.handle(ctx, subscribers.UserEvent{Name: "x"})
	require.EqualError(t, err, "x: not started: 16 others were running, and then that is the end")
}
