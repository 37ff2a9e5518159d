package embedded

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// projection selects fields; the zero projection keeps all.
type projection struct {
	fields  *fieldTree
	include bool
}

// fieldTree holds the named paths; a leaf has no children.
type fieldTree struct{ children map[string]*fieldTree }

func (t *fieldTree) add(path string) error {
	for _, key := range strings.Split(path, ".") {
		if key == "" || strings.HasPrefix(key, "$") {
			return refuse(codeBadValue, "projection of %q is not supported", path)
		}
		if t.children == nil {
			t.children = map[string]*fieldTree{}
		}
		if t.children[key] == nil {
			t.children[key] = &fieldTree{}
		}
		t = t.children[key]
	}
	return nil
}

// compileProjection understands fields to keep or to leave out, not
// expressions.
func compileProjection(spec bsoncore.Document) (projection, error) {
	p := projection{}
	tree, id, others := &fieldTree{}, true, 0
	for _, e := range elements(spec) {
		v := e.Value()
		if bracket(v.Type) != 3 && v.Type != bsoncore.TypeBoolean {
			return p, refuse(codeBadValue, "projection of %s: only fields to include or exclude are supported by the embedded store", e.Key())
		}
		if e.Key() == "_id" {
			id = truthy(v)
			continue
		}
		if others > 0 && truthy(v) != p.include {
			return p, refuse(codeBadValue, "cannot mix inclusion and exclusion in a projection: %s", e.Key())
		}
		p.include = truthy(v)
		others++
		if err := tree.add(e.Key()); err != nil {
			return p, err
		}
	}
	if others == 0 {
		if len(elements(spec)) == 0 {
			return p, nil
		}
		p.include = id
	}
	if id == p.include {
		_ = tree.add("_id")
	}
	p.fields = tree
	return p, nil
}

func (p projection) apply(doc bsoncore.Document) bsoncore.Document {
	if p.fields == nil {
		return doc
	}
	return p.prune(doc, p.fields, false)
}

// prune copies the document (or array) without what is not wanted.
func (p projection) prune(doc bsoncore.Document, tree *fieldTree, array bool) bsoncore.Document {
	at, out := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)))
	kept := 0
	for _, e := range elements(doc) {
		child, key := tree, e.Key()
		if !array {
			child = tree.children[key]
		}
		v, keep := p.value(e.Value(), child)
		if !keep {
			continue
		}
		if array {
			key = strconv.Itoa(kept)
		}
		kept++
		out = bsoncore.AppendValueElement(out, key, v)
	}
	out, _ = bsoncore.AppendDocumentEnd(out, at)
	return out
}

// value decides about one value: child is its place in the tree, nil when it
// is not named there. Elements of arrays share the place of their array.
func (p projection) value(v bsoncore.Value, child *fieldTree) (bsoncore.Value, bool) {
	if child == nil {
		return v, !p.include
	}
	if child.children == nil {
		return v, p.include
	}
	if v.Type != bsoncore.TypeEmbeddedDocument && v.Type != bsoncore.TypeArray {
		return v, !p.include
	}
	return bsoncore.Value{Type: v.Type, Data: p.prune(v.Data, child, v.Type == bsoncore.TypeArray)}, true
}
