package event

import "sync"

// topicReader is one subscription of a topic. Its goroutine is started by Subscribe,
// and ends after unsubscribe, or when all of a closed topic has been taken.
type topicReader[T any] struct {
	wake chan struct{}
	gone chan struct{} // closed by unsubscribe
	seen uint64        // number of the last message; of its goroutine alone

	mu    sync.Mutex
	queue topicQueue[T]
	ended bool // nothing will follow
}

// topicEntry is a message that waits for its subscriber.
type topicEntry[T any] struct {
	message Message[T]
	held    *publication // of the publisher who waits as well; nil if nobody does
}

func (r *topicReader[T]) put(e topicEntry[T]) {
	r.mu.Lock()
	r.queue.push(e)
	r.mu.Unlock()
	r.look()
}

// finish lets the reader end when it has given all.
func (r *topicReader[T]) finish() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.look()
}

// unhold is told that nobody waits for a publication any more.
func (r *topicReader[T]) unhold(p *publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.unhold(p)
}

func (r *topicReader[T]) look() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run gives the messages one after the other; after unsubscribe it gives up the
// rest, for which nobody shall wait.
func (r *topicReader[T]) run(give func(Message[T], <-chan struct{})) {
	for e, ok := r.next(); ok; e, ok = r.next() {
		e.message.Missed = int(e.message.Number - r.seen - 1)
		r.seen = e.message.Number
		give(e.message, r.gone)
		e.held.taken()
	}
	for e, ok, _ := r.pop(); ok; e, ok, _ = r.pop() {
		e.held.taken()
	}
}

// next waits for a message; ok is false when there is none to give any more.
func (r *topicReader[T]) next() (e topicEntry[T], ok bool) {
	for {
		select {
		case <-r.gone:
			return e, false
		default:
		}
		e, ok, ended := r.pop()
		if ok || ended {
			return e, ok
		}
		select {
		case <-r.wake:
		case <-r.gone:
		}
	}
}

func (r *topicReader[T]) pop() (e topicEntry[T], ok, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok = r.queue.pop()
	return e, ok, r.ended
}

// topicQueue is what waits for one subscriber: what publishers wait with, and at most
// TopicBacklog messages that nobody does. The zero value is empty.
type topicQueue[T any] struct {
	entries []topicEntry[T]
	head    int // entries before it have been taken
	free    int // messages that nobody waits with
}

func (q *topicQueue[T]) push(e topicEntry[T]) {
	if len(q.entries) == cap(q.entries) && q.head > len(q.entries)/2 {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
	if e.held == nil {
		q.free++
		q.drop()
	}
}

func (q *topicQueue[T]) pop() (e topicEntry[T], ok bool) {
	if q.head == len(q.entries) {
		return e, false
	}
	e = q.entries[q.head]
	if e.held == nil {
		q.free--
	}
	q.entries[q.head] = topicEntry[T]{} // for the garbage collector
	if q.head++; q.head == len(q.entries) {
		q.entries, q.head = q.entries[:0], 0
	}
	return e, true
}

// drop loses the oldest messages that nobody waits with, if there are too many.
func (q *topicQueue[T]) drop() {
	for i := q.head; q.free > TopicBacklog; i++ {
		if q.entries[i].held != nil {
			continue
		}
		copy(q.entries[q.head+1:i+1], q.entries[q.head:i]) // those before it move up
		q.entries[q.head] = topicEntry[T]{}
		q.head++
		q.free--
	}
}

func (q *topicQueue[T]) unhold(p *publication) {
	for i := q.head; i < len(q.entries); i++ {
		if q.entries[i].held == p {
			q.entries[i].held = nil
			q.free++
		}
	}
	q.drop()
}
