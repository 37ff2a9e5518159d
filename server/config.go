package server

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/worker"
)

// Defaults of Config.
const (
	DefaultHeartbeat       = 15 * time.Second
	DefaultShutdownTimeout = 30 * time.Second
)

// Config configures a Server. The zero value works.
type Config struct {
	// Bus configures the bus; its Identity is the server's (name, labels). The
	// Directory is set by Open.
	Bus event.Config
	// Pool configures the workers.
	Pool worker.Config
	// Hooks are called for work that another job system runs. Default: none.
	Hooks Hooks
	// Version of the program, shown in the registry.
	Version string
	// Heartbeat is the time between beats. Default 15 s.
	Heartbeat time.Duration
	// ShutdownTimeout is how long current work may go on after a stop before it
	// is cancelled. Default 30 s; negative means without limit.
	ShutdownTimeout time.Duration
	// Settings are followed while the server runs, which runs them, too. Those of the
	// server itself are fleetcast/max_workers and others in fleetcast/, which take the
	// place of Heartbeat, ShutdownTimeout and Pool where they are set, and the global
	// level of Logger. There is then a subscriber "config". One server has them alone.
	// Default: none.
	Settings *config.Settings
	// AuditKeep is how long the record of acts is kept, for the whole fleet: the
	// server that started last decides. Default: as it is; DefaultAuditKeep when
	// there is none yet. At least a minute.
	AuditKeep time.Duration
	// Logger are the log levels that the logger subscriber changes; nil means that
	// there is none. The components event, server and worker follow it: their lines
	// go to the logger of Run's context.
	Logger *logging.Levels
}

func (c Config) withDefaults() Config {
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, DefaultShutdownTimeout)
	return c
}

// checkLabels refuses what cannot be a key in every MongoDB.
func checkLabels(labels map[string]string) error {
	for key := range labels {
		if key == "" || strings.ContainsAny(key, ".$\x00") {
			return fmt.Errorf("label key %q: a key is not empty and has no '.' or '$'", key)
		}
	}
	return nil
}
