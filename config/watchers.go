package config

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// slowWatcher is how long a watcher may take until that is logged.
const slowWatcher = 5 * time.Second

// watchers tell of changes. Refreshes put them in, the goroutine of Run takes them
// out; what is untold is bounded by the number of settings.
type watchers struct {
	mu     sync.Mutex
	list   []*watcher
	untold []*untold
	wake   chan struct{}
}

type watcher struct {
	path string
	call func(path string, old, new any)
}

// untold is a change that has not been told: of several to one path the first old
// and the last new value.
type untold struct {
	path     string
	old, new any
}

func newWatchers() watchers { return watchers{wake: make(chan struct{}, 1)} }

// OnChange calls f after each change to the setting at path, or below it; "" means
// all. Old and new are of the type of the declared key; of a setting that is not
// declared they are a string, bool, int64, float64, []any or map[string]any. nil means
// that there is none. Secret values are in the clear.
//
// The goroutine of [Settings.Run] calls all watchers, one after another, in the order
// of the changes; while Run does not run, changes wait for it. A watcher may take its
// time: readers and refreshes do not wait for it, but other watchers do, and several
// changes of one setting meanwhile are told as one. A panic is logged.
//
// Stop ends it: no call begins after that.
func (s *Settings) OnChange(path string, f func(path string, old, new any)) (stop func()) {
	w := &watcher{path, f}
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	s.watchers.list = append(s.watchers.list, w)
	return func() { s.watchers.remove(w) }
}

func (w *watchers) remove(gone *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(slices.Clone(w.list), func(o *watcher) bool { return o == gone })
}

// tell puts changes in.
func (w *watchers) tell(changes Changes, old, next *Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range changes {
		i := slices.IndexFunc(w.untold, func(u *untold) bool { return u.path == c.Path })
		if i >= 0 {
			w.untold[i].new = next.told(c.Path)
			continue
		}
		w.untold = append(w.untold, &untold{c.Path, old.told(c.Path), next.told(c.Path)})
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// next takes the oldest change out, with those who want to know of it.
func (w *watchers) next() (u *untold, to []*watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.untold) == 0 {
		return nil, nil
	}
	u, w.untold = w.untold[0], w.untold[1:]
	for _, one := range w.list {
		if under(u.path, one.path) {
			to = append(to, one)
		}
	}
	return u, to
}

// run tells of changes until ctx ends. Run starts it and waits for it.
func (w *watchers) run(ctx context.Context) {
	for {
		u, to := w.next()
		for _, one := range to {
			if ctx.Err() == nil && w.has(one) {
				one.told(ctx, u)
			}
		}
		if u != nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
	}
}

// has reports whether a watcher has not been stopped meanwhile.
func (w *watchers) has(one *watcher) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.list, one)
}

func (w *watcher) told(ctx context.Context, u *untold) {
	log := zerolog.Ctx(ctx)
	start := time.Now()
	defer func() {
		if fault := recover(); fault != nil {
			log.Error().Interface("panic", fault).Str("path", u.path).Bytes("stack", debug.Stack()).Msg("a watcher of settings panicked")
		}
		if took := time.Since(start); took > slowWatcher {
			log.Warn().Dur("duration_ms", took).Str("path", u.path).Msg("a watcher of settings is slow, and holds up the others")
		}
	}()
	w.call(u.path, u.old, u.new)
}
