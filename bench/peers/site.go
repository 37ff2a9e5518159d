package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// site is where all is measured: this machine's loopback, and a temporary folder
// that close removes. It is used by one goroutine.
type site struct {
	dir   string
	self  string // this program
	tally *tally

	binary   string // the built fleetcast; empty = build it
	storeURI string // of the store that ours and the bare driver share; empty = not up yet
	store    *process
	rounds   atomic.Int64
}

// storeVariable names a MongoDB to use in place of the embedded store.
const storeVariable = "FLEETCAST_TEST_URI"

func newSite(binary string) (*site, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return nil, err
	}
	tally, err := newTally(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &site{dir: dir, self: self, tally: tally, binary: binary, storeURI: os.Getenv(storeVariable)}, nil
}

func (s *site) close() {
	if s.store != nil {
		s.store.end()
	}
	s.tally.close()
	_ = os.RemoveAll(s.dir)
}

// folder makes a folder in the temporary one.
func (s *site) folder(name string) (string, error) { return os.MkdirTemp(s.dir, name+"-") }

// nextRound numbers the rounds of all fleets, without repetition.
func (s *site) nextRound() int64 { return s.rounds.Add(1) }

// storeAt returns the URI of the store, which it starts the first time.
func (s *site) storeAt(ctx context.Context) (string, error) {
	if s.storeURI != "" {
		return s.storeURI, nil
	}
	if err := s.build(ctx); err != nil {
		return "", err
	}
	p, line, err := s.startProgram(ctx, "mongodb://", nil, s.binary, "store", "--store-addr", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.store, s.storeURI = p, strings.TrimSuffix(strings.TrimSpace(line), "/fleetcast")
	return s.storeURI, nil
}

// build builds fleetcast from the tree that this module belongs to.
func (s *site) build(ctx context.Context) error {
	if s.binary != "" {
		return nil
	}
	root, err := tree(ctx)
	if err != nil {
		return err
	}
	binary := filepath.Join(s.dir, "fleetcast")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/fleetcast")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build fleetcast: %w\n%s", err, out)
	}
	s.binary = binary
	return nil
}

// tree is the folder of the main module.
func tree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/fleetcast/fleetcast").Output()
	if err != nil {
		return "", fmt.Errorf("find fleetcast's tree: %w: run this in bench/peers, or name a built binary by -fleetcast", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// database connects to a new database of the store; drop drops it and disconnects.
func (s *site) database(ctx context.Context) (db *mongo.Database, uri string, drop func(), err error) {
	uri, err = s.storeAt(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, "", nil, err
	}
	db = client.Database("peers_" + bson.NewObjectID().Hex())
	drop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		_ = db.Drop(ctx)
		_ = client.Disconnect(ctx)
	}
	return db, uri, drop, nil
}

// storeVersion says which store ours and the bare driver are measured on.
func (s *site) storeVersion(ctx context.Context) (string, error) {
	if os.Getenv(storeVariable) == "" {
		return "embedded store", nil
	}
	client, err := mongo.Connect(options.Client().ApplyURI(s.storeURI))
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	var info struct {
		Version string `bson:"version"`
	}
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info)
	if err != nil {
		return "", fmt.Errorf("the store that %s names does not answer: %w", storeVariable, err)
	}
	return "MongoDB " + info.Version, nil
}

// freeAddr is a loopback address on which nobody listens at this moment, for
// programs that cannot choose one by themselves.
func freeAddr() (addr, port string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer l.Close()
	_, port, err = net.SplitHostPort(l.Addr().String())
	return l.Addr().String(), port, err
}

// closers collects what must be undone, the last first.
type closers []func()

func (c *closers) add(f func()) { *c = append(*c, f) }

func (c *closers) close() {
	for _, f := range slices.Backward(*c) {
		f()
	}
	*c = nil
}
