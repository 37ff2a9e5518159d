package worker

import (
	"cmp"
	"fmt"
	"slices"
)

// Resize changes how many workers are live, at least 1. It returns at once, and
// reports whether that is another number than before.
//
// New workers start a little apart. When there are too many, idle ones leave
// first, those with the highest numbers; then work that has Hooks.Stop is
// stopped; then workers leave as their work ends. No work is cancelled, and a
// worker that leaves so is not replaced.
//
// A paused or quiet pool is resized like any other; its new workers take no work
// either. It may be called before Run. When the pool is stopping it does
// nothing.
func (p *Pool) Resize(workers int) (changed bool, err error) {
	if workers < 1 {
		return false, fmt.Errorf("a pool of %d workers: give it at least 1, or pause it", workers)
	}
	return p.Configure(func(c *Config) { c.Workers = workers })
}

// Size returns how many workers are wanted: Config.Workers, or what Resize or
// Configure has said last. For a while more may be live.
func (p *Pool) Size() int { return p.Config().Workers }

// surplus returns how many workers should leave that have not been told to. The
// mutex is held.
func (p *Pool) surplus() int {
	if p.live <= p.now.Workers { // nearly always
		return 0
	}
	staying := 0
	for _, w := range p.workers {
		if !w.leaving && !w.abandoned {
			staying++
		}
	}
	return staying - p.now.Workers
}

// shrink tells surplus workers to leave. Those that it cannot tell ask in
// worker.next, when their work has ended. The mutex is held.
func (p *Pool) shrink() {
	surplus := p.surplus()
	for _, w := range p.removable() {
		if surplus <= 0 {
			return
		}
		w.stop()
		surplus--
	}
}

// removable lists the workers that leave soon when they are told to, the best
// to tell first. The mutex is held.
func (p *Pool) removable() (list []*worker) {
	for _, w := range p.workers {
		if !w.leaving && (w.phase != works || w.unit.Hooks.Stop != nil) {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b *worker) int {
		return cmp.Or(cmp.Compare(b2i(a.phase == works), b2i(b.phase == works)), b.id-a.id)
	})
	return list
}
