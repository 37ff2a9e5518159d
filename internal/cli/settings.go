package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
)

// settingsFlags say where a server finds its settings, beside the collection.
type settingsFlags struct {
	file, environment string
	flags             func() (given, defaults []config.Flag) // those that stand for settings
}

// settingFlags are the flags that stand for settings.
var settingFlags = map[string]string{
	"workers":          "fleetcast/max_workers",
	"heartbeat":        "fleetcast/heartbeat_seconds",
	"shutdown-timeout": "fleetcast/shutdown_timeout",
	"stuck-after":      "fleetcast/stuck_after",
	"log-level":        "fleetcast/log_level",
}

// watchSettings is how often a file of settings is looked at.
const watchSettings = 5 * time.Second

func addSettingsFlags(cmd *cobra.Command) *settingsFlags {
	f := &settingsFlags{}
	cmd.Flags().StringVar(&f.file, "settings", "", "YAML file of settings, below those of the database; it is read again when it changes")
	cmd.Flags().StringVar(&f.environment, "environment", "", "the environment whose settings are for this server, such as production")
	f.flags = func() (given, defaults []config.Flag) {
		for name, path := range settingFlags {
			flag := cmd.Flags().Lookup(name)
			setting := config.Flag{Path: path, Name: "--" + name, Value: flag.Value.String()}
			if flag.Changed {
				given = append(given, setting)
			} else {
				defaults = append(defaults, setting)
			}
		}
		return given, defaults
	}
	return f
}

// openSettings reads the settings of a server, trying for ever while the database is
// away.
func (a *app) openSettings(ctx context.Context, s *store, f *settingsFlags, id event.Identity) (*config.Settings, error) {
	keys, err := config.KeyringFromEnv(os.Getenv)
	if err != nil {
		return nil, usageError("%w", err)
	}
	cfg := config.Config{
		File: f.file, Store: config.NewStore(s.db, config.StoreConfig{Keyring: keys}),
		Member: config.Member{Environment: f.environment, Server: serverName(id), Labels: id.Labels},
	}
	cfg.Flags, cfg.Defaults = f.flags()
	if f.file != "" {
		cfg.Watch = watchSettings
	}
	for delay := time.Second; ; delay = min(2*delay, 10*time.Second) {
		settings, err := config.Open(ctx, cfg)
		if !errors.Is(err, config.ErrUnavailable) || ctx.Err() != nil {
			return settings, err
		}
		zerolog.Ctx(ctx).Warn().Err(err).Dur("retry_in_ms", delay).Msg("waiting for the settings")
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// serverName is the name that the server will have in the registry.
func serverName(id event.Identity) string {
	here := event.ThisProcess()
	return cmp.Or(id.Name, fmt.Sprintf("%s:%d", here.Host, here.PID))
}
