package event

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Topic is a bus inside the process, for values of one type: what a component tells
// any other that wants to know, without either knowing of the other.
//
//   - Each subscriber sees every message that is published after it has subscribed,
//     in the order of publishing.
//   - Subscribers take their messages in parallel, in no order among each other.
//   - A publisher is held until all have taken its message: nothing piles up behind
//     a slow one. Without subscribers it goes on at once.
//   - A subscriber may publish to the topic it reads, by [Message.Context].
//
// Make it with [NewTopic]. The methods are safe for concurrent use.
type Topic[T any] struct {
	name string

	mu   sync.Mutex
	last uint64
	subs []*topicReader[T]
}

// Message is one value that was published.
type Message[T any] struct {
	Topic   string
	Number  uint64    // from 1, in the order of publishing
	At      time.Time // of publishing
	Payload T

	reader any // whose message it is
}

// NewTopic returns a topic; the name is for people.
func NewTopic[T any](name string) *Topic[T] { return &Topic[T]{name: name} }

// Name returns the topic's name.
func (t *Topic[T]) Name() string { return t.name }

// Subscribe returns the messages that are published from now on. The channel is
// closed by unsubscribe, which gives up what has not been taken; it may be called
// more than once, from anywhere. Who subscribes must read, or unsubscribe:
// publishers wait.
func (t *Topic[T]) Subscribe() (messages <-chan Message[T], unsubscribe func()) {
	ch := make(chan Message[T])
	return ch, t.subscribe(func(m Message[T], gone <-chan struct{}) {
		select {
		case ch <- m:
		case <-gone:
		}
	}, func() { close(ch) })
}

// SubscribePayloads is Subscribe for those who want nothing but the payloads. They
// publish to the topic they read by [Topic.Post].
func (t *Topic[T]) SubscribePayloads() (payloads <-chan T, unsubscribe func()) {
	ch := make(chan T)
	return ch, t.subscribe(func(m Message[T], gone <-chan struct{}) {
		select {
		case ch <- m.Payload:
		case <-gone:
		}
	}, func() { close(ch) })
}

func (t *Topic[T]) subscribe(give func(Message[T], <-chan struct{}), end func()) (unsubscribe func()) {
	r := &topicReader[T]{wake: make(chan struct{}, 1), gone: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs = append(t.subs[:len(t.subs):len(t.subs)], r) // publishers may be at the old one
	var running sync.WaitGroup
	running.Go(func() { r.run(give); end() })
	return sync.OnceFunc(func() {
		t.remove(r)
		close(r.gone)
		running.Wait()
	})
}

func (t *Topic[T]) remove(r *topicReader[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []*topicReader[T]
	for _, o := range t.subs {
		if o != r {
			rest = append(rest, o)
		}
	}
	t.subs = rest
}

// Publish hands the payload to all subscribers, and returns when each has taken it
// or has unsubscribed. If ctx ends before, it returns its cause; those who have not
// taken the payload still get it.
func (t *Topic[T]) Publish(ctx context.Context, payload T) error {
	self, _ := ctx.Value(topicKey{}).(*topicReader[T])
	wait := t.post(payload, self)
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Post is Publish without waiting: for those who cannot wait, and know that what
// they publish is little, since it piles up behind a subscriber that does not read.
func (t *Topic[T]) Post(payload T) { t.post(payload, nil) }

// post queues a message for all subscribers; the channel is closed when all but
// self have taken it.
func (t *Topic[T]) post(payload T, self *topicReader[T]) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	m := Message[T]{Topic: t.name, Number: t.last, At: time.Now(), Payload: payload}
	p := &publication{done: make(chan struct{})}
	p.pending.Store(1)
	for _, r := range t.subs {
		entry := topicEntry[T]{message: m}
		entry.message.reader = r
		if r != self {
			p.pending.Add(1)
			entry.taken = p
		}
		r.put(entry)
	}
	p.taken()
	return p.done
}

// publication counts who has not taken a message yet.
type publication struct {
	pending atomic.Int64
	done    chan struct{}
}

func (p *publication) taken() {
	if p != nil && p.pending.Add(-1) == 0 {
		close(p.done)
	}
}

type topicKey struct{}

// Context returns ctx for publishing to the topic while the message is being
// handled: [Topic.Publish] does not wait for the subscriber whose message it is,
// which cannot take another one meanwhile. It gets the new message after this one.
func (m Message[T]) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, topicKey{}, m.reader)
}

// topicReader is one subscription. Its goroutine is started by Subscribe and joined
// by unsubscribe.
type topicReader[T any] struct {
	wake chan struct{}
	gone chan struct{}

	mu    sync.Mutex
	queue []topicEntry[T]
}

type topicEntry[T any] struct {
	message Message[T]
	taken   *publication
}

func (r *topicReader[T]) put(e topicEntry[T]) {
	r.mu.Lock()
	r.queue = append(r.queue, e)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *topicReader[T]) take() []topicEntry[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := r.queue
	r.queue = nil
	return entries
}

// run gives the messages one after the other; after the end it gives up the rest,
// for which nobody shall wait.
func (r *topicReader[T]) run(give func(Message[T], <-chan struct{})) {
	for {
		select {
		case <-r.gone:
			for _, e := range r.take() {
				e.taken.taken()
			}
			return
		case <-r.wake:
		}
		for _, e := range r.take() {
			give(e.message, r.gone)
			e.taken.taken()
		}
	}
}
