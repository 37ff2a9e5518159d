package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

type place struct {
	City string `bson:"city"`
	Zip  *int   `bson:"zip,omitempty"`
}

// Inline is a part of kinds; the driver decodes exported ones alone.
type Inline struct {
	Small int8 `bson:"small"`
}

// kinds are parameters of every kind.
type kinds struct {
	Text     string            `bson:"text"`
	Flag     bool              `bson:"flag"`
	Int      int               `bson:"int"`
	Int16    int16             `bson:"int16"`
	Int64    int64             `bson:"int64"`
	Uint8    uint8             `bson:"uint8"`
	Uint64   uint64            `bson:"uint64"`
	Float32  float32           `bson:"float32"`
	Float64  float64           `bson:"float64"`
	Wait     time.Duration     `bson:"wait"`
	When     time.Time         `bson:"when"`
	ID       bson.ObjectID     `bson:"id"`
	Stamp    bson.Timestamp    `bson:"stamp"`
	Data     []byte            `bson:"data"`
	Binary   bson.Binary       `bson:"binary"`
	List     []int32           `bson:"list"`
	Pair     [2]string         `bson:"pair"`
	Map      map[string]int16  `bson:"map"`
	Places   []place           `bson:"places"`
	Where    place             `bson:"where"`
	Pointer  *place            `bson:"pointer"`
	ByName   map[string]*place `bson:"by_name"`
	Any      any               `bson:"any"`
	Raw      bson.RawValue     `bson:"raw,omitempty"`
	Doc      bson.D            `bson:"doc"`
	Number   json.Number       `bson:"number,omitempty"`
	Link     url.URL           `bson:"link"`
	Default  int               `bson:"default"`
	Untagged string
	Ignored  string `bson:"-"`
	Inline   `bson:",inline"`
}

func (k *kinds) SetDefaults() { k.Default = 7 }

// TestParametersOfAnotherType are refused by name, whatever the driver makes of them.
func TestParametersOfAnotherType(t *testing.T) {
	for name, test := range map[string]struct {
		key   string
		value any
		says  string
	}{
		"true is no number":            {"int", true, `parameter "int" is a BSON boolean: it must be of type integer`},
		"nor one of seconds":           {"wait", true, `parameter "wait" is no duration: write it as text, such as 30s or 1m30s`},
		"nor is a number without unit": {"wait", 30, `parameter "wait" is no duration`},
		"nor any text":                 {"wait", "soon", `parameter "wait" is no duration`},
		"1 is not true":                {"flag", 1, `parameter "flag" is a BSON 32-bit integer: it must be of type boolean`},
		"null is no number":            {"default", nil, `parameter "default" is a BSON null: it must be of type integer`},
		"null is no text":              {"text", nil, `parameter "text" is a BSON null`},
		"null is no time":              {"when", nil, `parameter "when" is a BSON null: it must be of type time`},
		"null is no document":          {"where", nil, `parameter "where" is a BSON null: it must be of type document`},
		"undefined is nothing at all":  {"list", bson.Undefined{}, `parameter "list" is a BSON undefined`},
		"an id is no text":             {"text", bson.NewObjectID(), `parameter "text" is a BSON objectID: it must be of type text`},
		"nor are bytes":                {"text", []byte("x"), `parameter "text" is a BSON binary`},
		"text is no number":            {"int", "7", `parameter "int" is a BSON string: it must be of type integer`},
		"halves are lost":              {"int", 1.5, `parameter "int" is a number that does not fit: it must be of type integer (int)`},
		"NaN":                          {"int64", math.NaN(), `parameter "int64" is a number that does not fit`},
		"infinity":                     {"int64", math.Inf(-1), `parameter "int64" is a number that does not fit`},
		"two to the 63rd":              {"int64", 9.223372036854775807e18, `parameter "int64" is a number that does not fit`},
		"too large":                    {"int16", 40_000, `parameter "int16" is a number that does not fit: it must be of type integer (int16)`},
		"too small":                    {"small", -129, `parameter "small" is a number that does not fit`},
		"negative":                     {"uint64", -1, `parameter "uint64" is a number that does not fit`},
		"256":                          {"uint8", 256, `parameter "uint8" is a number that does not fit`},
		"not exactly":                  {"float64", int64(1<<53 + 1), `parameter "float64" is a number that does not fit: it must be of type number (float64)`},
		"a third of a float":           {"float32", 0.1, "float32"},
		"one of a list":                {"list", bson.A{1, "2"}, `parameter "list.1" is a BSON string: it must be of type integer`},
		"no list":                      {"list", 1, `parameter "list" is a BSON 32-bit integer: it must be of type list of integer`},
		"an array that is too long":    {"pair", bson.A{"a", "b", "c"}, "pair"},
		"one of a map":                 {"map", bson.M{"x": 70_000}, `parameter "map.x" is a number that does not fit`},
		"no map":                       {"map", bson.A{}, `parameter "map" is a BSON array: it must be of type document`},
		"below":                        {"where", bson.M{"city": 1}, `parameter "where.city" is a BSON 32-bit integer: it must be of type text`},
		"unknown below":                {"where", bson.M{"ctiy": "x"}, `unknown parameter "where.ctiy"; did you mean "where.city"? (known: where.city, where.zip)`},
		"below a list":                 {"places", bson.A{bson.M{"city": "x"}, bson.M{"zip": "x"}}, `parameter "places.1.zip" is a BSON string: it must be of type integer`},
		"below a pointer":              {"pointer", bson.M{"city": false}, `parameter "pointer.city" is a BSON boolean`},
		"below a map":                  {"by_name", bson.M{"x": bson.M{"what": 1}}, `unknown parameter "by_name.x.what"`},
		"no id":                        {"id", "x", "id"},
		"no bytes":                     {"data", 1, "data"},
		"no time":                      {"when", true, "when"},
		"no document":                  {"doc", 1, "doc"},
		"ignored":                      {"ignored", "x", `unknown parameter "ignored"`},
	} {
		raw, err := bson.Marshal(bson.D{{Key: test.key, Value: test.value}})
		require.NoError(t, err)
		_, err = decodeParameters[kinds](raw)
		require.ErrorContains(t, err, test.says, name)
	}
}

func TestParametersThatFit(t *testing.T) {
	id := bson.NewObjectID()
	for name, test := range map[string]struct {
		key   string
		value any
		got   func(kinds) any
		want  any
	}{
		"a whole double":         {"int16", 300.0, func(k kinds) any { return k.Int16 }, int16(300)},
		"the largest":            {"int64", int64(math.MaxInt64), func(k kinds) any { return k.Int64 }, int64(math.MaxInt64)},
		"the smallest":           {"int64", float64(math.MinInt64), func(k kinds) any { return k.Int64 }, int64(math.MinInt64)},
		"an integer as a number": {"float64", 3, func(k kinds) any { return k.Float64 }, 3.0},
		"infinity as a number":   {"float64", math.Inf(1), func(k kinds) any { return k.Float64 }, math.Inf(1)},
		"a duration":             {"wait", int64(time.Second), func(k kinds) any { return k.Wait }, time.Second},
		"a duration as text":     {"wait", "1m30s", func(k kinds) any { return k.Wait }, 90 * time.Second},
		"defaults beside text":   {"wait", "1s", func(k kinds) any { return k.Default }, 7},
		"a symbol":               {"text", bson.Symbol("x"), func(k kinds) any { return k.Text }, "x"},
		"no list":                {"list", nil, func(k kinds) any { return k.List }, []int32(nil)},
		"no pointer":             {"pointer", nil, func(k kinds) any { return k.Pointer }, (*place)(nil)},
		"no pointer in a map":    {"by_name", bson.M{"x": nil}, func(k kinds) any { return k.ByName["x"] }, (*place)(nil)},
		"anything":               {"any", nil, func(k kinds) any { return k.Any }, nil},
		"raw":                    {"raw", true, func(k kinds) any { return k.Raw.Boolean() }, true},
		"an id":                  {"id", id, func(k kinds) any { return k.ID }, id},
		"a timestamp":            {"stamp", bson.Timestamp{T: 1, I: 2}, func(k kinds) any { return k.Stamp }, bson.Timestamp{T: 1, I: 2}},
		"a number of JSON":       {"number", 5, func(k kinds) any { return k.Number }, json.Number("5")},
		"a link":                 {"link", "http://x/y", func(k kinds) any { return k.Link.Path }, "/y"},
		"by another case":        {"UNTAGGED", "x", func(k kinds) any { return k.Untagged }, "x"},
		"the default":            {"text", "x", func(k kinds) any { return k.Default }, 7},
	} {
		raw, err := bson.Marshal(bson.D{{Key: test.key, Value: test.value}})
		require.NoError(t, err)
		k, err := decodeParameters[kinds](raw)
		require.NoError(t, err, name)
		require.Equal(t, test.want, test.got(k), name)
	}
}

// TestSecretsAreNotInFaults: what is wrong with a secret is told without it, and in
// whatever letters its key is written, it is hidden.
func TestSecretsAreNotInFaults(t *testing.T) {
	type key struct {
		Key  string `bson:"key" fleetcast:"secret" validate:"min=20"`
		Port int    `bson:"port"`
	}
	for _, value := range []any{"hunter2", bson.A{"hunter2"}} {
		raw, err := bson.Marshal(bson.M{"KEY": value})
		require.NoError(t, err)
		_, err = decodeParameters[key](raw)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		e := Event{Parameters: raw, Secret: secretsIn(reflect.TypeFor[key]())}
		require.NotContains(t, e.Redacted().String(), "hunter2")
	}
}

// FuzzParametersOfEveryKind: whatever comes, decoding does not panic; what it accepts
// is what was sent, and else it names what is wrong.
func FuzzParametersOfEveryKind(f *testing.F) {
	seed := func(v any) {
		raw, err := bson.Marshal(v)
		require.NoError(f, err)
		f.Add(raw)
	}
	seed(kinds{Text: "x", List: []int32{1}, Map: map[string]int16{"a": 1}, Places: []place{{City: "Ulm"}}, Any: bson.D{{Key: "x", Value: 1}}})
	seed(bson.M{"int": 1.5, "uint8": int64(256), "small": true, "where": bson.M{"zip": nil}})
	seed(bson.M{"wait": "1m", "text": "x", "when": "2030-01-02T03:04:05Z"})
	seed(bson.M{"pointer": nil, "by_name": bson.M{"x": bson.M{"city": 7}}, "doc": bson.A{1}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := decodeParameters[kinds](raw)
		if bson.Unmarshal(raw, &bson.D{}) != nil {
			return // no document; it has not panicked
		}
		elements, _ := bson.Raw(raw).Elements()
		if err != nil {
			requireNamed(t, elements, err)
			return
		}
		values := reflect.ValueOf(k)
		last := map[string]bson.RawValue{}
		for _, e := range elements {
			last[e.Key()] = e.Value()
			if _, exact := findField(mustFields(t), e.Key()); !exact {
				t.Fatalf("%q is no parameter", e.Key())
			}
		}
		for key, value := range last {
			requireHeld(t, key, value, values)
		}
		requireStable(t, k)
	})
}

func mustFields(t *testing.T) []field {
	list, all := fieldsOf(reflect.TypeFor[kinds]())
	require.True(t, all)
	return list
}

// requireNamed wants a key of the document in the error.
func requireNamed(t *testing.T, elements []bson.RawElement, err error) {
	for _, e := range elements {
		quoted := fmt.Sprintf("%q", e.Key())
		if strings.Contains(err.Error(), e.Key()) || strings.Contains(err.Error(), quoted[1:len(quoted)-1]) {
			return
		}
	}
	t.Fatalf("no parameter is named: %v", err)
}

// requireHeld compares a number, a text or a truth with the field of just this key.
func requireHeld(t *testing.T, key string, sent bson.RawValue, values reflect.Value) {
	for i := range values.NumField() {
		if name, _, _ := strings.Cut(values.Type().Field(i).Tag.Get("bson"), ","); name != key {
			continue
		}
		switch got := values.Field(i); {
		case got.Type().PkgPath() != "" && got.Kind() != reflect.Int64, got.Type() == reflect.TypeFor[json.Number]():
		case got.Type() == reflect.TypeFor[time.Duration]() && sent.Type == bson.TypeString:
			want, err := time.ParseDuration(sent.StringValue())
			require.NoError(t, err)
			require.EqualValues(t, want, got.Int())
		case got.Kind() == reflect.Bool:
			require.Equal(t, sent.Boolean(), got.Bool())
		case got.Kind() == reflect.String && sent.Type == bson.TypeString:
			require.Equal(t, sent.StringValue(), got.String())
		case got.CanInt() && sent.Type == bson.TypeDouble:
			require.Equal(t, sent.Double(), float64(got.Int()))
		case got.CanInt():
			require.Equal(t, sent.AsInt64(), got.Int())
		case got.CanUint() && sent.Type == bson.TypeDouble:
			require.Equal(t, sent.Double(), float64(got.Uint()))
		case got.CanUint():
			require.EqualValues(t, sent.AsInt64(), got.Uint())
		case got.CanFloat() && sent.Type == bson.TypeDouble:
			require.True(t, sent.Double() == got.Float() || math.IsNaN(got.Float()))
		case got.CanFloat():
			require.Equal(t, sent.AsInt64(), int64(got.Float()))
		}
	}
}

// requireStable encodes and decodes twice: times lose what BSON has not by the first.
func requireStable(t *testing.T, k kinds) {
	var texts []string
	for range 2 {
		raw, err := bson.Marshal(k)
		require.NoError(t, err)
		k, err = decodeParameters[kinds](raw)
		require.NoError(t, err)
		text, err := json.Marshal(fmt.Sprintf("%v", k)) // NaN is not equal to itself
		require.NoError(t, err)
		texts = append(texts, withoutAddresses(string(text)))
	}
	require.Equal(t, texts[0], texts[1])
}

// withoutAddresses cuts what %v prints of pointers.
func withoutAddresses(text string) string {
	var out bytes.Buffer
	for {
		before, after, found := strings.Cut(text, "0xc0")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = strings.TrimLeft(after, "0123456789abcdef")
	}
}

// FuzzParametersRoundTrip: what a publisher has encoded comes as it was.
func FuzzParametersRoundTrip(f *testing.F) {
	f.Add("Jo", int64(7), 1.5, true, []byte("x"))
	f.Add("", int64(math.MinInt64), math.Inf(1), false, []byte(nil))
	f.Fuzz(func(t *testing.T, text string, n int64, number float64, flag bool, data []byte) {
		zip := int(n)
		sent := kinds{
			Text: text, Flag: flag, Int: int(n), Int16: int16(n), Int64: n, Uint8: uint8(n), Uint64: uint64(max(n, 0)),
			Float32: float32(number), Float64: number, Wait: time.Duration(n), When: time.UnixMilli(n % 1e15).UTC(),
			Data: append([]byte{}, data...), List: []int32{int32(n)}, Pair: [2]string{text}, Map: map[string]int16{"x": int16(n)},
			Places: []place{{City: text, Zip: &zip}, {}}, Where: place{Zip: &zip}, Pointer: &place{City: text},
			ByName: map[string]*place{"a": nil, "b": {}}, Any: text, Doc: bson.D{{Key: "x", Value: n}}, Default: int(n), Untagged: text,
			Inline: Inline{int8(n)}, Link: url.URL{Scheme: "http", Host: "x"},
		}
		e := New("a", "b", sent)
		require.NoError(t, e.err)
		got, err := decodeParameters[kinds](e.Parameters)
		require.NoError(t, err)
		if math.IsNaN(number) {
			sent.Float32, sent.Float64, got.Float32, got.Float64 = 0, 0, 0, 0
		}
		sent.Binary, got.Binary = bson.Binary{}, bson.Binary{} // an empty one comes as no bytes
		require.Equal(t, sent, got)
	})
}
