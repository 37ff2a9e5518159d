package worker

import "reflect"

// Configure changes the configuration of a pool that may be running: change gets it
// as it is now, and what it leaves there holds from then on. Fields at zero get
// their defaults, as in [New]; ProfileLabels, OnChange and Observe stay as they are.
// It returns at once, and reports whether anything is different. If something is wrong
// nothing changes, and the error lists it all.
//
// Another number of workers is a [Pool.Resize]. Idle workers ask the source again
// with the new Filter. When the pool is stopping it does nothing.
//
// change must not call the pool.
func (p *Pool) Configure(change func(*Config)) (changed bool, err error) {
	p.mu.Lock()
	changed, err = p.configure(change)
	p.mu.Unlock()
	if changed {
		p.look() // something may be stuck now
		p.cfg.OnChange()
	}
	return changed, err
}

// configure does so; the mutex is held.
func (p *Pool) configure(change func(*Config)) (changed bool, err error) {
	next := p.now
	next.Filter = next.Filter.clone()
	change(&next)
	next.ProfileLabels = nil
	if next, err = next.checked(); err != nil || p.stopping {
		return false, err
	}
	next.OnChange, next.Observe = nil, nil
	before := p.now
	if reflect.DeepEqual(next, before) {
		return false, nil
	}
	p.now = next
	if next.Workers != before.Workers {
		p.shrink()
		p.fill(startSpread)
	}
	if next.StuckAfter != before.StuckAfter {
		p.unflag(next.StuckAfter)
	}
	if next.PollInterval != before.PollInterval || !reflect.DeepEqual(next.Filter, before.Filter) {
		p.nudgeAll() // ask the source now
	}
	return true, nil
}

// Config returns the configuration as New, Configure and Resize have left it,
// without ProfileLabels, OnChange and Observe. Its Filter must not be changed.
func (p *Pool) Config() Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}
