package cli

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fleetcast/fleetcast/internal/procgroup"
)

// listenPlan is what listen does, of its flags and its file.
type listenPlan struct {
	name     string
	labels   map[string]string
	durable  string
	from     string
	handlers []*handler
}

// plan puts flags and file together, and checks that the scripts can be run.
func (f *listenFlags) plan() (*listenPlan, error) {
	file := &listenFile{}
	if f.config != "" {
		var err error
		if file, err = readListenFile(f.config); err != nil {
			return nil, err
		}
		if err := file.check(); err != nil {
			return nil, usageError("--config: %w", err)
		}
	}
	p := &listenPlan{
		name:    choose(f, "name", f.name, file.Name),
		durable: choose(f, "durable", f.durable, file.Durable),
		from:    choose(f, "from", f.from, file.From),
		labels:  maps.Clone(file.Labels.value),
	}
	if p.labels == nil {
		p.labels = map[string]string{}
	}
	maps.Copy(p.labels, f.labels)
	if err := p.addHandlers(f, file); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, procgroup.Supported()
}

// wants reports whether a script is for events of the name.
func (p *listenPlan) wants(name string) bool {
	return slices.ContainsFunc(p.handlers, func(h *handler) bool { return h.wants(name) })
}

// withParallel returns the handlers that may run in parallel, or the others.
func (p *listenPlan) withParallel(parallel bool) (handlers []*handler) {
	for _, h := range p.handlers {
		if h.parallel == parallel {
			handlers = append(handlers, h)
		}
	}
	return handlers
}

// choose takes the flag where it is given, else what the file says, else the flag's
// default.
func choose[T any](f *listenFlags, flag string, value T, file setting[T]) T {
	if f.given(flag) {
		return value
	}
	return file.or(value)
}

// check finds what is wrong with the whole.
func (p *listenPlan) check() error {
	parallel := slices.ContainsFunc(p.handlers, func(h *handler) bool { return h.parallel })
	switch {
	case len(p.handlers) == 0:
		return usageError("no script is named: say on which event to run which, such as --on deploy=./deploy.sh, or the handlers of --config FILE")
	case !isStart(p.from):
		return usageError("--from %q: latest or earliest", p.from)
	case p.durable != "" && parallel:
		return usageError("durable and parallel exclude each other: what is stored is how far all scripts have come, so they run in the order of the events")
	}
	return nil
}

// addHandlers adds those of the file, then those of the flags.
func (p *listenPlan) addHandlers(f *listenFlags, file *listenFile) error {
	common := handler{
		limit:     time.Duration(choose(f, "script-timeout", duration(f.limit), file.Timeout)),
		maxOutput: choose(f, "max-output", f.output, file.MaxOutput),
		parallel:  choose(f, "parallel", f.parallel, file.Parallel),
	}
	if common.limit < 0 || common.maxOutput < 0 {
		return usageError("--script-timeout and --max-output may not be negative")
	}
	var faults []error
	for i := range file.Handlers {
		h, err := file.handler(i, common)
		faults = append(faults, err)
		p.handlers = append(p.handlers, h)
	}
	if err := errors.Join(faults...); err != nil {
		return usageError("--config: %w", err)
	}
	for _, text := range f.on {
		h, err := f.onFlag(text)
		if err != nil {
			return err
		}
		h.limit, h.maxOutput, h.parallel = common.limit, common.maxOutput, common.parallel
		p.handlers = append(p.handlers, h)
	}
	return nil
}

// handler makes a handler of an entry: what that does not say is as in common.
func (f *listenFile) handler(i int, common handler) (*handler, error) {
	entry := &f.Handlers[i]
	folder, err := f.folder()
	if err != nil {
		return nil, err
	}
	h := &handler{
		events: entry.Event.value, words: slices.Clone(entry.Run.value), dir: entry.Dir.value,
		limit:     time.Duration(entry.Timeout.or(duration(common.limit))),
		maxOutput: entry.MaxOutput.or(common.maxOutput),
		parallel:  entry.Parallel.or(common.parallel),
	}
	for _, name := range slices.Sorted(maps.Keys(entry.Env.value)) {
		if err := checkVariable(name); err != nil {
			return nil, f.fault(entry.Env.line, "%w", err)
		}
		h.env = append(h.env, name+"="+entry.Env.value[name])
	}
	if h.dir != "" && !filepath.IsAbs(h.dir) {
		h.dir = filepath.Join(folder, h.dir)
	}
	return h, f.checkHandler(i, h, folder)
}

func (f *listenFile) checkHandler(i int, h *handler, folder string) error {
	entry := &f.Handlers[i]
	switch {
	case len(h.events) == 0:
		return f.fault(entry.line(), "handler %d has no event: write event: NAME, or event: '*' for every event", i+1)
	case entry.Run.line == 0:
		return f.fault(entry.line(), "handler %d has no script: write run: ./script.sh", i+1)
	}
	if err := f.checkLimits(entry.scriptSettings); err != nil {
		return err
	}
	if err := checkEvents(h.events); err != nil {
		return f.fault(entry.Event.line, "%w", err)
	}
	if err := h.find(folder); err != nil {
		return f.fault(entry.Run.line, "%w", err)
	}
	if info, err := os.Stat(h.dir); h.dir != "" && (err != nil || !info.IsDir()) {
		return f.fault(entry.Dir.line, "dir: there is no folder %s", h.dir)
	}
	return nil
}
