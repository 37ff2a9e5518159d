package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// tally learns from the responders' processes when their handlers were called: by
// datagrams on a Unix socket, one for each process and round, sent after its last
// handler. The time is that of the machine's clock, which all processes share.
//
// Its goroutine is started by newTally and ends with close; it alone reads.
type tally struct {
	conn *net.UnixConn
	done chan struct{}

	mu      sync.Mutex
	rounds  map[int64]*heard
	changed chan struct{} // closed and replaced at each datagram
}

type heard struct {
	handlers int
	last     time.Time
}

// reportBytes is the size of the datagram: round, number of handlers, and the last one's time, each
// 8 bytes in network order.
const reportBytes = 24

func newTally(dir string) (*tally, error) {
	addr := &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "tally.sock")}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the handlers' reports: %w", err)
	}
	t := &tally{conn: conn, done: make(chan struct{}), rounds: map[int64]*heard{}, changed: make(chan struct{})}
	go t.read()
	return t, nil
}

func (t *tally) path() string { return t.conn.LocalAddr().String() }

func (t *tally) close() {
	_ = t.conn.Close()
	<-t.done
}

func (t *tally) read() {
	defer close(t.done)
	buf := make([]byte, 64)
	for {
		n, err := t.conn.Read(buf)
		if err != nil {
			return // closed
		}
		if n == reportBytes {
			t.add(buf)
		}
	}
}

func (t *tally) add(report []byte) {
	round := int64(binary.BigEndian.Uint64(report))
	at := time.Unix(0, int64(binary.BigEndian.Uint64(report[16:])))
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.round(round)
	h.handlers += int(binary.BigEndian.Uint64(report[8:]))
	if at.After(h.last) {
		h.last = at
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// round returns the entry of a round. t.mu is held.
func (t *tally) round(round int64) *heard {
	h := t.rounds[round]
	if h == nil {
		h = &heard{}
		t.rounds[round] = h
	}
	return h
}

// await returns when n handlers were called in this round, with the time of the
// last; errIncomplete after the patience.
func (t *tally) await(ctx context.Context, round int64, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errIncomplete{})
	defer cancel()
	for {
		h, changed := t.look(round)
		if h.handlers >= n {
			return h.last, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errIncomplete{}) {
				return time.Time{}, errIncomplete{h.handlers, n}
			}
			return time.Time{}, context.Cause(ctx)
		}
	}
}

func (t *tally) look(round int64) (heard, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.round(round), t.changed
}

// reporter is the other side: it counts the handlers of one process.
type reporter struct {
	conn *net.UnixConn
	n    int

	mu     sync.Mutex
	rounds map[int64]*called
}

type called struct {
	by   map[int]bool
	last time.Time
}

func newReporter(path string, n int) (*reporter, error) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		return nil, err
	}
	return &reporter{conn: conn, n: n, rounds: map[int64]*called{}}, nil
}

// handled notes that a member's handler was called. It is safe for concurrent use.
func (r *reporter) handled(member int, round int64) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.rounds[round]
	if c == nil {
		c = &called{by: make(map[int]bool, r.n)}
		r.rounds[round] = c
	}
	c.by[member] = true
	if now.After(c.last) {
		c.last = now
	}
	if len(c.by) == r.n {
		delete(r.rounds, round)
		r.send(round, c.last)
	}
}

func (r *reporter) send(round int64, last time.Time) {
	report := binary.BigEndian.AppendUint64(nil, uint64(round))
	report = binary.BigEndian.AppendUint64(report, uint64(r.n))
	report = binary.BigEndian.AppendUint64(report, uint64(last.UnixNano()))
	_, _ = r.conn.Write(report) // when the other side has gone, so will we
}
