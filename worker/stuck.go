package worker

import (
	"time"

	"github.com/rs/zerolog"
)

// flagStuck flags the workers that are busy for too long. It returns when it has
// to look again: no later than the next unit can become stuck, so that nobody
// has to tell of units that begin.
func (p *Pool) flagStuck() (next time.Time) {
	after := p.Config().StuckAfter
	if after == 0 {
		return time.Time{}
	}
	next, flagged := p.findStuck(after)
	for _, w := range flagged {
		zerolog.Ctx(w.ctx).Warn().Str(fieldKind, w.status.Kind).Str(fieldWorkID, w.status.WorkID).
			Time(fieldSince, w.status.BusySince).Msg("work is stuck: it takes longer than it should")
	}
	if len(flagged) > 0 {
		p.cfg.OnChange()
	}
	return next
}

// stuckWorker is one that was flagged, as it was at that moment.
type stuckWorker struct {
	*worker
	status Status
}

func (p *Pool) findStuck(after time.Duration) (next time.Time, flagged []stuckWorker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next = time.Now().Add(after)
	for _, w := range p.workers {
		state := w.state()
		if w.stuck || w.busySince.IsZero() || state == Paused || state == Abandoned {
			continue
		}
		if at := w.busySince.Add(after); !due(at) {
			next = earlier(next, at)
			continue
		}
		w.stuck = true
		flagged = append(flagged, stuckWorker{w, w.status()})
	}
	return next, flagged
}

// unflag takes back the flags of those who are not busy for too long by another
// measure. The mutex is held.
func (p *Pool) unflag(after time.Duration) {
	for _, w := range p.workers {
		w.stuck = w.stuck && after > 0 && due(w.busySince.Add(after))
	}
}
