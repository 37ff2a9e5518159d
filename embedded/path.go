package embedded

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// anyValue applies t to the field's values: for an array to the elements and
// to the whole.
func anyValue(path []string, t test) predicate {
	if t == nil {
		return nil // the compilation has failed
	}
	each := func(v bsoncore.Value, exists bool) bool {
		if a, ok := v.ArrayOK(); ok {
			for _, e := range elements(bsoncore.Document(a)) {
				if t(e.Value(), true) {
					return true
				}
			}
		}
		return t(v, exists)
	}
	return wholeValue(path, each)
}

func wholeValue(path []string, t test) predicate {
	return func(d bsoncore.Document) bool { return walk(d, path, t) }
}

// walk visits the values at the path, of which there are several when it leads
// through arrays, until t is true.
func walk(d bsoncore.Document, path []string, t test) bool {
	v, exists := lookup(d, path[0])
	if len(path) == 1 {
		return t(v, exists)
	}
	return walkInto(v, path[1:], t)
}

func walkInto(v bsoncore.Value, path []string, t test) bool {
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument:
		return walk(v.Data, path, t)
	case bsoncore.TypeArray:
		return walkArray(v.Data, path, t)
	}
	return t(bsoncore.Value{}, false)
}

func walkArray(items bsoncore.Document, path []string, t test) bool {
	if _, err := strconv.Atoi(path[0]); err == nil {
		if v, ok := lookup(items, path[0]); ok {
			if len(path) == 1 && t(v, true) || len(path) > 1 && walkInto(v, path[1:], t) {
				return true
			}
		}
	}
	visited := false
	for _, e := range elements(items) {
		if d, ok := e.Value().DocumentOK(); ok {
			if visited = true; walk(d, path, t) {
				return true
			}
		}
	}
	return !visited && t(bsoncore.Value{}, false)
}

// lookup finds a field without allocating.
func lookup(d bsoncore.Document, key string) (bsoncore.Value, bool) {
	if len(d) < 5 {
		return bsoncore.Value{}, false
	}
	rest := d[4 : len(d)-1]
	for len(rest) > 0 {
		elem, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			break
		}
		if string(elem.KeyBytes()) == key {
			return elem.Value(), true
		}
		rest = after
	}
	return bsoncore.Value{}, false
}
