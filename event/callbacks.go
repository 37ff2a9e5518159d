package event

import "context"

// Callbacks are told how a call goes, each by the goroutine that called
// [Bus.CallFunc]. Any of them may be nil.
type Callbacks struct {
	// OnSubmit is called once, when the event has been published, with those who
	// are expected to answer. It is not called when nobody matches.
	OnSubmit func(expected []Member)
	// OnAck is called once for each server that has got the event, before
	// anything else of that server, whether or not its acknowledgement was lost.
	OnAck func(Reply)
	// OnOutput is called for each part of what an action prints, see [Emit].
	OnOutput func(Reply)
	// OnExit is called once for each server, with its final answer.
	OnExit func(Reply)
	// OnGone is called for an expected server that is not waited for any more,
	// because it is lost or has left. Its answer may come all the same.
	OnGone func(Outcome)
	// OnDone is called once, last, unless OnError is.
	OnDone func(Summary)
	// OnError is called once, last, when the event could not be published or the
	// answers not be read, or when ctx has ended. What the servers answer is no
	// such error.
	OnError func(error)
}

// CallFunc is [Bus.Call] by callbacks. It returns when the call is over, with
// its summary and the error that OnError was told.
func (b *Bus) CallFunc(ctx context.Context, e Event, to Callbacks, opts ...CallOption) (Summary, error) {
	c := b.newCall(e, opts)
	if to.OnSubmit != nil {
		c.submitted = to.OnSubmit
	}
	if to.OnGone != nil {
		c.gone = to.OnGone
	}
	t := teller{to: to, acked: map[replier]bool{}, exited: map[replier]bool{}}
	err := c.run(ctx, func(r Reply, _ error) bool { t.tell(r); return true })
	switch {
	case err != nil && to.OnError != nil:
		to.OnError(err)
	case err == nil && to.OnDone != nil:
		to.OnDone(c.summary)
	}
	return c.summary, err
}

// teller calls each callback as often as it promises.
type teller struct {
	to            Callbacks
	acked, exited map[replier]bool
}

func (t *teller) tell(r Reply) {
	from := replier{r.EventID, r.ServerID}
	if !t.acked[from] {
		t.acked[from] = true
		call1(t.to.OnAck, r)
	}
	switch {
	case t.exited[from]:
	case r.Kind == Output:
		call1(t.to.OnOutput, r)
	case r.Kind.Final():
		t.exited[from] = true
		call1(t.to.OnExit, r)
	}
}

func call1(f func(Reply), r Reply) {
	if f != nil {
		f(r)
	}
}
