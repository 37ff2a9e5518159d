package faultproxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Proxy stands before one MongoDB server. Its methods are safe for concurrent
// use.
type Proxy struct {
	uri      string
	upstream string
	listener net.Listener
	ctx      context.Context // ends with the proxy
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]bool
	faults  []*Fault
	latency time.Duration
	refuse  time.Time // until then, no new connections
	mute    time.Time // until then, new connections are half-open
	stats   Stats
}

// Stats counts what went wrong on purpose.
type Stats struct {
	Cut      int // connections that were cut
	Refused  int // connections that were refused
	HalfOpen int // connections that went half-open
	Failed   int // commands answered with an error in the place of the server
	Lost     int // commands carried out whose reply was lost
}

// Open starts a proxy before the server that the URI names. Close must be
// called.
func Open(uri string) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{listener: l, links: map[*link]bool{}}
	if p.uri, p.upstream, err = rewrite(uri, l.Addr().String()); err != nil {
		_ = l.Close()
		return nil, err
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// URI is the connection string that leads through the proxy.
func (p *Proxy) URI() string { return p.uri }

// Close cuts all connections and waits until every goroutine has ended.
func (p *Proxy) Close() {
	p.stop()
	_ = p.listener.Close()
	p.Cut()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(conn) })
	}
}

// serve makes a link of a client's connection and lives as long as that.
func (p *Proxy) serve(client net.Conn) {
	l := &link{proxy: p, client: client, lost: map[int32]bool{}}
	if !p.admit(l) {
		l.cut()
		return
	}
	defer p.forget(l)
	defer l.cut()
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.upstream)
	if err != nil {
		return // the client learns that the server is away
	}
	if l.connect(server) {
		l.run()
	}
}

func (p *Proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.ctx.Err() != nil || now.Before(p.refuse) {
		p.stats.Refused++
		return false
	}
	if now.Before(p.mute) {
		l.muted.Store(true)
		p.stats.HalfOpen++
	}
	p.links[l] = true
	return true
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// Cut resets all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
		p.stats.Cut++
	}
}

// Refuse resets each new connection for a while; those that are open stay so.
func (p *Proxy) Refuse(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = time.Now().Add(d)
}

// HalfOpen lets all connections, and those opened within a while, hang for the
// rest of their lives: what is written to them vanishes, nothing comes, and they
// are not closed. That is what a client sees of a firewall that forgot it, or of
// a machine that lost its power.
func (p *Proxy) HalfOpen(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = time.Now().Add(d)
	for l := range p.links {
		if !l.muted.Swap(true) {
			p.stats.HalfOpen++
		}
	}
}

// Delay holds up each request by d from now on; zero ends that.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Calm ends all that is ordered; connections that are half-open are cut.
func (p *Proxy) Calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse, p.mute, p.latency, p.faults = time.Time{}, time.Time{}, 0, nil
	for l := range p.links {
		if l.muted.Load() {
			l.cut()
		}
	}
}

// Stats returns what has gone wrong so far.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Fault is an order for the next commands of some names.
type Fault struct {
	commands []string
	left     int
	err      *Error // nil: carry out, and lose the reply
	done     chan struct{}
}

// Done is closed when the order has been carried out to the last command.
func (f *Fault) Done() <-chan struct{} { return f.done }

// Fail answers the next n commands of these names with an error; the server
// does not see them.
func (p *Proxy) Fail(n int, e Error, commands ...string) *Fault {
	return p.order(&Fault{commands: commands, left: n, err: &e, done: make(chan struct{})})
}

// Lose passes on the next n commands of these names, and cuts the connection
// when the server has answered, in place of the reply.
func (p *Proxy) Lose(n int, commands ...string) *Fault {
	return p.order(&Fault{commands: commands, left: n, done: make(chan struct{})})
}

func (p *Proxy) order(f *Fault) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
	return f
}

// fault returns the first order that is meant for a command, and counts it.
func (p *Proxy) fault(command string) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.faults, func(f *Fault) bool { return slices.Contains(f.commands, command) })
	if command == "" || i < 0 {
		return nil
	}
	f := p.faults[i]
	if f.left--; f.left == 0 {
		p.faults = slices.Delete(p.faults, i, i+1)
		close(f.done)
	}
	if f.err != nil {
		p.stats.Failed++
	} else {
		p.stats.Lost++
	}
	return f
}

// wait holds up a request; it is false when the proxy has been closed.
func (p *Proxy) wait() bool {
	p.mu.Lock()
	d := p.latency
	p.mu.Unlock()
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
