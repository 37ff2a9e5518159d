package embedded

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// ferret is the FerretDB behind the store, which serves ordinary collections.
type ferret struct {
	db            *ferretdb.FerretDB
	network, addr string
	socketDir     string
}

// longestSocket is what fits into a socket's address on every system.
const longestSocket = 100

func openFerret(ctx context.Context, dataDir string) (*ferret, error) {
	f := &ferret{}
	listener, err := f.listener()
	if err != nil {
		return nil, err
	}
	data := url.URL{Scheme: "file", Path: filepath.ToSlash(dataDir) + "/", OmitHost: true,
		RawQuery: "_pragma=synchronous(normal)"}
	f.db, err = ferretdb.New(&ferretdb.Config{
		Listener:  listener,
		Logger:    slog.New(&ferretLog{log: zerolog.Ctx(ctx)}),
		Handler:   "sqlite",
		SQLiteURL: data.String(),
	})
	if err != nil {
		_ = os.RemoveAll(f.socketDir)
		return nil, fmt.Errorf("open FerretDB in %s: %w", dataDir, err)
	}
	if f.network == "tcp" {
		u, err := url.Parse(f.db.MongoDBURI())
		if err != nil {
			return nil, err
		}
		f.addr = u.Host
	}
	return f, nil
}

// listener prefers a socket in a folder of its own, where nobody comes past the
// store's write lock.
func (f *ferret) listener() (l ferretdb.ListenerConfig, err error) {
	if f.socketDir, err = os.MkdirTemp("", "fleetcast-"); err != nil {
		return l, fmt.Errorf("make a folder for the store's socket: %w", err)
	}
	path := filepath.Join(f.socketDir, "ferret.sock")
	if len(path) > longestSocket {
		f.network, l.TCP = "tcp", "127.0.0.1:0"
		return l, nil
	}
	f.network, f.addr, l.Unix = "unix", path, path
	return l, nil
}

// run serves until ctx ends.
func (f *ferret) run(ctx context.Context) error {
	err := f.db.Run(ctx)
	_ = os.RemoveAll(f.socketDir)
	return err
}

// backend is a connection to FerretDB, opened when it is needed. Its lock lets
// the store's own goroutines share one.
type backend struct {
	ferret *ferret
	mu     sync.Mutex
	conn   net.Conn
	r      *bufio.Reader
}

// answerTime bounds how long FerretDB may take for one command.
const answerTime = 5 * time.Minute

// send carries a request to FerretDB and returns its reply. A reply that says
// that the command failed is an error.
func (b *backend) send(req *request) (bsoncore.Document, error) {
	reply, err := b.exchange(req)
	if err != nil {
		return nil, err
	}
	if ok, found := lookup(reply, "ok"); !found || truthy(ok) {
		return reply, nil
	}
	var fault struct {
		Message string `bson:"errmsg"`
		Code    int32  `bson:"code"`
	}
	if err := bson.Unmarshal(reply, &fault); err != nil {
		return nil, fmt.Errorf("read FerretDB's error: %w", err)
	}
	return nil, refuse(code(fault.Code), "%s", fault.Message)
}

func (b *backend) exchange(req *request) (bsoncore.Document, error) {
	if err := req.suits(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		conn, err := net.Dial(b.ferret.network, b.ferret.addr)
		if err != nil {
			return nil, fmt.Errorf("connect to FerretDB: %w", err)
		}
		b.conn, b.r = conn, bufio.NewReader(conn)
	}
	out := *req
	out.body = forwardable(req.body)
	_ = b.conn.SetDeadline(time.Now().Add(answerTime))
	_, err := b.conn.Write(out.encode())
	var reply *request
	if err == nil {
		reply, err = readRequest(b.r)
	}
	if err != nil {
		_ = b.conn.Close()
		b.conn = nil
		return nil, fmt.Errorf("FerretDB ended the connection on the command %s, it cannot carry that out: %w", req.command(), err)
	}
	return reply.body, nil
}

// run sends a command of the store's own.
func (b *backend) run(db string, command bson.D) (bsoncore.Document, error) {
	return b.send(newRequest(db, command))
}

func (b *backend) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		_ = b.conn.Close()
	}
}

// suits refuses the types over which FerretDB would end the connection.
func (r *request) suits() error {
	docs := []bsoncore.Document{r.body}
	for _, s := range r.series {
		docs = append(docs, s.docs...)
	}
	for _, d := range docs {
		if t := foreign(d); t != 0 {
			return unsupported("values of type %v in an ordinary collection", t)
		}
	}
	return nil
}

// foreign finds a type in a document that FerretDB does not know.
func foreign(d bsoncore.Document) bsoncore.Type {
	for rest := d[4 : len(d)-1]; len(rest) > 0; {
		elem, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			break
		}
		rest = after
		switch t := bsoncore.Type(elem[0]); t {
		case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
			if in := foreign(elem.Value().Data); in != 0 {
				return in
			}
		case bsoncore.TypeUndefined, bsoncore.TypeDBPointer, bsoncore.TypeJavaScript, bsoncore.TypeSymbol,
			bsoncore.TypeCodeWithScope, bsoncore.TypeDecimal128, bsoncore.TypeMinKey, bsoncore.TypeMaxKey:
			return t
		}
	}
	return 0
}

// forwardable is the command without what concerns clusters and sessions, and
// what FerretDB knows for some commands only.
func forwardable(body bsoncore.Document) bsoncore.Document {
	at, out := bsoncore.AppendDocumentStart(make([]byte, 0, len(body)))
	for _, e := range elements(body) {
		switch e.Key() {
		case "lsid", "$clusterTime", "txnNumber", "readConcern", "writeConcern", "$readPreference",
			"maxTimeMS", "comment", "apiVersion", "apiStrict", "apiDeprecationErrors":
		default:
			out = append(out, e...)
		}
	}
	out, _ = bsoncore.AppendDocumentEnd(out, at)
	return out
}

// ferretLog passes FerretDB's errors on to the store's log; the rest is of no
// use to anybody.
type ferretLog struct{ log *zerolog.Logger }

func (*ferretLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (l *ferretLog) Handle(_ context.Context, r slog.Record) error {
	e := l.log.Error()
	r.Attrs(func(a slog.Attr) bool {
		e.Str(a.Key, a.Value.String())
		return true
	})
	e.Msg("FerretDB: " + r.Message)
	return nil
}

func (l *ferretLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *ferretLog) WithGroup(string) slog.Handler      { return l }
