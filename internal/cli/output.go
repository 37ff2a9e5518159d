package cli

import (
	"encoding/json"
	"fmt"
	"io"
)

// The structs of this file are the JSON output: fields may be added, none is
// renamed. Times are RFC 3339, durations are milliseconds.

// printJSON writes one value: indented for -o json, in one line for jsonl.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	if a.output == "json" {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// printAll writes a list: an array for -o json, one line for each with jsonl.
func printAll[T any](a *app, values []T) error {
	if a.output == "json" {
		return a.printJSON(values)
	}
	for _, v := range values {
		if err := a.printJSON(v); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printf(format string, args ...any) { fprintf(a.Stdout, format, args...) }

// say writes a message for people that is no data.
func (a *app) say(format string, args ...any) { fprintf(a.Stderr, format, args...) }

// fprintf writes to a terminal or a pipe; when that is gone there is nobody
// left to tell.
func fprintf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
