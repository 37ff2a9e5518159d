package embedded

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// sortKey is one field of a sort order.
type sortKey struct {
	path       []string
	descending bool
}

// order is a sort: by fields, or natural, which is the order of insertion.
type order struct {
	keys     []sortKey
	natural  bool // was asked for
	backward bool // of natural
}

func compileSort(spec bsoncore.Document) (order, error) {
	var o order
	elems := elements(spec)
	for _, e := range elems {
		n, ok := wholeNumber(e.Value())
		if !ok || n != 1 && n != -1 {
			return o, refuse(codeBadValue, "sort by %s: only 1 and -1 are supported by the embedded store", e.Key())
		}
		if e.Key() == "$natural" {
			if len(elems) > 1 {
				return o, refuse(codeBadValue, "$natural sort cannot be combined with other fields")
			}
			return order{natural: true, backward: n < 0}, nil
		}
		if strings.HasPrefix(e.Key(), "$") {
			return o, refuse(codeBadValue, "sort by %s is not supported", e.Key())
		}
		o.keys = append(o.keys, sortKey{strings.Split(e.Key(), "."), n < 0})
	}
	return o, nil
}

// sort orders documents; equal ones keep their order.
func (o order) sort(docs []bsoncore.Document) {
	slices.SortStableFunc(docs, func(a, b bsoncore.Document) int {
		for _, k := range o.keys {
			c := compare(k.value(a), k.value(b))
			if k.descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// value is what a document is sorted by: of several values in arrays the
// least, or descending the greatest.
func (k sortKey) value(d bsoncore.Document) bsoncore.Value {
	var best bsoncore.Value
	found := false
	consider := func(v bsoncore.Value) {
		if c := compare(v, best); !found || c < 0 && !k.descending || c > 0 && k.descending {
			best, found = v, true
		}
	}
	walk(d, k.path, func(v bsoncore.Value, _ bool) bool {
		a, ok := v.ArrayOK()
		if !ok {
			consider(v)
			return false
		}
		items := elements(bsoncore.Document(a))
		for _, e := range items {
			consider(e.Value())
		}
		if len(items) == 0 {
			consider(bsoncore.Value{Type: bsoncore.TypeUndefined}) // an empty array sorts before null
		}
		return false
	})
	return best
}
