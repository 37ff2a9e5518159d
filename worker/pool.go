package worker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// startSpread is the time over which the first workers start, so that they do
// not all ask the source at once.
const startSpread = 100 * time.Millisecond

var poolCount atomic.Int64

// Pool keeps a number of workers that take work from a [Source]. Make it with
// [New]. All methods are safe for concurrent use, before, during and after Run.
type Pool struct {
	source Source
	cfg    Config          // of New
	id     string          // value of LabelPool
	wake   chan struct{}   // tells Run to look again
	base   context.Context // Run's, without its end; set once by Run

	mu       sync.Mutex
	running  bool
	paused   bool
	quiet    bool
	stopping bool
	cancelAt time.Time // when a Stop runs out of time; zero for never
	now      Config    // as Configure and Resize have left it
	lastID   int
	live     int             // workers that are not abandoned
	workers  map[int]*worker // live and abandoned
}

// New returns a pool that has not begun to work, or an error that lists all that
// is wrong with cfg.
func New(source Source, cfg Config) (*Pool, error) {
	cfg, err := cfg.checked()
	if source == nil {
		err = errors.Join(errors.New("worker pool without a source"), err)
	}
	if err != nil {
		return nil, err
	}
	now := cfg
	now.ProfileLabels, now.OnChange, now.Observe = nil, nil, nil
	return &Pool{
		source:  source,
		cfg:     cfg,
		id:      strconv.FormatInt(poolCount.Add(1), 10),
		wake:    make(chan struct{}, 1),
		now:     now,
		workers: map[int]*worker{},
	}, nil
}

// Run starts the workers and returns when all have ended after Stop, Kill or
// the end of ctx; the last is a Kill that waits for Config.Grace. It returns nil
// when all workers have stopped, and an [*AbandonedError] when some have not. A
// pool runs once; a second Run is an error.
//
// Run's goroutine alone watches the time-outs of Stop, Kill and KillWorker, and
// Config.StuckAfter.
func (p *Pool) Run(ctx context.Context) error {
	if err := p.start(ctx); err != nil {
		return err
	}
	end := ctx.Done()
	for {
		deadline, ended := p.enforce()
		if ended {
			return p.outcome()
		}
		select {
		case <-p.wake:
		case <-at(deadline):
		case <-end:
			end = nil
			p.kill(p.Config().Grace, context.Cause(ctx))
		}
	}
}

func (p *Pool) start(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return errors.New("worker pool: Run was called before; a pool runs once")
	}
	p.running = true
	p.stopping = p.stopping || ctx.Err() != nil
	p.base = context.WithoutCancel(ctx)
	p.fill(startSpread)
	p.mu.Unlock()
	p.cfg.OnChange()
	return nil
}

// fill starts the workers that are missing, spread over this time. The mutex is
// held.
func (p *Pool) fill(spread time.Duration) {
	if p.stopping || !p.running {
		return
	}
	missing := p.now.Workers - p.live
	for i := range missing {
		p.lastID++
		p.live++
		w := newWorker(p, p.lastID)
		w.rest = spread * time.Duration(i) / time.Duration(missing)
		p.workers[w.id] = w
		p.notify(WorkerStarted, w)
		go w.live()
	}
}

// left is told by a worker's goroutine that it ends now.
func (p *Pool) left(w *worker) {
	p.mu.Lock()
	delete(p.workers, w.id)
	if !w.abandoned {
		p.live--
		close(w.settled)
	}
	w.phase, w.stack = gone, ""
	w.cancel(nil)
	p.notify(WorkerStopped, w)
	p.fill(0)
	p.mu.Unlock()
	p.look()
	p.cfg.OnChange()
}

// enforce does what is due by the clock. It returns when to be called again,
// zero for no set time, and whether a stopping pool has ended.
func (p *Pool) enforce() (deadline time.Time, ended bool) {
	p.cancelLate()
	p.abandonLate()
	stuckAt := p.flagStuck()
	p.mu.Lock()
	defer p.mu.Unlock()
	deadline = earlier(stuckAt, p.cancelAt)
	for _, w := range p.workers {
		if !w.abandoned {
			deadline = earlier(deadline, w.abandonAt)
		}
	}
	return deadline, p.stopping && p.live == 0
}

// cancelLate cancels all work when a Stop has run out of time.
func (p *Pool) cancelLate() {
	p.mu.Lock()
	late := due(p.cancelAt)
	if late {
		p.cancelAt = time.Time{}
	}
	p.mu.Unlock()
	if late {
		p.kill(p.Config().Grace, ErrStopTimeout)
	}
}

// abandonLate gives up the workers that have not ended in the time after their
// kill, and starts others in their places.
func (p *Pool) abandonLate() {
	late := p.late()
	if len(late) == 0 {
		return
	}
	stacks := p.goroutines(late) // outside of the mutex: it takes a while
	p.mu.Lock()
	for _, stack := range stacks {
		w := p.workers[stack.Worker.ID]
		if w == nil { // it has left meanwhile
			continue
		}
		w.abandoned = true
		w.stack = stack.Text
		p.live--
		close(w.settled)
		p.notify(WorkerAbandoned, w)
	}
	p.fill(0)
	p.mu.Unlock()
	p.cfg.OnChange()
}

func (p *Pool) late() (late []Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		if !w.abandoned && due(w.abandonAt) {
			late = append(late, w.status())
		}
	}
	return byNumber(late)
}

func (p *Pool) outcome() error {
	if rest := p.Workers(); len(rest) > 0 {
		return &AbandonedError{Workers: rest}
	}
	return nil
}

// Workers returns the live and the abandoned workers by number, and none of
// those that have left.
func (p *Pool) Workers() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Status, 0, len(p.workers))
	for _, w := range p.workers {
		list = append(list, w.status())
	}
	return byNumber(list)
}

// HasWorker reports whether Workers would list this number.
func (p *Pool) HasWorker(id int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers[id] != nil
}

// look makes Run call enforce.
func (p *Pool) look() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func byNumber(list []Status) []Status {
	slices.SortFunc(list, func(a, b Status) int { return a.ID - b.ID })
	return list
}
