package stacks

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Group is a number of goroutines that are at the same place in the same state.
type Group struct {
	Goroutines []Goroutine // the longest waiting first
}

// Wait is how long the one has waited that has waited longest.
func (g Group) Wait() time.Duration { return g.Goroutines[0].Wait }

// Grouped returns the groups, those first of which one has waited longest, then
// in the order of their first goroutines' numbers.
func Grouped(goroutines []Goroutine) []Group {
	ordered := slices.Clone(goroutines)
	slices.SortStableFunc(ordered, func(a, b Goroutine) int {
		return cmp.Or(cmp.Compare(b.Wait, a.Wait), cmp.Compare(a.ID, b.ID))
	})
	var groups []Group
	index := map[string]int{}
	for _, g := range ordered {
		place := g.Place()
		i, ok := index[place]
		if !ok {
			i = len(groups)
			index[place] = i
			groups = append(groups, Group{})
		}
		groups[i].Goroutines = append(groups[i].Goroutines, g)
	}
	return groups
}

// Place is the same text for goroutines at the same place.
func (g Goroutine) Place() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n", g.State)
	for _, f := range g.Frames {
		fmt.Fprintf(&text, "%s %s:%d\n", f.Func, f.File, f.Line)
	}
	fmt.Fprintf(&text, "%s %s:%d\n", g.CreatedBy.Func, g.CreatedBy.File, g.CreatedBy.Line)
	return text.String()
}

// Write writes the groups for people:
//
//	2 goroutines [chan receive, 5 minutes]: 18, 21
//	labels: kind=import fleetcast_worker=7,8
//	app.(*importer).wait
//		/src/app/import.go:17
//	created by app.Run
//		/src/app/app.go:9
func Write(w io.Writer, groups []Group) error {
	for i, g := range groups {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(w, g.String()); err != nil {
			return err
		}
	}
	return nil
}

// String returns what Write writes of one group.
func (g Group) String() string {
	var text strings.Builder
	first := g.Goroutines[0]
	state := first.State
	if first.Wait > 0 {
		state += fmt.Sprintf(", %.0f minutes", first.Wait.Minutes())
	}
	fmt.Fprintf(&text, "%s [%s]:%s\n", count(len(g.Goroutines)), state, g.ids())
	if labels := g.labels(); labels != "" {
		fmt.Fprintf(&text, "labels:%s\n", labels)
	}
	for _, f := range first.Frames {
		fmt.Fprintf(&text, "%s\n", f.Func)
		if f.File != "" {
			fmt.Fprintf(&text, "\t%s:%d\n", f.File, f.Line)
		}
	}
	if by := first.CreatedBy; by.Func != "" {
		fmt.Fprintf(&text, "created by %s\n\t%s:%d\n", by.Func, by.File, by.Line)
	}
	return text.String()
}

func count(n int) string {
	if n == 1 {
		return "1 goroutine"
	}
	return fmt.Sprintf("%d goroutines", n)
}

// maxShown is how many numbers, and values of a label, are listed.
const maxShown = 10

func (g Group) ids() string {
	var ids []string
	for _, one := range g.Goroutines {
		if one.ID != 0 {
			ids = append(ids, strconv.Itoa(one.ID))
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return " " + list(ids, ", ")
}

func list(words []string, separator string) string {
	if len(words) > maxShown {
		words = append(words[:maxShown:maxShown], "…")
	}
	return strings.Join(words, separator)
}

// Labels returns the labels with all values that occur.
func (g Group) Labels() map[string][]string {
	values := map[string][]string{}
	for _, one := range g.Goroutines {
		for key, value := range one.Labels {
			if !slices.Contains(values[key], value) {
				values[key] = append(values[key], value)
			}
		}
	}
	return values
}

func (g Group) labels() string {
	values := g.Labels()
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&text, " %s=%s", key, list(values[key], ","))
	}
	return text.String()
}

// Difference is what has happened between two tracebacks of one process.
type Difference struct {
	Still   []Goroutine // at the same place in the same state, as in the second
	Moved   int         // are elsewhere
	Ended   int
	Started int
}

// Diff compares two tracebacks by the numbers of the goroutines. A goroutine that
// has worked meanwhile and has come back to its place counts as still: its wait
// tells more.
func Diff(before, after []Goroutine) Difference {
	places := map[int]string{}
	for _, g := range before {
		places[g.ID] = g.Place()
	}
	d := Difference{Ended: len(before)}
	for _, g := range after {
		place, was := places[g.ID]
		switch {
		case !was:
			d.Started++
			continue
		case place == g.Place():
			d.Still = append(d.Still, g)
		default:
			d.Moved++
		}
		d.Ended--
	}
	return d
}
