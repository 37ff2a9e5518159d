package console

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// fleet is the registry as it was read last, shared by all pages.
type fleet struct {
	registry *server.Registry
	refresh  time.Duration
	stuck    time.Duration
	base     string
	changed  func()

	reading sync.Mutex               // held while reading, so that two pages need one query
	last    atomic.Pointer[snapshot] // never nil
}

// snapshot is the fleet at one moment. It is not changed any more.
type snapshot struct {
	read time.Time // by this process's clock; zero before the first
	Now  time.Time // by the database's
	Rows []*row    // by name
	byID map[bson.ObjectID]*row

	Holds []server.Hold
	// Err is why the registry could not be read since; the rows are older then.
	Err   error
	Since time.Time
}

// row is a server in the table.
type row struct {
	Entry  server.Entry
	Server output.Server
	Base   string
	Key    string // of key, for the browser: a row with the same is not replaced
	key    []byte // equal while nothing but its age changes
	text   string // what is searched
	html   string // as it is sent to browsers, which count the age by themselves
}

// Attention reports whether somebody should look at the server.
func (r *row) Attention() bool { return r.Server.Lost || r.Server.Deaf || r.Server.Stuck > 0 }

// Busy is how many workers are busy.
func (r *row) Busy() string { return output.BusyOf(r.Server) }

func newFleet(registry *server.Registry, cfg Config, changed func()) *fleet {
	f := &fleet{registry: registry, refresh: cfg.Refresh, stuck: cfg.StuckAfter, base: cfg.Base, changed: changed}
	f.last.Store(&snapshot{})
	return f
}

// run reads the registry as long as somebody looks on, until ctx ends.
func (f *fleet) run(ctx context.Context, watched func() bool) {
	for tick := time.NewTicker(f.refresh); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			if watched() {
				f.update(ctx, f.refresh*9/10)
			}
		}
	}
}

// now returns the fleet as it was two refreshes ago at most: while run reads the registry,
// pages do not wait for that.
func (f *fleet) now(ctx context.Context) *snapshot { return f.update(ctx, 2*f.refresh) }

// update returns the fleet, read anew if it is older than that.
func (f *fleet) update(ctx context.Context, oldest time.Duration) *snapshot {
	if s := f.seen(); time.Since(s.read) < oldest {
		return s
	}
	f.reading.Lock()
	defer f.reading.Unlock()
	last := f.seen()
	if time.Since(last.read) < oldest { // somebody else has read it meanwhile
		return last
	}
	next := f.read(ctx, last)
	if ctx.Err() != nil {
		return last
	}
	f.last.Store(next)
	if next.differs(last) {
		f.changed()
	}
	return next
}

// forget lets the next look read the registry in any case.
func (f *fleet) forget() {
	f.reading.Lock()
	defer f.reading.Unlock()
	old := *f.seen()
	old.read = time.Time{}
	f.last.Store(&old)
}

// seen returns the fleet as it was read last, without reading it.
func (f *fleet) seen() *snapshot { return f.last.Load() }

// clock is the database's, as far as it is known.
func (f *fleet) clock() time.Time {
	s := f.seen()
	if s.read.IsZero() || s.Now.IsZero() {
		return time.Now()
	}
	return s.Now.Add(time.Since(s.read))
}

// readTimeout bounds a look at the registry.
const readTimeout = 5 * time.Second

func (f *fleet) read(ctx context.Context, last *snapshot) *snapshot {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	entries, err := f.registry.List(ctx)
	var holds []server.Hold
	if err == nil {
		holds, err = f.registry.Holds(ctx)
	}
	if err != nil {
		failed := *last
		failed.read, failed.Err = time.Now(), err
		if last.Err == nil {
			failed.Since = time.Now()
		}
		return &failed
	}
	next := &snapshot{read: time.Now(), Now: time.Now(), byID: map[bson.ObjectID]*row{}, Holds: holds}
	for _, e := range entries {
		r := f.row(e, last)
		next.Rows = append(next.Rows, r)
		next.byID[e.ID] = r
		next.Now = e.Heartbeat.At.Add(e.Age)
	}
	return next
}

// row returns the server's row, with the parts that have not changed since the last.
func (f *fleet) row(e server.Entry, last *snapshot) *row {
	r := &row{Entry: e, Server: output.ToServer(e, max(f.stuck, 0)), Base: f.base}
	ageless := r.Server
	ageless.Heartbeat.AgeMS = 0
	r.key, _ = json.Marshal(ageless) // of plain values: it cannot fail
	if old := last.byID[e.ID]; old != nil && bytes.Equal(old.key, r.key) {
		r.Key, r.text, r.html = old.Key, old.text, old.html
		return r
	}
	sum := fnv.New64a()
	_, _ = sum.Write(r.key)
	r.Key = strconv.FormatUint(sum.Sum64(), 36)
	words := []string{r.Server.ID, r.Server.Name, r.Server.Host, r.Server.Version}
	r.text = strings.ToLower(strings.Join(append(words, output.LabelList(r.Server.Labels)...), "\n"))
	var html bytes.Buffer
	if templates["fleet"].ExecuteTemplate(&html, "row", r) == nil {
		r.html = html.String()
	}
	return r
}

// differs reports whether anything but ages is new.
func (s *snapshot) differs(old *snapshot) bool {
	if len(s.Rows) != len(old.Rows) || (s.Err == nil) != (old.Err == nil) || len(s.Holds) != len(old.Holds) {
		return true
	}
	for i, r := range s.Rows {
		if !bytes.Equal(r.key, old.Rows[i].key) {
			return true
		}
	}
	for i, h := range s.Holds {
		if h.ID != old.Holds[i].ID {
			return true
		}
	}
	return false
}
