package event

import (
	"context"
	"slices"
)

// Definition is an action as its publishers and its subscriber share it: the
// compiler checks both sides. Make it with [Define], once, in a package that both
// import.
type Definition[P, R any] struct {
	subscriber, action string
	opts               []ActionOption
}

// Define defines an action of a subscriber, by its parameters P and its result R.
// Use [None] for what it has not. P may have defaults, see [Defaulter], and rules:
// tags `validate:"required,min=1"` as github.com/go-playground/validator knows them.
func Define[P, R any](subscriber, action string, opts ...ActionOption) Definition[P, R] {
	return Definition[P, R]{subscriber, action, opts}
}

// New makes an event for the action.
func (d Definition[P, R]) New(parameters P, opts ...Option) Event {
	return New(d.subscriber, d.action, parameters, opts...)
}

// Do makes the action of a function, for the subscriber's table.
func (d Definition[P, R]) Do(do func(context.Context, P) (R, error), opts ...ActionOption) Action {
	return OnResult(d.action, do, append(slices.Clone(d.opts), opts...)...)
}

// Result decodes the result of an answer.
func (d Definition[P, R]) Result(r Reply) (result R, err error) {
	err = r.Result(&result)
	return result, err
}
