package embedded

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// bracket is the place of a type in MongoDB's comparison order; see
// https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/.
// Values of different brackets are never equal, and a range operator finds
// only values of its operand's bracket.
func bracket(t bsoncore.Type) int {
	switch t {
	case bsoncore.TypeMinKey:
		return 0
	case bsoncore.TypeUndefined:
		return 1
	case 0, bsoncore.TypeNull: // 0: a field that is missing
		return 2
	case bsoncore.TypeInt32, bsoncore.TypeInt64, bsoncore.TypeDouble, bsoncore.TypeDecimal128:
		return 3
	case bsoncore.TypeString, bsoncore.TypeSymbol:
		return 4
	case bsoncore.TypeEmbeddedDocument:
		return 5
	case bsoncore.TypeArray:
		return 6
	case bsoncore.TypeBinary:
		return 7
	case bsoncore.TypeObjectID:
		return 8
	case bsoncore.TypeBoolean:
		return 9
	case bsoncore.TypeDateTime:
		return 10
	case bsoncore.TypeTimestamp:
		return 11
	case bsoncore.TypeRegex:
		return 12
	case bsoncore.TypeDBPointer:
		return 13
	case bsoncore.TypeJavaScript:
		return 14
	case bsoncore.TypeCodeWithScope:
		return 15
	}
	return 16 // MaxKey
}

// compare orders two sound values as MongoDB does.
func compare(a, b bsoncore.Value) int {
	if c := cmp.Compare(bracket(a.Type), bracket(b.Type)); c != 0 {
		return c
	}
	switch a.Type {
	case bsoncore.TypeInt32, bsoncore.TypeInt64, bsoncore.TypeDouble, bsoncore.TypeDecimal128:
		return compareNumbers(a, b)
	case bsoncore.TypeString, bsoncore.TypeSymbol:
		return strings.Compare(text(a), text(b))
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
		return compareElements(a.Data, b.Data, a.Type == bsoncore.TypeEmbeddedDocument)
	case bsoncore.TypeBinary:
		return compareBinary(a, b)
	case bsoncore.TypeDateTime:
		x, _ := a.DateTimeOK()
		y, _ := b.DateTimeOK()
		return cmp.Compare(x, y)
	case bsoncore.TypeTimestamp:
		return cmp.Compare(binary.LittleEndian.Uint64(a.Data), binary.LittleEndian.Uint64(b.Data))
	}
	return bytes.Compare(a.Data, b.Data)
}

func text(v bsoncore.Value) string {
	if len(v.Data) < 5 {
		return ""
	}
	return string(v.Data[4 : len(v.Data)-1])
}

func compareBinary(a, b bsoncore.Value) int {
	s, x, _ := a.BinaryOK()
	t, y, _ := b.BinaryOK()
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(s, t), bytes.Compare(x, y))
}

// compareElements orders documents (by type, name and value of their fields)
// and arrays (by value).
func compareElements(a, b bsoncore.Document, names bool) int {
	x, y := elements(a), elements(b)
	for i := range min(len(x), len(y)) {
		v, w := x[i].Value(), y[i].Value()
		c := cmp.Compare(bracket(v.Type), bracket(w.Type))
		if names {
			c = cmp.Or(c, bytes.Compare(x[i].KeyBytes(), y[i].KeyBytes()))
		}
		if c = cmp.Or(c, compare(v, w)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

func elements(d bsoncore.Document) []bsoncore.Element {
	elems, _ := d.Elements() // every document was checked on its way in
	return elems
}

func compareNumbers(a, b bsoncore.Value) int {
	x, xInt := integer(a)
	y, yInt := integer(b)
	if xInt && yInt {
		return cmp.Compare(x, y)
	}
	f, g := float(a), float(b)
	// cmp.Compare puts NaN before all numbers, as MongoDB does.
	if c := cmp.Compare(f, g); c != 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return c
	}
	return exact(a).Cmp(exact(b)) // near each other: rounding may hide the order
}

func integer(v bsoncore.Value) (int64, bool) {
	switch v.Type {
	case bsoncore.TypeInt32:
		n, ok := v.Int32OK()
		return int64(n), ok
	case bsoncore.TypeInt64:
		return v.Int64OK()
	}
	return 0, false
}

func float(v bsoncore.Value) float64 {
	if n, ok := integer(v); ok {
		return float64(n)
	}
	if f, ok := v.DoubleOK(); ok {
		return f
	}
	hi, lo, ok := v.Decimal128OK()
	d := bson.NewDecimal128(hi, lo)
	if !ok {
		return 0 // not a number
	}
	if d.IsNaN() {
		return math.NaN()
	}
	if sign := d.IsInf(); sign != 0 {
		return math.Inf(sign)
	}
	f, _ := exact(v).Float64()
	// A finite decimal beyond the doubles is still below infinity.
	return max(-math.MaxFloat64, min(math.MaxFloat64, f))
}

// exact is the value of a finite number.
func exact(v bsoncore.Value) *big.Rat {
	if n, ok := integer(v); ok {
		return new(big.Rat).SetInt64(n)
	}
	if f, ok := v.DoubleOK(); ok {
		return new(big.Rat).SetFloat64(f)
	}
	hi, lo, _ := v.Decimal128OK()
	mantissa, exp, err := bson.NewDecimal128(hi, lo).BigInt()
	if err != nil {
		return new(big.Rat)
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
	if exp < 0 {
		return new(big.Rat).SetFrac(mantissa, power)
	}
	return new(big.Rat).SetInt(mantissa.Mul(mantissa, power))
}

// idKey is a form of an _id that is the same for equal values, so that 1 and
// 1.0 are one.
func idKey(v bsoncore.Value) string {
	switch v.Type {
	case bsoncore.TypeInt32, bsoncore.TypeInt64, bsoncore.TypeDouble, bsoncore.TypeDecimal128:
		if f := float(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return "n" + strconv.FormatFloat(f, 'g', -1, 64)
		}
		return "n" + exact(v).RatString()
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
		key := map[bsoncore.Type]string{bsoncore.TypeEmbeddedDocument: "d", bsoncore.TypeArray: "a"}[v.Type]
		for _, e := range elements(v.Data) {
			part := idKey(e.Value())
			key += e.Key() + "\x00" + string(binary.AppendUvarint(nil, uint64(len(part)))) + part
		}
		return key
	}
	return "v" + string(rune(v.Type)) + string(v.Data)
}
