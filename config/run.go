package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// The pauses between attempts to read a collection that was out of reach at the start.
const (
	firstPause = 500 * time.Millisecond
	longPause  = 15 * time.Second
)

// Run tells watchers of changes, looks whether files have changed (Config.Watch), and
// reads the collection as soon as it can when it was out of reach at the start. It
// returns nil when ctx ends, and [ErrRunning] when it has been called before.
//
// Settings can be read and refreshed without it.
func (s *Settings) Run(ctx context.Context) error {
	if !s.ran.CompareAndSwap(false, true) {
		return ErrRunning
	}
	var running sync.WaitGroup
	running.Go(func() { s.watchers.run(ctx) })
	running.Go(func() { s.complete(ctx) })
	if s.cfg.Watch > 0 {
		running.Go(func() { s.watchFiles(ctx) })
	}
	running.Wait()
	return nil
}

// complete reads the collection, if it has not been read, trying until that is done.
func (s *Settings) complete(ctx context.Context) {
	for pause := firstPause; s.Partial() && sleep(ctx, pause); pause = min(2*pause, longPause) {
		changes, err := s.Refresh(ctx)
		if err == nil {
			zerolog.Ctx(ctx).Info().Strs("changed", changes.Paths()).Msg("the settings of the collection are in force now")
			return
		}
		if !errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
			zerolog.Ctx(ctx).Error().Err(err).Msg("the settings of the collection are wrong: those without it stay in force")
		}
	}
}

// watchFiles refreshes when a file has had another content twice. It compares contents, because
// times do not tell of every change, and a file may be replaced, or be a link to
// another one.
func (s *Settings) watchFiles(ctx context.Context) {
	var before map[string]string // what was in them the last time
	var tried map[string]string  // with what contents a refresh has failed
	for sleep(ctx, s.cfg.Watch) {
		in := s.Snapshot()
		is := in.reread()
		settled := maps.Equal(is, before) // somebody may be writing just now
		before = is
		if !settled || maps.Equal(is, in.files) || maps.Equal(is, tried) {
			continue
		}
		changes, err := s.Refresh(ctx)
		switch {
		case err == nil:
			zerolog.Ctx(ctx).Info().Strs("changed", changes.Paths()).Msg("a file of settings has changed")
			tried = nil
		case ctx.Err() == nil:
			zerolog.Ctx(ctx).Error().Err(err).Msg("a file of settings has changed, but the old settings stay in force")
			if !errors.Is(err, ErrUnavailable) { // else try again
				tried = is
			}
		}
	}
}

// reread returns the hashes of what is in the files now.
func (s *Snapshot) reread() map[string]string {
	files := map[string]string{}
	for name := range s.files {
		text, _ := os.ReadFile(name) // a file that cannot be read is as an empty one
		sum := sha256.Sum256(text)
		files[name] = string(sum[:])
	}
	return files
}

// sleep waits, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
