package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/worker"
)

// live is a server in a bubble whose settings are in a file.
type live struct {
	*one
	file string
}

// runLive runs one; use changes its Config.
func runLive(t *testing.T, text string, use func(*Config), flags ...config.Flag) live {
	t.Helper()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	l := live{file: file}
	l.write(t, text)
	settings, err := config.Open(t.Context(), config.Config{File: file, Environ: []string{}, Flags: flags})
	require.NoError(t, err)
	cfg := Config{Settings: settings}
	if use != nil {
		use(&cfg)
	}
	l.one = run(t, none, cfg)
	return l
}

func (l live) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(l.file, []byte(text), 0o600))
}

// refresh publishes config refresh and returns the answer.
func (l live) refresh() event.Reply {
	l.t.Helper()
	var final event.Reply
	for r, err := range l.Bus().Call(l.t.Context(), event.New("config", "refresh", nil), event.Wait(time.Minute)) {
		require.NoError(l.t, err)
		final = r
	}
	return final
}

func (l live) changed(text string) []string {
	l.t.Helper()
	l.write(l.t, text)
	r := l.refresh()
	require.Equal(l.t, event.Done, r.Kind, r.Error)
	var result struct{ Changed config.Changes }
	require.NoError(l.t, r.Result(&result))
	return result.Changed.Paths()
}

func (l live) end() {
	l.t.Helper()
	l.stop()
	require.NoError(l.t, l.ends())
}

func TestSettingsAtTheStartAndAtARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "fleetcast: {max_workers: 3, where_filter: {a: 1}}", func(c *Config) {
			c.Heartbeat, c.Pool.Workers, c.Pool.PollInterval = time.Minute, 7, time.Hour
		})
		c := l.configuration()
		require.Equal(t, 3, c.Pool.Workers)
		require.Equal(t, time.Hour, c.Pool.PollInterval, "the Config's, where no layer has a value")
		require.Equal(t, time.Minute, c.Heartbeat)
		require.Equal(t, map[string]any{"a": 1.0}, c.Pool.Filter.Where)

		require.Equal(t, []string{
			"fleetcast/heartbeat_seconds", "fleetcast/include_filter", "fleetcast/max_poll_seconds", "fleetcast/max_workers", "fleetcast/re_check_seconds",
			"fleetcast/shutdown_timeout", "fleetcast/stuck_after", "fleetcast/where_filter",
		}, l.changed(`
fleetcast:
  max_workers: 5
  heartbeat_seconds: 20
  max_poll_seconds: 1.5
  re_check_seconds: 30
  include_filter: [mail-*, sms]
  shutdown_timeout: 0
  stuck_after: 10m
`))
		c = l.configuration()
		require.Equal(t, worker.Filter{Include: []string{"mail-*", "sms"}}, c.Pool.Filter)
		c.Pool.Filter = worker.Filter{}
		require.Equal(t, worker.Config{
			Workers: 5, PollInterval: 1500 * time.Millisecond, Recheck: 30 * time.Second,
			Grace: 5 * time.Second, StuckAfter: 10 * time.Minute,
		}, c.Pool)
		require.Equal(t, 20*time.Second, c.Heartbeat)
		require.Negative(t, c.ShutdownTimeout, "without limit")
		_, e := l.ledger.now()
		require.EqualValues(t, 20_000, e.Heartbeat.IntervalMS, "the answer comes when the registry shows it")

		l.changed("{}")
		c = l.configuration()
		require.Equal(t, 7, c.Pool.Workers, "unset: the Config's again")
		require.Equal(t, time.Minute, c.Heartbeat)
		require.Equal(t, DefaultShutdownTimeout, c.ShutdownTimeout)
		require.Empty(t, c.Pool.Filter)
		l.end()
	})
}

func TestBadSettingsLeaveTheServerAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "fleetcast: {max_workers: 3}", nil)
		for text, fault := range map[string]string{
			"fleetcast: {max_workers: 0, heartbeat_seconds: 20}":            "fleetcast/max_workers",
			"fleetcast: {max_workers: 5, include_filter: '['}":              "fleetcast/include_filter",
			"fleetcast: {include_filter: a, exclude_filter: b}":             "fleetcast/include_filter and fleetcast/exclude_filter are both set",
			"fleetcast: {max_workers: 5, log_level: loud}":                  "loud",
			"fleetcast: {max_workers: 5, where_filter: 'no JSON'}":          "fleetcast/where_filter",
			"fleetcast: {max_workers: 5, shutdown_timeout: -1s}":            "fleetcast/shutdown_timeout",
			"fleetcast: {max_workers: 5, stuck_after: soon, max_poll_s: 1}": "fleetcast/stuck_after",
		} {
			l.write(t, text)
			r := l.refresh()
			require.Equal(t, event.Failed, r.Kind, text)
			require.Contains(t, r.Error, fault)
			require.Equal(t, 3, l.pool.Size())
			require.Equal(t, DefaultHeartbeat, l.heartbeat())
		}
		l.end()
	})
}

// What an event has changed stays until that setting itself changes.
func TestRefreshLeavesWhatEventsHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "fleetcast: {max_workers: 3}", nil)
		states := listen(t, l.Topics().State, sayState)
		_, err := l.pool.Resize(8)
		require.NoError(t, err)
		l.changed("fleetcast: {max_workers: 3, stuck_after: 1m}")
		require.Equal(t, 8, l.pool.Size())
		require.Equal(t, time.Minute, l.pool.Config().StuckAfter)
		require.Empty(t, states.since())
		l.changed("fleetcast: {max_workers: 4}")
		require.Equal(t, 4, l.pool.Size())
		require.Equal(t, []string{"requested resize by settings: running", "applied resize by settings: running"}, states.since())
		l.end()
	})
}

func TestLogLevelFollowsTheSetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		levels.Logger(zerolog.Nop(), "")
		level := func() string { return levels.List()[0].Level }
		l := runLive(t, "fleetcast: {log_level: debug}", func(c *Config) { c.Logger = levels })
		require.Equal(t, "debug", level())
		l.changed("fleetcast: {log_level: warn}")
		require.Equal(t, "warn", level())
		l.changed("{}")
		require.Equal(t, "info", level(), "as at the start")
		l.end()
	})
}

// Refreshes from elsewhere, such as a signal or a changed file, are followed, too.
func TestSettingsAreFollowedWhoeverRefreshesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "fleetcast: {max_workers: 3}", nil)
		l.write(t, "fleetcast: {max_workers: 6}")
		_, err := l.given.Settings.Refresh(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 6, l.pool.Size())
		l.end()
	})
}

func TestFlagsAreAboveAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "fleetcast: {max_workers: 3}", nil, config.Flag{Path: "fleetcast/max_workers", Name: "--workers", Value: 2})
		require.Equal(t, 2, l.pool.Size())
		require.Empty(t, l.changed("fleetcast: {max_workers: 9}"))
		require.Equal(t, 2, l.pool.Size())
		l.end()
	})
}

func TestDeclarationsAreInTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "{}", nil)
		_, e := l.ledger.now()
		found := map[string]config.Declaration{}
		for _, d := range e.Settings {
			found[d.Path] = d
		}
		require.Equal(t, config.Declaration{
			Path: "fleetcast/max_workers", Type: config.Integer, Default: "10", Unit: "workers", Rules: "min=1",
			Doc: "how many workers are live at a time", Env: "FLEETCAST_MAX_WORKERS",
		}, found["fleetcast/max_workers"])
		l.end()
	})
}

func TestUnknownSettingsAreWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := runLive(t, "fleetcast: {max_wrokers: 3}\napp: {x: 1}", nil)
		var out bytes.Buffer
		log := zerolog.New(&out)
		l.warnUnknown(log.WithContext(t.Context()))
		require.Equal(t, 1, strings.Count(out.String(), "no such setting"))
		require.Contains(t, out.String(), `"path":"fleetcast/max_wrokers"`)
		l.end()
	})
}
