package worker

import (
	"context"
	"strings"
	"unicode/utf8"
)

// MaxDescription is how many bytes of a text [Describe] takes; the rest is cut off.
const MaxDescription = 256

// Describe lets running work say in one line where it is, such as "1,200 of 5,000
// rows": it takes the place of Work.Description for operators. ctx is that of
// Work.Run or of a hook, or comes from it. With any other, and when that work has
// ended, Describe does nothing. It is cheap, and safe for concurrent use.
func Describe(ctx context.Context, description string) {
	if t, ok := ctx.Value(taskKey{}).(*task); ok {
		t.describe(shorten(description))
	}
}

// task is the context of one unit of work, and tells it from all others.
type task struct {
	context.Context
	worker *worker
}

type taskKey struct{}

// Value implements context.Context.
func (t *task) Value(key any) any {
	if key == (taskKey{}) {
		return t
	}
	return t.Context.Value(key)
}

func (t *task) describe(text string) {
	w, p := t.worker, t.worker.pool
	p.mu.Lock()
	changed := w.task == t && w.unit.Description != text
	if changed {
		w.unit.Description = text
		p.notify(WorkUpdated, w)
	}
	p.mu.Unlock()
	if changed {
		p.cfg.OnChange()
	}
}

// shorten makes valid text of at most MaxDescription bytes.
func shorten(text string) string {
	if len(text) <= MaxDescription && utf8.ValidString(text) {
		return text
	}
	const more = "…"
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= MaxDescription {
		return text
	}
	end := MaxDescription - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
