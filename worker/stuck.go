package worker

import (
	"time"

	"github.com/rs/zerolog"
)

// flagStuck flags the workers that are busy for too long. It returns when it has
// to look again: no later than the next unit can become stuck, so that nobody
// has to tell of units that begin.
func (p *Pool) flagStuck() (next time.Time) {
	if p.cfg.StuckAfter == 0 {
		return time.Time{}
	}
	next, flagged := p.findStuck()
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

func (p *Pool) findStuck() (next time.Time, flagged []stuckWorker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next = time.Now().Add(p.cfg.StuckAfter)
	for _, w := range p.workers {
		state := w.state()
		if w.stuck || w.busySince.IsZero() || state == Paused || state == Abandoned {
			continue
		}
		if at := w.busySince.Add(p.cfg.StuckAfter); !due(at) {
			next = earlier(next, at)
			continue
		}
		w.stuck = true
		flagged = append(flagged, stuckWorker{w, w.status()})
	}
	return next, flagged
}
