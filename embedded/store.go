package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"cmp"

	"github.com/rs/zerolog"
)

// Config says where a store listens and keeps its data. The zero value is a
// store on a free port that keeps nothing.
type Config struct {
	// Addr is the loopback address to listen on; its port may be 0 for a free
	// one. Default 127.0.0.1:0. There is no access control, so that other
	// addresses are refused.
	Addr string

	// Dir is the folder for the data; it is made when it is missing, and one
	// store at a time may use it. Default: capped collections live in memory,
	// others in a temporary folder that is removed when the store stops.
	Dir string

	// TTLInterval is how often documents are looked for whose time according to
	// a TTL index is over. Default 60 s, as in MongoDB.
	TTLInterval time.Duration
}

// DefaultAddr is where a store listens when nothing else is said.
const DefaultAddr = "127.0.0.1:0"

// Store is a database in this process. It is used through a driver, by its URI.
type Store struct {
	ttlInterval time.Duration
	listener    net.Listener
	dir         string
	temporary   bool
	lock        *os.File

	ferret  *ferret
	catalog *catalog
	cursors cursors
	clock   *clock
	ttl     *ttlIndexes
	own     *backend // for the store's own commands

	// writes is held during every write to FerretDB, whose updates are not
	// atomic, and while a collection is made or dropped.
	writes sync.Mutex
}

// Open prepares a store and begins to listen; clients wait until [Store.Run]
// serves them. Run must be called, also to give back what Open has taken: with
// a context that has ended it does only that.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	st := &Store{dir: cfg.Dir, ttlInterval: cmp.Or(cfg.TTLInterval, time.Minute)}
	defer func() {
		if err != nil {
			_ = st.release()
		}
	}()
	if st.listener, err = listen(ctx, cmp.Or(cfg.Addr, DefaultAddr)); err != nil {
		return nil, err
	}
	if err := st.openFolder(); err != nil {
		return nil, err
	}
	return st, st.openData(ctx)
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address of the embedded store %q: %w; give it as 127.0.0.1:27127", addr, err)
	}
	host = cmp.Or(host, "127.0.0.1")
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("address of the embedded store %q: only loopback addresses are allowed, since it has no access control; "+
			"use 127.0.0.1 or, to reach it from elsewhere, a MongoDB server", addr)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address of the embedded store %s is in use, perhaps by another store: "+
			"connect to that one, stop it, or choose another port (0 takes a free one): %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on the address of the embedded store: %w", err)
	}
	return l, nil
}

// openFolder makes the folder ours.
func (st *Store) openFolder() (err error) {
	if st.dir == "" {
		st.temporary = true
		if st.dir, err = os.MkdirTemp("", "fleetcast-data-"); err != nil {
			return fmt.Errorf("make a temporary folder for the embedded store: %w", err)
		}
		return nil
	}
	if st.dir, err = filepath.Abs(st.dir); err != nil {
		return fmt.Errorf("folder of the embedded store: %w", err)
	}
	if err := os.MkdirAll(st.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the embedded store: %w", err)
	}
	st.lock, err = lockFolder(st.dir)
	return err
}

// openData opens what is in the folder.
func (st *Store) openData(ctx context.Context) (err error) {
	sqlite := filepath.Join(st.dir, "sqlite")
	if err := os.MkdirAll(sqlite, 0o700); err != nil {
		return fmt.Errorf("make the folder of the ordinary collections: %w", err)
	}
	capped := ""
	if st.clock, st.ttl = new(clock), new(ttlIndexes); !st.temporary {
		capped = filepath.Join(st.dir, "capped")
		if st.clock, err = openClock(st.dir); err != nil {
			return err
		}
		if st.ttl, err = loadTTL(filepath.Join(st.dir, "ttl.bson")); err != nil {
			return err
		}
	}
	if st.catalog, err = openCatalog(ctx, capped, st.clock); err != nil {
		return err
	}
	if st.ferret, err = openFerret(ctx, sqlite); err != nil {
		return err
	}
	st.own = &backend{ferret: st.ferret}
	return nil
}

// Addr is the address that the store listens on, as host:port.
func (st *Store) Addr() string { return st.listener.Addr().String() }

// URI is the store's connection string, without a database.
func (st *Store) URI() string { return "mongodb://" + st.Addr() }

// Run serves clients until ctx ends, and returns nil then. It stops clients,
// joins every goroutine, and gives back the port, the folder and all else. It
// may be called once.
func (st *Store) Run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	storing, stopStoring := context.WithCancel(context.WithoutCancel(ctx))
	var behind, beside sync.WaitGroup
	behind.Go(func() { _ = st.ferret.run(storing) }) // always nil
	beside.Go(func() { st.janitor(serving) })

	err := st.accept(serving)
	stopServing()
	beside.Wait()
	st.own.close()
	stopStoring()
	behind.Wait()
	if err := errors.Join(err, st.release()); err != nil {
		return fmt.Errorf("embedded store: %w", err)
	}
	zerolog.Ctx(ctx).Debug().Msg("embedded store stopped")
	return nil
}

// release gives back what Open took; parts may not be there.
func (st *Store) release() error {
	var errs []error
	if st.listener != nil {
		if err := st.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if st.catalog != nil {
		errs = append(errs, st.catalog.close())
	}
	if st.clock != nil {
		errs = append(errs, st.clock.close())
	}
	if st.temporary && st.dir != "" {
		errs = append(errs, os.RemoveAll(st.dir))
	}
	if st.lock != nil {
		errs = append(errs, st.lock.Close())
	}
	return errors.Join(errs...)
}
