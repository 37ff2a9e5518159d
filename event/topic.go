package event

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// TopicBacklog is how many messages may wait for one subscriber of a [Topic] whose
// publishers do not wait for it. Beyond that the oldest are lost to it, and it is
// told how many.
const TopicBacklog = 1024

// ErrTopicClosed is returned by [Topic.Publish] after [Topic.Close].
var ErrTopicClosed = errors.New("the topic is closed")

// Topic is a bus inside the process, for values of one type: what a component tells
// any other that wants to know, without either knowing of the other.
//
//   - Each subscriber sees every message that is published after it has subscribed,
//     in the order of publishing.
//   - Subscribers take their messages in parallel, in no order among each other.
//   - [Topic.Publish] holds the publisher until all have taken its message: nothing
//     piles up behind a slow one, and nothing is lost.
//   - [Topic.Post] holds nobody up, whatever subscribers do. At most TopicBacklog
//     such messages wait for each; of a slow one's the oldest are lost, and
//     [Message.Missed] of the next says how many. The last one posted is never lost.
//   - Without subscribers both go on at once, and Post costs next to nothing.
//   - A subscriber may publish to the topic it reads, by [Message.Context].
//
// Make it with [NewTopic]. The methods are safe for concurrent use.
type Topic[T any] struct {
	name string

	// Nil while there are none. Replaced as a whole, under mu; publishers look
	// without a lock whether there are any.
	subs atomic.Pointer[[]*topicReader[T]]

	mu     sync.Mutex
	last   uint64
	closed bool
}

// Message is one value that was published.
type Message[T any] struct {
	Topic string
	// Number is from 1, in the order of publishing. What nobody was subscribed to is
	// not numbered.
	Number uint64
	// Missed is how many messages between the one before and this one were lost to
	// this subscriber, because it was too slow; see [Topic.Post].
	Missed  int
	At      time.Time // of publishing
	Payload T

	reader any // whose message it is
}

// NewTopic returns a topic; the name is for people.
func NewTopic[T any](name string) *Topic[T] { return &Topic[T]{name: name} }

// Name returns the topic's name.
func (t *Topic[T]) Name() string { return t.name }

// Subscribe returns the messages that are published from now on. The channel is
// closed after the last one of a topic that was closed, and by unsubscribe, which
// gives up what has not been taken; it may be called more than once, from anywhere.
// Who subscribes must read, or unsubscribe: those who Publish wait.
func (t *Topic[T]) Subscribe() (messages <-chan Message[T], unsubscribe func()) {
	ch := make(chan Message[T])
	return ch, t.subscribe(func(m Message[T], gone <-chan struct{}) {
		select {
		case ch <- m:
		case <-gone:
		}
	}, func() { close(ch) })
}

// SubscribePayloads is Subscribe for those who want nothing but the payloads, and do
// not mind missing some that were posted. They publish to the topic they read by
// [Topic.Post].
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
	t.add(r)
	var running sync.WaitGroup
	running.Go(func() { r.run(give); end() })
	return sync.OnceFunc(func() {
		t.remove(r)
		close(r.gone)
		running.Wait()
	})
}

func (t *Topic[T]) add(r *topicReader[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.seen, r.ended = t.last, t.closed
	if !t.closed {
		t.change(append(slices.Clone(t.readers()), r))
	}
}

func (t *Topic[T]) remove(r *topicReader[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(slices.DeleteFunc(slices.Clone(t.readers()), func(o *topicReader[T]) bool { return o == r }))
}

func (t *Topic[T]) change(readers []*topicReader[T]) {
	if len(readers) == 0 {
		t.subs.Store(nil)
		return
	}
	t.subs.Store(&readers)
}

// idle reports whether nobody is subscribed: what is expensive to tell need not be
// put together then.
func (t *Topic[T]) idle() bool { return t.subs.Load() == nil }

func (t *Topic[T]) readers() []*topicReader[T] {
	if all := t.subs.Load(); all != nil {
		return *all
	}
	return nil
}

// Publish hands the payload to all subscribers, and returns when each has taken it
// or has unsubscribed. If ctx ends before, it returns its cause; for those who have
// not taken the payload it then is as one that was posted. It fails with
// [ErrTopicClosed] when the topic is closed.
func (t *Topic[T]) Publish(ctx context.Context, payload T) error {
	if t.idle() {
		return t.fault()
	}
	self, _ := ctx.Value(topicKey{}).(*topicReader[T])
	p := &publication{done: make(chan struct{})}
	p.pending.Store(1)
	readers, err := t.send(payload, p, self)
	if err != nil {
		return err
	}
	p.taken()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		for _, r := range readers {
			r.unhold(p)
		}
		return context.Cause(ctx)
	}
}

// Post is Publish without waiting: it never blocks. A subscriber that is too slow
// loses the oldest of more than [TopicBacklog] messages, and is told by
// [Message.Missed]. After Close it does nothing.
func (t *Topic[T]) Post(payload T) {
	if !t.idle() {
		_, _ = t.send(payload, nil, nil) // a closed topic has nobody to tell
	}
}

// send queues a message for all subscribers. Those but self have to take it before
// the publication, if there is one, is done.
func (t *Topic[T]) send(payload T, p *publication, self *topicReader[T]) ([]*topicReader[T], error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrTopicClosed
	}
	readers := t.readers()
	if len(readers) == 0 {
		return nil, nil
	}
	t.last++
	m := Message[T]{Topic: t.name, Number: t.last, At: time.Now(), Payload: payload}
	for _, r := range readers {
		m.reader = r
		if r == self {
			r.put(topicEntry[T]{message: m})
			continue
		}
		if p != nil {
			p.pending.Add(1)
		}
		r.put(topicEntry[T]{message: m, held: p})
	}
	return readers, nil
}

// fault says why nothing can be published.
func (t *Topic[T]) fault() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrTopicClosed
	}
	return nil
}

// Close ends the topic: subscribers get what waits for them, and then the end of
// their channels. It does not wait for that, and may be repeated.
func (t *Topic[T]) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, r := range t.readers() {
		r.finish()
	}
	t.change(nil)
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
// which cannot take another one meanwhile. It gets the new message after this one,
// as one that was posted.
func (m Message[T]) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, topicKey{}, m.reader)
}
