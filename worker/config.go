package worker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"time"
)

const (
	defaultWorkers      = 10
	defaultPollInterval = 5 * time.Second
	defaultRecheck      = time.Minute
	defaultGrace        = 5 * time.Second
)

// Config says how a [Pool] works. Its zero value is ready to use. All but
// ProfileLabels and OnChange may be changed later, by [Pool.Configure].
type Config struct {
	// Workers is how many workers are live at a time. Default 10.
	Workers int

	// Filter is handed to every Source.Take. Default: all work.
	Filter Filter

	// PollInterval is how long a worker waits after [ErrNoWork] before it asks
	// again. Default 5 s.
	PollInterval time.Duration

	// Recheck is for work of many parts, by [Recheck]: how long a unit may go on
	// before it looks whether something more urgent waits. Default 1 m.
	Recheck time.Duration

	// Grace is how long a worker may take to end after its work was cancelled
	// by the time-out of Stop or by the end of Run's context, before it is
	// abandoned. Default 5 s.
	Grace time.Duration

	// StuckAfter is how long a unit may take before its worker is flagged as
	// stuck (Status.Stuck) and a warning is logged; nothing else follows from it.
	// Default 0: never, since only the source knows what is long.
	StuckAfter time.Duration

	// ProfileLabels are added to the profiler labels of every worker goroutine:
	// the server's id, for example. They may not use the keys [LabelPool] and
	// [LabelWorker].
	ProfileLabels map[string]string

	// OnChange, if set, is called after what Workers returns, or whether the
	// pool is paused, quiet or stopping, has changed. It is called from any
	// goroutine, several at once, and may call the pool's methods that do not
	// wait; a worker waits for it, so it must not block. A goroutine that it
	// starts may count to a worker in [Pool.Stacks].
	OnChange func()

	// Observe, if set, is told of each moment in the life of the workers and of their
	// work, one at a time, in the order in which they are: for counting, and for
	// passing on. The whole pool waits for it: it must not block, and not call the
	// pool. A panic in it is logged.
	Observe func(Notice)
}

// checked returns the Config with its defaults, or all that is wrong with it.
func (c Config) checked() (Config, error) {
	err := errors.Join(
		notNegative("Workers", c.Workers),
		notNegative("PollInterval", c.PollInterval),
		notNegative("Recheck", c.Recheck),
		notNegative("Grace", c.Grace),
		notNegative("StuckAfter", c.StuckAfter),
		c.checkLabels(),
		c.Filter.Validate(),
	)
	c.Workers = cmp.Or(c.Workers, defaultWorkers)
	c.PollInterval = cmp.Or(c.PollInterval, defaultPollInterval)
	c.Recheck = cmp.Or(c.Recheck, defaultRecheck)
	c.Grace = cmp.Or(c.Grace, defaultGrace)
	c.Filter = c.Filter.clone()
	c.ProfileLabels = maps.Clone(c.ProfileLabels)
	if c.OnChange == nil {
		c.OnChange = func() {}
	}
	return c, err
}

func (c Config) checkLabels() error {
	for _, key := range []string{LabelPool, LabelWorker} {
		if _, taken := c.ProfileLabels[key]; taken {
			return fmt.Errorf("profile label %q belongs to the pool: choose another key", key)
		}
	}
	return nil
}

func notNegative[T int | time.Duration](name string, value T) error {
	if value < 0 {
		return fmt.Errorf("%s is %v: it may not be negative", name, value)
	}
	return nil
}
