package subscribers

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
)

// Refresher is what the config subscriber acts on: *config.Settings, with its own
// types of changes C and of values V. What these show of secrets travels through the
// database and is for everybody's eyes.
type Refresher[C, V any] interface {
	// Refresh loads all settings anew and returns what has changed; on an error
	// nothing has.
	Refresh(ctx context.Context) (C, error)
	// Values returns what is in force.
	Values() V
}

// Refreshed is the result of config refresh.
type Refreshed[C any] struct {
	Changed C `bson:"changed" json:"changed"` // empty when all is as it was
}

// SettingList is the result of config list.
type SettingList[V any] struct {
	Settings V `bson:"settings" json:"settings"`
}

// Config is the subscriber "config". Make it with [NewConfig].
type Config struct {
	refresh func(context.Context) (result any, changed []string, err error)
	list    func() any
}

// NewConfig returns the subscriber of these settings. A process that is no server may
// have it alone.
func NewConfig[C, V any](settings Refresher[C, V]) *Config {
	return &Config{
		refresh: func(ctx context.Context) (any, []string, error) {
			changed, err := settings.Refresh(ctx)
			return Refreshed[C]{changed}, pathsOf(changed), err
		},
		list: func() any { return SettingList[V]{settings.Values()} },
	}
}

// pathsOf are the paths of changes that tell them, for the log.
func pathsOf(changed any) []string {
	if c, ok := changed.(interface{ Paths() []string }); ok {
		return c.Paths()
	}
	return nil
}

// Name implements event.Subscriber.
func (c *Config) Name() string { return "config" }

// Actions implements event.Subscriber.
func (c *Config) Actions() []event.Action {
	return []event.Action{
		event.OnResult("refresh", c.onRefresh, event.Doc("load the settings anew, and answer with those that have changed")),
		event.OnResult("list", c.onList, event.Doc("answer with the settings in force, and where they come from")),
	}
}

func (c *Config) onRefresh(ctx context.Context, _ event.None) (any, error) {
	result, changed, err := c.refresh(ctx)
	if err != nil {
		zerolog.Ctx(ctx).Error().Err(err).Msg("the settings are not refreshed, the old ones stay in force")
		return nil, err
	}
	zerolog.Ctx(ctx).Info().Strs("changed", changed).Msg("settings refreshed")
	return result, nil
}

func (c *Config) onList(context.Context, event.None) (any, error) { return c.list(), nil }

// Gap implements event.GapHandler: a refresh may have been missed. It tries until the
// settings have been loaded, or turn out to be wrong.
func (c *Config) Gap(ctx context.Context, gap event.Gap) {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		_, changed, err := c.refresh(ctx)
		if err == nil && len(changed) > 0 {
			zerolog.Ctx(ctx).Info().Strs("changed", changed).Msg("settings refreshed after a gap")
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		log := zerolog.Ctx(ctx).With().Err(err).Str("gap", gap.Reason).Logger()
		if temporary, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err); !ok || !temporary.Temporary() {
			log.Error().Msg("the settings could not be refreshed after a gap, the old ones stay in force; refresh them again")
			return
		}
		log.Warn().Msg("the settings cannot be refreshed after a gap; trying again until they are")
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
	}
}
