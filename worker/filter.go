package worker

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// Filter says which work a pool takes. Its zero value takes everything. A
// [Source] reads it and does not change it.
type Filter struct {
	// Include are patterns over Work.Kind in the syntax of [path.Match]; work
	// that matches any of them passes. Empty: all kinds pass.
	Include []string

	// Exclude are patterns over Work.Kind; work that matches any of them does
	// not pass. Include and Exclude may not both be given.
	Exclude []string

	// Where is a free document for sources that query a database: they merge it
	// with their own query. Match knows nothing of it.
	Where map[string]any
}

// Validate returns an error if both Include and Exclude are given, or a pattern
// is empty or malformed.
func (f Filter) Validate() error {
	var faults []error
	if len(f.Include) > 0 && len(f.Exclude) > 0 {
		faults = append(faults, errors.New("filter: give either include or exclude patterns, not both"))
	}
	for _, patterns := range [][]string{f.Include, f.Exclude} {
		for _, pattern := range patterns {
			faults = append(faults, checkPattern(pattern))
		}
	}
	return errors.Join(faults...)
}

func checkPattern(pattern string) error {
	if pattern == "" {
		return errors.New("filter: an empty pattern matches no work")
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("filter: pattern %q: %w", pattern, err)
	}
	return nil
}

// clone is a copy that the owner of f cannot change, but for what is within Where.
func (f Filter) clone() Filter {
	return Filter{Include: slices.Clone(f.Include), Exclude: slices.Clone(f.Exclude), Where: maps.Clone(f.Where)}
}

// Match reports whether work of this kind passes. A malformed pattern matches
// nothing.
func (f Filter) Match(kind string) bool {
	if len(f.Include) > 0 && !matchesAny(f.Include, kind) {
		return false
	}
	return !matchesAny(f.Exclude, kind)
}

func matchesAny(patterns []string, kind string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, kind); ok && err == nil {
			return true
		}
	}
	return false
}
