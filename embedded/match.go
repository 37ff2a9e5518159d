package embedded

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// predicate decides about a document; it may be called by several goroutines.
type predicate func(bsoncore.Document) bool

// test decides about one value of a field; exists is false for a field that is
// missing, whose value then is zero.
type test func(v bsoncore.Value, exists bool) bool

func everything(bsoncore.Document) bool { return true }

// compileFilter makes a predicate of a query filter. Operators that it does not
// know are errors.
func compileFilter(filter bsoncore.Document) (predicate, error) {
	var all []predicate
	for _, e := range elements(filter) {
		p, err := compileField(e.Key(), e.Value())
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return every(all), nil
}

func every(all []predicate) predicate {
	switch len(all) {
	case 0:
		return everything
	case 1:
		return all[0]
	}
	return func(d bsoncore.Document) bool {
		for _, p := range all {
			if !p(d) {
				return false
			}
		}
		return true
	}
}

func some(any []predicate) predicate {
	return func(d bsoncore.Document) bool {
		for _, p := range any {
			if p(d) {
				return true
			}
		}
		return false
	}
}

func not(p predicate) predicate { return func(d bsoncore.Document) bool { return !p(d) } }

func compileField(key string, v bsoncore.Value) (predicate, error) {
	if !strings.HasPrefix(key, "$") {
		return compileConditions(strings.Split(key, "."), v)
	}
	switch key {
	case "$comment":
		return nil, nil
	case "$and", "$or", "$nor":
	default:
		return nil, refuse(codeBadValue, "unknown or unsupported top level operator: %s", key)
	}
	parts, err := compileList(key, v)
	if err != nil {
		return nil, err
	}
	switch key {
	case "$and":
		return every(parts), nil
	case "$or":
		return some(parts), nil
	}
	return not(some(parts)), nil
}

func compileList(key string, v bsoncore.Value) ([]predicate, error) {
	items, err := arrayOf(key, v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, refuse(codeBadValue, "%s must be a nonempty array", key)
	}
	var list []predicate
	for _, item := range items {
		d, ok := item.DocumentOK()
		if !ok {
			return nil, refuse(codeBadValue, "%s entries need to be full objects", key)
		}
		p, err := compileFilter(d)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func arrayOf(key string, v bsoncore.Value) ([]bsoncore.Value, error) {
	a, ok := v.ArrayOK()
	if !ok {
		return nil, refuse(codeBadValue, "%s needs an array", key)
	}
	values, err := a.Values()
	if err != nil {
		return nil, refuse(codeBadValue, "%s: %v", key, err)
	}
	return values, nil
}

// isOperators reports whether v is a document like {$gt: 1}.
func isOperators(v bsoncore.Value) bool {
	d, ok := v.DocumentOK()
	if !ok {
		return false
	}
	elems := elements(d)
	return len(elems) > 0 && strings.HasPrefix(elems[0].Key(), "$")
}

func compileConditions(path []string, v bsoncore.Value) (predicate, error) {
	if pattern, flags, ok := v.RegexOK(); ok {
		t, err := matchesRegex(pattern, flags)
		return anyValue(path, t), err
	}
	if !isOperators(v) {
		return anyValue(path, equals(v)), nil
	}
	var all []predicate
	ops := elements(v.Data)
	for _, op := range ops {
		p, err := compileOperator(path, op.Key(), op.Value(), v.Data)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return every(all), nil
}

func compileOperator(path []string, op string, v bsoncore.Value, all bsoncore.Document) (predicate, error) {
	switch op {
	case "$eq":
		return anyValue(path, equals(v)), nil
	case "$ne":
		return not(anyValue(path, equals(v))), nil
	case "$gt", "$gte", "$lt", "$lte":
		t, err := inRange(op, v)
		return anyValue(path, t), err
	case "$in", "$nin":
		t, err := oneOf(op, v)
		if err != nil || op == "$in" {
			return anyValue(path, t), err
		}
		return not(anyValue(path, t)), nil
	case "$exists":
		want := truthy(v)
		exists := wholeValue(path, func(_ bsoncore.Value, exists bool) bool { return exists })
		if want {
			return exists, nil
		}
		return not(exists), nil
	case "$not":
		return compileNot(path, v)
	case "$regex":
		return compileRegex(path, v, all)
	case "$options":
		return nil, nil // belongs to $regex
	case "$size":
		n, ok := wholeNumber(v)
		if !ok || n < 0 {
			return nil, refuse(codeBadValue, "$size needs a whole number of at least 0")
		}
		return wholeValue(path, hasSize(n)), nil
	case "$elemMatch":
		return compileElemMatch(path, v)
	case "$type":
		t, err := hasType(v)
		return anyValue(path, t), err
	}
	return nil, refuse(codeBadValue, "unknown or unsupported operator: %s", op)
}

func compileNot(path []string, v bsoncore.Value) (predicate, error) {
	if v.Type != bsoncore.TypeRegex && !isOperators(v) {
		return nil, refuse(codeBadValue, "$not needs a regex or a document of operators")
	}
	p, err := compileConditions(path, v)
	if err != nil {
		return nil, err
	}
	return not(p), nil
}

func equals(want bsoncore.Value) test {
	return func(v bsoncore.Value, exists bool) bool {
		return (exists || want.Type == bsoncore.TypeNull) && compare(v, want) == 0
	}
}

func inRange(op string, bound bsoncore.Value) (test, error) {
	switch bound.Type {
	case bsoncore.TypeRegex, bsoncore.TypeMinKey, bsoncore.TypeMaxKey, bsoncore.TypeUndefined:
		return nil, refuse(codeBadValue, "%s over values of type %v is not supported", op, bound.Type)
	}
	place, isNull, nan := bracket(bound.Type), bound.Type == bsoncore.TypeNull, isNaN(bound)
	return func(v bsoncore.Value, exists bool) bool {
		if !exists && !isNull || bracket(v.Type) != place {
			return false
		}
		c := compare(v, bound)
		if (nan || isNaN(v)) && c != 0 {
			return false // NaN is below no number, and above none
		}
		switch op {
		case "$gt":
			return c > 0
		case "$gte":
			return c >= 0
		case "$lt":
			return c < 0
		}
		return c <= 0
	}, nil
}

func isNaN(v bsoncore.Value) bool {
	return bracket(v.Type) == 3 && float(v) != float(v)
}

func oneOf(op string, v bsoncore.Value) (test, error) {
	items, err := arrayOf(op, v)
	if err != nil {
		return nil, err
	}
	var tests []test
	for _, item := range items {
		if isOperators(item) {
			return nil, refuse(codeBadValue, "cannot nest $ under %s", op)
		}
		t := equals(item)
		if pattern, flags, ok := item.RegexOK(); ok {
			if t, err = matchesRegex(pattern, flags); err != nil {
				return nil, err
			}
		}
		tests = append(tests, t)
	}
	return func(v bsoncore.Value, exists bool) bool {
		for _, t := range tests {
			if t(v, exists) {
				return true
			}
		}
		return false
	}, nil
}

func truthy(v bsoncore.Value) bool {
	switch v.Type {
	case bsoncore.TypeBoolean:
		b, _ := v.BooleanOK()
		return b
	case bsoncore.TypeNull, bsoncore.TypeUndefined, 0:
		return false
	}
	return bracket(v.Type) != 3 || float(v) != 0
}

// wholeNumber reads an integral number of any numeric type.
func wholeNumber(v bsoncore.Value) (int64, bool) {
	if n, ok := integer(v); ok {
		return n, true
	}
	if f, ok := v.DoubleOK(); ok && f == float64(int64(f)) && f < 1<<62 && f > -(1<<62) {
		return int64(f), true
	}
	return 0, false
}

func hasSize(n int64) test {
	return func(v bsoncore.Value, _ bool) bool {
		a, ok := v.ArrayOK()
		return ok && int64(len(elements(bsoncore.Document(a)))) == n
	}
}

func compileElemMatch(path []string, v bsoncore.Value) (predicate, error) {
	d, ok := v.DocumentOK()
	if !ok {
		return nil, refuse(codeBadValue, "$elemMatch needs an object")
	}
	var match test
	if first := elements(d); isOperators(v) && !isLogical(first[0].Key()) {
		p, err := compileConditions([]string{"v"}, v)
		if err != nil {
			return nil, err
		}
		match = func(v bsoncore.Value, _ bool) bool {
			return p(bsoncore.NewDocumentBuilder().AppendValue("v", v).Build())
		}
	} else {
		p, err := compileFilter(d)
		if err != nil {
			return nil, err
		}
		match = func(v bsoncore.Value, _ bool) bool {
			d, ok := v.DocumentOK()
			return ok && p(d)
		}
	}
	return wholeValue(path, func(v bsoncore.Value, _ bool) bool {
		a, ok := v.ArrayOK()
		if !ok {
			return false
		}
		for _, e := range elements(bsoncore.Document(a)) {
			if match(e.Value(), true) {
				return true
			}
		}
		return false
	}), nil
}

func isLogical(op string) bool { return op == "$and" || op == "$or" || op == "$nor" }

var typeNames = map[string]bsoncore.Type{
	"double": 1, "string": 2, "object": 3, "array": 4, "binData": 5, "objectId": 7, "bool": 8, "date": 9,
	"null": 10, "regex": 11, "int": 16, "timestamp": 17, "long": 18, "decimal": 19,
}

func hasType(v bsoncore.Value) (test, error) {
	items := []bsoncore.Value{v}
	if v.Type == bsoncore.TypeArray {
		items, _ = arrayOf("$type", v)
	}
	var types [256]bool
	for _, item := range items {
		name, isName := item.StringValueOK()
		n, isNumber := wholeNumber(item)
		switch t, known := typeNames[name]; {
		case isName && name == "number":
			types[1], types[16], types[18], types[19] = true, true, true, true
		case isName && known:
			types[t] = true
		case isNumber && n > 0 && n <= 19:
			types[n] = true
		default:
			return nil, refuse(codeBadValue, "unknown or unsupported type in $type: %v", item)
		}
	}
	return func(v bsoncore.Value, exists bool) bool { return exists && types[v.Type] }, nil
}
