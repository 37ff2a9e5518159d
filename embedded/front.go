package embedded

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

// session is one client's connection. Two goroutines belong to it: serve
// answers, listen reads ahead by one request, so that a client who goes away
// ends the command that waits for it.
type session struct {
	store   *Store
	id      int32
	conn    net.Conn
	ctx     context.Context // ends with the client, or the store
	backend *backend
}

// lastWords is how long a client may take to read its last reply when the
// store stops.
const lastWords = time.Second

// accept serves every client that connects until ctx ends, and returns when all
// have gone.
func (st *Store) accept(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = st.listener.Close() })()
	var clients sync.WaitGroup
	defer clients.Wait()
	for id := int32(1); ; id++ {
		conn, err := st.listener.Accept()
		switch {
		case err == nil:
			s := &session{store: st, id: id, conn: conn, backend: &backend{ferret: st.ferret}}
			clients.Go(func() { s.serve(ctx) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of file descriptors, most likely
			zerolog.Ctx(ctx).Warn().Err(err).Msg("embedded store: accept a connection")
			pause(ctx, 100*time.Millisecond)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// serve answers the client's requests one after the other.
func (s *session) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx = ctx
	requests := make(chan *request)
	var listening sync.WaitGroup
	listening.Go(func() {
		defer cancel()
		defer close(requests)
		s.listen(ctx, requests)
	})
	stop := context.AfterFunc(ctx, func() {
		_ = s.conn.SetReadDeadline(time.Now())
		_ = s.conn.SetWriteDeadline(time.Now().Add(lastWords))
	})
	for r := range requests {
		if !s.answer(r) {
			break
		}
		if ctx.Err() != nil {
			break
		}
	}
	stop()
	cancel()
	_ = s.conn.Close()
	for range requests { // listen may hold one more
	}
	listening.Wait()
	s.backend.close()
}

func (s *session) listen(ctx context.Context, requests chan<- *request) {
	r := bufio.NewReaderSize(s.conn, 16<<10)
	for {
		req, err := readRequest(r)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
				zerolog.Ctx(ctx).Debug().Err(err).Msg("embedded store: a client's connection ended")
			}
			return
		}
		select {
		case requests <- req:
		case <-ctx.Done():
			return
		}
	}
}

// answer carries out one request; it is false when the connection is of no
// more use.
func (s *session) answer(r *request) bool {
	var reply bsoncore.Document
	var err error
	if r.op == wiremessage.OpQuery && handlers[r.command()] == nil {
		err = refuse(codeUnsupportedOpQuery, "Unsupported OP_QUERY command: %s", r.command())
	} else {
		reply, err = s.dispatch(r)
	}
	if err != nil {
		reply = asCommandError(err).reply()
	}
	if r.quiet {
		return true
	}
	_, err = s.conn.Write(r.encodeReply(nil, reply))
	return err == nil
}
