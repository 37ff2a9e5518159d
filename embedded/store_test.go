package embedded

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a store; stop ends it, and is called at the end of the test in
// any case.
func start(t testing.TB, cfg Config) (st *Store, stop func()) {
	t.Helper()
	st, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return st, stop
}

func connect(t testing.TB, st *Store) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(st.URI()).SetServerSelectionTimeout(5 * time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { // it wants to tell the store, which may have stopped
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// logOf makes a capped collection.
func logOf(t testing.TB, client *mongo.Client, size, maxDocs int64) *mongo.Collection {
	t.Helper()
	db := client.Database("test")
	opts := options.CreateCollection().SetCapped(true).SetSizeInBytes(size)
	if maxDocs > 0 {
		opts.SetMaxDocuments(maxDocs)
	}
	require.NoError(t, db.CreateCollection(t.Context(), "log", opts))
	return db.Collection("log")
}

type entry struct {
	N  int            `bson:"n"`
	TS bson.Timestamp `bson:"ts"`
}

func insert(t testing.TB, coll *mongo.Collection, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		_, err := coll.InsertOne(t.Context(), bson.D{{Key: "n", Value: n}, {Key: "ts", Value: bson.Timestamp{}}})
		require.NoError(t, err)
	}
}

func entries(t testing.TB, coll *mongo.Collection) (docs []entry) {
	t.Helper()
	cursor, err := coll.Find(t.Context(), bson.D{})
	require.NoError(t, err)
	require.NoError(t, cursor.All(t.Context(), &docs))
	return docs
}

func TestCollectionsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	st, stop := start(t, Config{Dir: dir})
	client := connect(t, st)
	log := logOf(t, client, 1<<20, 5)
	_, err := log.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "n", Value: 1}}})
	require.NoError(t, err)
	insert(t, log, 1, 8)
	some := client.Database("test").Collection("some")
	insert(t, some, 1, 1)
	_, err = some.Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys: bson.D{{Key: "at", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(60)})
	require.NoError(t, err)
	before := entries(t, log)
	stop()

	st, _ = start(t, Config{Dir: dir})
	client = connect(t, st)
	log, some = client.Database("test").Collection("log"), client.Database("test").Collection("some")
	require.Equal(t, before, entries(t, log))
	insert(t, log, 9, 9)
	insert(t, some, 2, 2)
	after := entries(t, log)
	require.Equal(t, []int{5, 6, 7, 8, 9}, []int{after[0].N, after[1].N, after[2].N, after[3].N, after[4].N})
	require.True(t, after[4].TS.After(before[4].TS), "stamps rise across a restart within one second")
	require.True(t, entries(t, some)[1].TS.After(after[4].TS))
	specs, err := log.Indexes().ListSpecifications(t.Context())
	require.NoError(t, err)
	require.Len(t, specs, 2)
	specs, err = some.Indexes().ListSpecifications(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 60, *specs[1].ExpireAfterSeconds)
}

func TestDroppedCollectionsStayAway(t *testing.T) {
	dir := t.TempDir()
	st, stop := start(t, Config{Dir: dir})
	log := logOf(t, connect(t, st), 1<<20, 0)
	insert(t, log, 1, 3)
	require.NoError(t, log.Drop(t.Context()))
	stop()
	st, _ = start(t, Config{Dir: dir})
	names, err := connect(t, st).Database("test").ListCollectionNames(t.Context(), bson.D{})
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestNothingIsKeptWithoutAFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	st, stop := start(t, Config{})
	insert(t, logOf(t, connect(t, st), 1<<20, 0), 1, 3)
	require.DirExists(t, st.dir)
	stop()
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestALongTemporaryFolder(t *testing.T) {
	long := filepath.Join(t.TempDir(), "a-folder-whose-name-is-much-too-long-for-the-address-of-a-unix-socket-which-has-108-bytes")
	require.NoError(t, os.Mkdir(long, 0o700))
	t.Setenv("TMPDIR", long)
	st, _ := start(t, Config{Dir: filepath.Join(long, "with space?#%41")})
	insert(t, connect(t, st).Database("test").Collection("some"), 1, 1)
}

func TestOpenRefuses(t *testing.T) {
	st, _ := start(t, Config{Dir: t.TempDir()})
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"a port in use":           {Config{Addr: st.Addr()}, "choose another port"},
		"a folder in use":         {Config{Dir: st.dir}, "in use by another embedded store"},
		"another network":         {Config{Addr: "0.0.0.0:0"}, "only loopback addresses"},
		"a host name":             {Config{Addr: "example.org:27017"}, "only loopback addresses"},
		"an address with no port": {Config{Addr: "127.0.0.1"}, "give it as 127.0.0.1:27127"},
		"a file for a folder":     {Config{Dir: file}, "make the folder"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), c.cfg)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestRunGivesBackWhatOpenTook(t *testing.T) {
	dir := t.TempDir()
	st, err := Open(t.Context(), Config{Dir: dir})
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, st.Run(ended))
	_, stop := start(t, Config{Addr: st.Addr(), Dir: dir})
	stop()
}

func TestStoppingEndsWaitingTails(t *testing.T) {
	st, stop := start(t, Config{})
	log := logOf(t, connect(t, st), 1<<20, 0)
	insert(t, log, 1, 1)
	cursor, err := log.Find(t.Context(), bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Hour))
	require.NoError(t, err)
	require.True(t, cursor.Next(t.Context()))
	waiting := make(chan error, 1)
	go func() { cursor.Next(t.Context()); waiting <- cursor.Err() }()
	st.awaitWaiting(t, log)
	stop()
	require.Error(t, <-waiting)
}

// awaitWaiting returns when a tail waits for the next document.
func (st *Store) awaitWaiting(t testing.TB, coll *mongo.Collection) {
	c := st.catalog.get(coll.Database().Name() + "." + coll.Name())
	require.Eventually(t, func() bool {
		c.mu.RLock()
		defer c.mu.RUnlock()
		return c.changed != nil
	}, 5*time.Second, time.Millisecond)
}

func TestAClientThatGoesFreesItsCursor(t *testing.T) {
	st, _ := start(t, Config{})
	client := connect(t, st)
	log := logOf(t, client, 1<<20, 0)
	insert(t, log, 1, 1)
	cursor, err := log.Find(t.Context(), bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Hour))
	require.NoError(t, err)
	require.True(t, cursor.Next(t.Context()))

	conn, err := net.Dial("tcp", st.Addr())
	require.NoError(t, err)
	req := newRequest("test", bson.D{{Key: "getMore", Value: cursor.ID()}, {Key: "collection", Value: "log"}, {Key: "maxTimeMS", Value: int64(3600_000)}})
	_, err = conn.Write(req.encode())
	require.NoError(t, err)
	st.awaitWaiting(t, log)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool {
		st.cursors.mu.Lock()
		defer st.cursors.mu.Unlock()
		return len(st.cursors.open) == 0
	}, 5*time.Second, time.Millisecond)
}

func TestIdleCursorsTimeOut(t *testing.T) {
	st, _ := start(t, Config{})
	log := logOf(t, connect(t, st), 1<<20, 0)
	insert(t, log, 1, 5)
	for _, keep := range []bool{false, true} {
		cursor, err := log.Find(t.Context(), bson.D{}, options.Find().SetBatchSize(2).SetNoCursorTimeout(keep))
		require.NoError(t, err)
		st.cursors.sweep(time.Now().Add(idleCursor + time.Minute))
		count := 0
		for cursor.Next(t.Context()) {
			count++
		}
		require.Equal(t, keep, cursor.Err() == nil)
		require.Equal(t, keep, count == 5)
	}
}

func TestExpiredDocumentsAreDeleted(t *testing.T) {
	st, _ := start(t, Config{TTLInterval: 20 * time.Millisecond})
	some := connect(t, st).Database("test").Collection("some")
	_, err := some.Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys: bson.D{{Key: "at", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(60)})
	require.NoError(t, err)
	now := time.Now()
	_, err = some.InsertMany(t.Context(), []any{
		bson.D{{Key: "_id", Value: "old"}, {Key: "at", Value: now.Add(-2 * time.Minute)}},
		bson.D{{Key: "_id", Value: "new"}, {Key: "at", Value: now}},
		bson.D{{Key: "_id", Value: "none"}}, bson.D{{Key: "_id", Value: "number"}, {Key: "at", Value: 1}}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		n, err := some.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: "old"}})
		return err == nil && n == 0
	}, 5*time.Second, 5*time.Millisecond)
	n, err := some.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
}

func TestRefusedOnCappedCollections(t *testing.T) {
	st, _ := start(t, Config{})
	client := connect(t, st)
	log := logOf(t, client, 1<<20, 0)
	insert(t, log, 1, 1)
	ctx, db := t.Context(), client.Database("test")
	for name, do := range map[string]func() error{
		"update": func() error {
			_, err := log.UpdateOne(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}})
			return err
		},
		"delete":        func() error { _, err := log.DeleteOne(ctx, bson.D{}); return err },
		"findAndModify": func() error { return log.FindOneAndDelete(ctx, bson.D{}).Err() },
		"convertToCapped": func() error {
			return db.RunCommand(ctx, bson.D{{Key: "convertToCapped", Value: "log"}, {Key: "size", Value: 4096}}).Err()
		},
		"collMod": func() error {
			return db.RunCommand(ctx, bson.D{{Key: "collMod", Value: "log"}, {Key: "cappedSize", Value: 4096}}).Err()
		},
		"explain": func() error {
			return db.RunCommand(ctx, bson.D{{Key: "explain", Value: bson.D{{Key: "find", Value: "log"}}}}).Err()
		},
		"a unique index": func() error {
			_, err := log.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "n", Value: 1}}, Options: options.Index().SetUnique(true)})
			return err
		},
		"a collation": func() error {
			_, err := log.Find(ctx, bson.D{}, options.Find().SetCollation(&options.Collation{Locale: "en"}))
			return err
		},
		"an option nobody knows": func() error {
			return db.RunCommand(ctx, bson.D{{Key: "find", Value: "log"}, {Key: "nonsense", Value: 1}}).Err()
		},
		"a rename": func() error {
			return client.Database("admin").RunCommand(ctx, bson.D{{Key: "renameCollection", Value: "test.log"}, {Key: "to", Value: "test.log2"}}).Err()
		},
		"a decimal in an ordinary collection": func() error {
			_, err := db.Collection("some").InsertOne(ctx, bson.D{{Key: "d", Value: bson.NewDecimal128(1, 1)}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var refused mongo.ServerError
			err := do()
			require.ErrorAs(t, err, &refused)
			require.Regexp(t, "not support|unsupported", err.Error())
		})
	}
	require.Len(t, entries(t, log), 1)
}
