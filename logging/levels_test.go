package logging_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/logging"
)

func newLevels(t testing.TB) *logging.Levels {
	l, err := logging.New("info")
	require.NoError(t, err)
	return l
}

// lines returns which of debug, info, warn and a line without level come through.
func lines(out *bytes.Buffer, log zerolog.Logger) string {
	out.Reset()
	log.Debug().Msg("debug")
	log.Info().Msg("info")
	log.Warn().Msg("warn")
	log.Log().Msg("always")
	var seen []string
	for _, word := range []string{"debug", "info", "warn", "always"} {
		if strings.Contains(out.String(), `"message":"`+word+`"`) {
			seen = append(seen, word)
		}
	}
	return strings.Join(seen, " ")
}

func TestComponentsFollowTheGlobalLevelUnlessTheyHaveTheirOwn(t *testing.T) {
	var out bytes.Buffer
	l := newLevels(t)
	base := zerolog.New(&out).Level(zerolog.Disabled)
	all, a, b := l.Logger(base, ""), l.Logger(base, "a"), l.Logger(base, "b").With().Int("n", 1).Logger()
	require.Equal(t, "info warn always", lines(&out, all))
	require.Equal(t, "info warn always", lines(&out, a))
	require.Contains(t, out.String(), `"component":"a"`)

	previous, err := l.Set("a", "Debug ", 0)
	require.NoError(t, err)
	require.Equal(t, "info", previous)
	require.Equal(t, "debug info warn always", lines(&out, a))
	require.Equal(t, "info warn always", lines(&out, b))

	_, err = l.Set("", "error", 0)
	require.NoError(t, err)
	require.Equal(t, "always", lines(&out, all))
	require.Equal(t, "debug info warn always", lines(&out, a))
	require.Equal(t, "always", lines(&out, b))

	previous, err = l.Set("a", logging.Default, 0)
	require.NoError(t, err)
	require.Equal(t, "debug", previous)
	require.Equal(t, "always", lines(&out, a))
	_, err = l.Set("", "disabled", 0)
	require.NoError(t, err)
	require.Empty(t, lines(&out, b))
	_, err = l.Set("", logging.Default, 0)
	require.NoError(t, err)
	require.Equal(t, "info warn always", lines(&out, b), "as at the start")
}

func TestLevelsGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLevels(t)
		l.Logger(zerolog.Nop(), "a")
		set := func(component, level string, d time.Duration) {
			_, err := l.Set(component, level, d)
			require.NoError(t, err)
		}
		state := func() []logging.Component { synctest.Wait(); return l.List() }
		set("a", "debug", time.Minute)
		require.Equal(t, []logging.Component{
			{Name: "", Level: "info", Own: "info"},
			{Name: "a", Level: "debug", Own: logging.Default, Passing: true, Left: time.Minute},
		}, state())
		time.Sleep(time.Minute)
		require.Equal(t, logging.Component{Name: "a", Level: "info", Own: logging.Default}, state()[1])

		// Set anew for a while: the first end is none.
		set("", "debug", time.Minute)
		time.Sleep(30 * time.Second)
		set("", "trace", time.Minute)
		time.Sleep(45 * time.Second)
		require.Equal(t, "trace", state()[0].Level)
		require.Equal(t, "trace", state()[1].Level, "it follows")
		time.Sleep(15 * time.Second)
		require.Equal(t, "info", state()[0].Level)

		// Set for good meanwhile: that stays.
		set("a", "debug", time.Minute)
		set("a", "warn", 0)
		time.Sleep(time.Hour)
		require.Equal(t, logging.Component{Name: "a", Level: "warn", Own: "warn"}, state()[1])

		// It goes back to what was set for good last.
		set("a", "trace", time.Minute)
		set("", "error", 0)
		time.Sleep(time.Minute)
		require.Equal(t, "warn", state()[1].Level)
	})
}

func TestWrongLevels(t *testing.T) {
	l := newLevels(t)
	l.Logger(zerolog.Nop(), "event")
	for says, set := range map[string]func() (string, error){
		`"loud" is not a log level: choose one of trace, debug`: func() (string, error) { return l.Set("", "loud", 0) },
		`"" is not a log level`:                                 func() (string, error) { return l.Set("", "", 0) },
		`"panic" is not a log level`:                            func() (string, error) { return l.Set("", "panic", 0) },
		`"inf" is not a log level`:                              func() (string, error) { return l.Set("", "inf", 0) },
		`unknown component "evnt": there are event`:             func() (string, error) { return l.Set("evnt", "debug", 0) },
		"a positive duration":                                   func() (string, error) { return l.Set("event", "debug", -1) },
		"it is for good only":                                   func() (string, error) { return l.Set("event", logging.Default, 1) },
	} {
		_, err := set()
		require.ErrorContains(t, err, says)
	}
	require.Equal(t, "info", l.List()[1].Level, "nothing was changed")
	_, err := logging.New("quiet")
	require.Error(t, err)
	require.Panics(t, func() { l.Logger(zerolog.Nop(), "a.b") })
	require.NoError(t, logging.Check(logging.Default))
	require.Error(t, logging.Check("loud"))
}

func TestSlog(t *testing.T) {
	l := newLevels(t)
	var v slog.LevelVar
	l.Bind("http", &v)
	handler := slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: &v})
	for _, test := range []struct {
		set  string
		from slog.Level
	}{{"trace", slog.LevelDebug - 4}, {"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}} {
		_, err := l.Set("http", test.set, 0)
		require.NoError(t, err)
		require.True(t, handler.Enabled(context.Background(), test.from), test.set)
		require.False(t, handler.Enabled(context.Background(), test.from-1), test.set)
	}
	_, err := l.Set("http", "disabled", 0)
	require.NoError(t, err)
	require.False(t, handler.Enabled(context.Background(), slog.LevelError+100))
}

func TestConcurrentUse(t *testing.T) {
	l := newLevels(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			log := l.Logger(zerolog.New(io.Discard), string(rune('a'+i%3)))
			for range 200 {
				log.Info().Msg("x")
				_, _ = l.Set(string(rune('a'+i%3)), "debug", time.Millisecond)
				l.List()
			}
		})
	}
	all.Wait()
}

// TestDroppedLinesCostNoMemory, as most lines of a program are dropped.
func TestDroppedLinesCostNoMemory(t *testing.T) {
	log := newLevels(t).Logger(zerolog.New(io.Discard), "a")
	require.Zero(t, testing.AllocsPerRun(100, func() { log.Debug().Str("key", "value").Int("n", 1).Msg("dropped") }))
}

// BenchmarkDropped is a line below the level.
func BenchmarkDropped(b *testing.B) {
	log := newLevels(b).Logger(zerolog.New(io.Discard), "a")
	b.ReportAllocs()
	for b.Loop() {
		log.Debug().Str("key", "value").Int("n", 1).Msg("dropped")
	}
}

// BenchmarkDroppedByZerolog is the same with zerolog's own level, to compare.
func BenchmarkDroppedByZerolog(b *testing.B) {
	log := zerolog.New(io.Discard).Level(zerolog.InfoLevel)
	b.ReportAllocs()
	for b.Loop() {
		log.Debug().Str("key", "value").Int("n", 1).Msg("dropped")
	}
}

// BenchmarkDroppedBySlog is a line below the level of a bound LevelVar.
func BenchmarkDroppedBySlog(b *testing.B) {
	var v slog.LevelVar
	newLevels(b).Bind("a", &v)
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: &v}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(ctx, slog.LevelDebug, "dropped", slog.String("key", "value"), slog.Int("n", 1))
	}
}
