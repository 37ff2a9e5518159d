package server

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
)

const (
	// LostAfter is the age of the last beat from which on a server is lost that
	// beats every 15 s, the default. For others it is four beats, and 3 s at
	// least.
	LostAfter = 4 * DefaultHeartbeat
	// DeafAfter is the lag from which on a server that beats is deaf.
	DeafAfter = 15 * time.Second
)

// Entry is a server's document in the registry.
type Entry struct {
	ID        bson.ObjectID       `bson:"_id"`
	Name      string              `bson:"name"` // unique; host:pid unless configured
	Host      string              `bson:"host"`
	PID       int                 `bson:"pid"`
	Version   string              `bson:"version"`
	Labels    map[string]string   `bson:"labels"`
	StartedAt time.Time           `bson:"started_at"` // by the database's clock
	Lifecycle Lifecycle           `bson:"lifecycle"`
	Paused    bool                `bson:"paused"`
	Consumer  bool                `bson:"consumer"` // it runs workers, or has hooks; else it only publishes and listens
	Actions   map[string][]string `bson:"actions"`  // what it can do, by subscriber
	Traits    []event.Trait       `bson:"traits"`   // of these actions, those that have any
	TableID   string              `bson:"table_id"` // of the description of these actions
	Table     []event.ActionInfo  `bson:"-"`        // that description, if ListTables has read the entry
	// Settings are those it has declared, if ListTables has read the entry.
	Settings  []config.Declaration `bson:"-"`
	Desired   Desired              `bson:"desired"` // written by publishers; by the server when it has applied another
	Heartbeat Heartbeat            `bson:"heartbeat"`

	// Age is how old the beat was when the registry was read; it is not stored.
	Age time.Duration `bson:"-"`
}

// Heartbeat is what a server says of itself at each beat.
type Heartbeat struct {
	At         time.Time      `bson:"at"` // by the database's clock
	Position   event.Position `bson:"position"`
	State      event.State    `bson:"state"`                // of its listener
	LastError  string         `bson:"last_error,omitempty"` // why the listener lost its cursor the last time
	LagMS      int64          `bson:"lag_ms"`
	Gaps       int64          `bson:"gaps"`
	Reconnects int64          `bson:"reconnects"`
	IntervalMS int64          `bson:"interval_ms"` // the time between beats; 0 when it is not known
	RTTMS      float64        `bson:"rtt_ms"`      // how long the previous beat took to be written
	RSS        int64          `bson:"rss"`         // resident memory of the process, in bytes
	Goroutines int            `bson:"goroutines"`
	Workers    []WorkerEntry  `bson:"workers"`
}

// WorkerEntry is a worker as of the last beat.
type WorkerEntry struct {
	ID     int    `bson:"id"`
	State  string `bson:"state"`
	Kind   string `bson:"kind,omitempty"`
	WorkID string `bson:"work_id,omitempty"`
	// Description is what its unit of work says of itself.
	Description string    `bson:"description,omitempty"`
	BusySince   time.Time `bson:"busy_since,omitempty"` // by the database's clock
	Stuck       bool      `bson:"stuck,omitempty"`      // busy for longer than its pool's Config.StuckAfter
}

// Lost reports whether the server has not been heard of for four beats.
func (e Entry) Lost() bool { return e.Age > e.lostAfter() }

// lostAfter is never shorter than one slow beat takes.
func (e Entry) lostAfter() time.Duration {
	if e.Heartbeat.IntervalMS == 0 {
		return LostAfter
	}
	return max(4*time.Duration(e.Heartbeat.IntervalMS)*time.Millisecond, beatTimeout)
}

// Deaf reports whether the server beats but does not hear. This is the one
// place that decides it.
func (e Entry) Deaf() bool {
	return !e.Lost() && time.Duration(e.Heartbeat.LagMS)*time.Millisecond > DeafAfter
}

// State is the server's state in one word, the worst there is: "lost", "deaf",
// its lifecycle unless that is running, "paused", or "running".
func (e Entry) State() string {
	switch {
	case e.Lost():
		return "lost"
	case e.Deaf():
		return "deaf"
	case e.Lifecycle == Running && e.Paused:
		return "paused"
	}
	return string(e.Lifecycle)
}

// member is the entry as the bus wants to know it.
func (e Entry) member() event.Member {
	m := event.Member{
		ServerID: e.ID, Name: e.Name, Host: e.Host, PID: e.PID, Labels: e.Labels,
		Actions: e.Actions, Traits: e.Traits, Deaf: e.Deaf(),
	}
	for _, w := range e.Heartbeat.Workers {
		m.Workers = append(m.Workers, w.ID)
	}
	return m
}

// Identity is what an event's target is compared with.
func (e Entry) Identity() *event.Identity { return e.member().Identity() }
