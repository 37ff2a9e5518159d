package config_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
)

// fleetless are settings from a file that run in a synctest bubble.
type fleetless struct {
	*config.Settings
	t    *testing.T
	file string

	mu   sync.Mutex // a bubble's time orders nothing
	logs strings.Builder
	told []string
}

// Write takes the log.
func (f *fleetless) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logs.Write(line)
}

func (f *fleetless) log() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logs.String()
}

func (f *fleetless) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, fmt.Sprintf(format, args...))
}

func newFleetless(t *testing.T, cfg config.Config) *fleetless {
	f := &fleetless{t: t, file: write(t, "app: {a: 0, b: {c: 0}}")}
	cfg.File = f.file
	f.Settings = open(t, cfg)
	return f
}

// run runs the settings until the test ends.
func (f *fleetless) run() {
	log := zerolog.New(f)
	ctx, stop := context.WithCancel(log.WithContext(f.t.Context()))
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	f.t.Cleanup(func() { stop(); require.NoError(f.t, <-done) })
}

// pass lets time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// change refreshes with a file of another text, and lets watchers be told.
func (f *fleetless) change(format string, args ...any) {
	rewrite(f.t, f.file, format, args...)
	_, err := f.Refresh(f.t.Context())
	require.NoError(f.t, err)
	synctest.Wait()
}

// watch notes what is told of a path.
func (f *fleetless) watch(name, path string) (stop func()) {
	return f.OnChange(path, func(path string, old, new any) {
		f.note("%s: %s %v→%v", name, path, old, new)
	})
}

// tells checks what has been told since.
func (f *fleetless) tells(want ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(f.t, want, f.told)
	f.told = nil
}

func TestWatchersAreToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &config.Keys{}
		a := config.New("app/a", 7, config.In(keys))
		f := newFleetless(t, config.Config{Keys: keys})
		all, below := f.watch("all", ""), f.watch("below", "app/b")
		f.watch("none", "app/bb")
		a.OnChange(f.Settings, func(old, new int) { f.note("typed: %d→%d", old, new) })
		f.change("app: {a: 1, b: {c: 1}}")
		f.tells() // Run does not run yet
		f.run()
		synctest.Wait()
		f.tells("all: app/a 0→1", "typed: 0→1", "all: app/b/c 0→1", "below: app/b/c 0→1")

		below()
		below()
		f.change("app: {b: {c: 2, d: x}}")
		f.tells("all: app/a 1→7", "typed: 1→7", "all: app/b/c 1→2", "all: app/b/d <nil>→x")
		f.change("app: {b: {c: 2, d: x}}")
		f.tells()
		all()
		f.change("app: {a: 3}")
		f.tells("typed: 7→3")
	})
}

// TestSlowWatcher: neither refreshes nor readers wait for one, and what it missed is
// told as one change.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetless(t, config.Config{Keys: &config.Keys{}})
		f.run()
		f.OnChange("app/a", func(string, any, any) { time.Sleep(time.Minute) })
		f.watch("after", "app")
		start := time.Now()
		for i := range 100 {
			f.change("app: {a: %d, b: {c: %d}}", i+1, i+1)
		}
		f.change("app: {a: 0, b: {c: 100}}")
		require.Zero(t, time.Since(start))
		f.tells()
		pass(3 * time.Minute)
		f.tells("after: app/a 0→1", "after: app/b/c 0→100", "after: app/a 1→0")
		require.Contains(t, f.log(), "a watcher of settings is slow")
	})
}

// TestWatchersThatPanicOrStop: the others are told all the same.
func TestWatchersThatPanicOrStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetless(t, config.Config{Keys: &config.Keys{}})
		f.run()
		var stop func()
		f.OnChange("app/a", func(string, any, any) { stop(); panic("oh no") })
		stop = f.watch("stopped", "app/a")
		f.watch("after", "app/a")
		f.change("app: {a: 1, b: {c: 0}}")
		f.tells("after: app/a 0→1")
		require.Contains(t, f.log(), `"panic":"oh no"`)
		require.Contains(t, f.log(), "watchers_test.go")
	})
}

// TestFilesAreWatched: a change that is complete is followed, in the file and in what
// it refers to; a bad one is said once, and changes nothing.
func TestFilesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := filepath.Join(t.TempDir(), "password")
		rewrite(t, secret, "one\n")
		f := newFleetless(t, config.Config{Keys: &config.Keys{}, Watch: time.Second})
		f.change("app: {password: '@%s', n: 1}", secret)
		f.run()
		f.watch("w", "app")
		synctest.Wait()
		f.tells("w: app/a 0→<nil>", "w: app/b/c 0→<nil>", "w: app/n <nil>→1", "w: app/password <nil>→one")
		pass(10 * time.Second)

		rewrite(t, secret, "two")
		pass(1500 * time.Millisecond)
		f.tells() // it may be half of what is coming
		pass(time.Second)
		f.tells("w: app/password one→two")
		shown, ok := f.Snapshot().Value("app/password")
		require.True(t, ok)
		require.Equal(t, "****", shown.Value)
		require.Contains(t, shown.Origin.String(), "(@"+secret+")")

		rewrite(t, f.file, "app: {password: '@%s', n: [", secret)
		pass(time.Hour)
		f.tells()
		require.Equal(t, 1, strings.Count(f.log(), "the old settings stay in force"))
		require.NoError(t, os.Remove(f.file)) // as editors do
		pass(time.Minute)
		rewrite(t, f.file, "app: {password: x, n: 2}")
		pass(3 * time.Second)
		f.tells("w: app/n 1→2", "w: app/password two→x")
		require.NotContains(t, f.log(), "two")
	})
}
