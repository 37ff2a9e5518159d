package faultproxy

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
)

// link is one client's connection and the one to the server that belongs to it.
// The goroutine in Proxy.serve carries requests up, a second one replies down;
// either ends the other by cutting both connections.
type link struct {
	proxy *Proxy
	muted atomic.Bool // half-open

	mu       sync.Mutex
	client   net.Conn
	server   net.Conn // nil until connected
	isCut    bool
	lost     map[int32]bool // ids of requests whose reply is to be lost
	answered sync.Mutex     // held while a whole message is written to the client
}

// connect takes the server's connection; it is false when the link has been cut
// in the meantime.
func (l *link) connect(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		_ = server.Close()
		return false
	}
	l.server = server
	return true
}

// cut resets the client's connection and closes the server's.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

func (l *link) run() {
	var down sync.WaitGroup
	down.Go(func() {
		defer l.cut()
		l.down()
	})
	l.up()
	l.cut()
	down.Wait()
}

// up carries requests to the server until one of the connections fails.
func (l *link) up() {
	r := bufio.NewReader(l.client)
	for {
		m, err := readMessage(r)
		if err != nil || !l.proxy.wait() {
			return
		}
		if l.muted.Load() {
			continue
		}
		f := l.proxy.fault(m.command())
		switch {
		case f != nil && f.err != nil:
			err = l.answer(f.err.reply(m.id))
		case f != nil:
			l.lose(m.id)
			_, err = l.server.Write(m.raw)
		default:
			_, err = l.server.Write(m.raw)
		}
		if err != nil {
			return
		}
	}
}

// down carries replies to the client until one of the connections fails, or a
// reply is to be lost.
func (l *link) down() {
	r := bufio.NewReader(l.server)
	for {
		m, err := readMessage(r)
		if err != nil || l.isLost(m.answer) {
			return
		}
		if l.muted.Load() {
			continue
		}
		if l.answer(m.raw) != nil {
			return
		}
	}
}

func (l *link) answer(raw []byte) error {
	l.answered.Lock()
	defer l.answered.Unlock()
	_, err := l.client.Write(raw)
	return err
}

func (l *link) lose(id int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[id] = true
}

func (l *link) isLost(id int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost[id]
}
