package embedded

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// args reads the fields of a command. Each method remembers the first fault,
// and which fields are known: done refuses the others, so that no option is
// passed over in silence.
type args struct {
	body  bsoncore.Document
	known []string
	err   error
}

// general are fields that any command may carry and that change nothing here.
var general = []string{"$db", "lsid", "$clusterTime", "$readPreference", "readConcern", "writeConcern", "comment",
	"maxTimeMS", "apiVersion", "apiStrict", "apiDeprecationErrors", "allowDiskUse", "bypassDocumentValidation"}

func newArgs(body bsoncore.Document, more ...string) *args {
	first, err := body.IndexErr(0)
	if err == nil {
		more = append(more, first.Key())
	}
	return &args{body: body, known: more}
}

func (a *args) get(name string) (bsoncore.Value, bool) {
	a.known = append(a.known, name)
	v, ok := lookup(a.body, name)
	return v, ok && v.Type != bsoncore.TypeNull
}

func (a *args) fail(err error) {
	if a.err == nil && err != nil {
		a.err = err
	}
}

func (a *args) wrong(name string, v bsoncore.Value, want string) {
	a.fail(refuse(codeTypeMismatch, "field %s must be %s, not of type %v", name, want, v.Type))
}

func (a *args) doc(name string) bsoncore.Document {
	v, ok := a.get(name)
	if !ok {
		return nil
	}
	d, ok := v.DocumentOK()
	if !ok {
		a.wrong(name, v, "an object")
	}
	return d
}

func (a *args) docs(name string) []bsoncore.Document {
	v, ok := a.get(name)
	if !ok {
		return nil
	}
	array, ok := v.ArrayOK()
	if !ok {
		a.wrong(name, v, "an array")
		return nil
	}
	var docs []bsoncore.Document
	for _, e := range elements(bsoncore.Document(array)) {
		d, ok := e.Value().DocumentOK()
		if !ok {
			a.wrong(name, e.Value(), "an array of objects")
		}
		docs = append(docs, d)
	}
	return docs
}

// int reads a whole number of at least 0.
func (a *args) int(name string, otherwise int64) int64 {
	v, ok := a.get(name)
	if !ok {
		return otherwise
	}
	n, ok := wholeNumber(v)
	if f := float(v); bracket(v.Type) == 3 && !ok && f == f {
		n, ok = int64(max(math.MinInt32, min(f, 1<<62))), true // mongosh sends 1e20 and the like
	}
	if !ok {
		a.wrong(name, v, "a whole number")
	} else if n < 0 {
		a.fail(refuse(codeBadValue, "field %s must be at least 0, not %d", name, n))
	}
	return n
}

func (a *args) bool(name string, otherwise bool) bool {
	v, ok := a.get(name)
	if !ok {
		return otherwise
	}
	if v.Type != bsoncore.TypeBoolean && bracket(v.Type) != 3 {
		a.wrong(name, v, "a boolean")
	}
	return truthy(v)
}

func (a *args) string(name string) string {
	v, ok := a.get(name)
	if !ok {
		return ""
	}
	s, ok := v.StringValueOK()
	if !ok {
		a.wrong(name, v, "a string")
	}
	return s
}

// ignored names fields that may be there.
func (a *args) ignored(names ...string) { a.known = append(a.known, names...) }

// unless refuses fields that mean something which the store cannot do. They
// may be there with an empty or false value.
func (a *args) unless(names ...string) {
	for _, name := range names {
		v, ok := a.get(name)
		if d, isDoc := v.DocumentOK(); ok && truthy(v) && !(isDoc && len(elements(d)) == 0) {
			a.fail(unsupported("the option %s on a capped collection", name))
		}
	}
}

// done returns the first fault.
func (a *args) done() error {
	for _, e := range elements(a.body) {
		if key := e.Key(); a.err == nil && !slices.Contains(a.known, key) && !slices.Contains(general, key) {
			a.err = refuse(codeUnknownField, "unknown or unsupported field %q in a command on a capped collection", key)
		}
	}
	return a.err
}
