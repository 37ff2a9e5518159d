package subscribers

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// Level is a log level that can be changed while loggers use it. The zero value
// is info. It implements LoggerControl and is safe for concurrent use.
type Level struct {
	offset atomic.Int32 // from info, so that the zero value is info
}

// levelNames are the levels that can be set, as zerolog names them.
const levelNames = "trace, debug, info, warn, error, disabled"

// Logger returns a logger that follows the level, in place of any of its own.
func (l *Level) Logger(log zerolog.Logger) zerolog.Logger {
	return log.Level(zerolog.TraceLevel).Hook(l)
}

// Run implements zerolog.Hook: it drops what is below the level.
func (l *Level) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if now := l.level(); level < now || now == zerolog.Disabled {
		e.Discard()
	}
}

func (l *Level) level() zerolog.Level { return zerolog.Level(l.offset.Load()) + zerolog.InfoLevel }

// Level returns the present level's name.
func (l *Level) Level() string { return l.level().String() }

// SetLevel sets the level by its name.
func (l *Level) SetLevel(name string) error {
	name = strings.ToLower(strings.TrimSpace(name))
	level, err := zerolog.ParseLevel(name)
	if err != nil || name == "" || !strings.Contains(levelNames, name) {
		return fmt.Errorf("%q is not a log level: choose one of %s", name, levelNames)
	}
	l.offset.Store(int32(level - zerolog.InfoLevel))
	return nil
}

// ThreadDump writes the stacks of all goroutines to the context's logger, at
// any level but disabled.
func (l *Level) ThreadDump(ctx context.Context) (int, error) {
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
		return 0, fmt.Errorf("take the goroutine profile: %w", err)
	}
	n := runtime.NumGoroutine()
	zerolog.Ctx(ctx).Log().Int("goroutines", n).Msg("thread dump\n" + stacks.String())
	return n, nil
}
