package config_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
)

// read sets a value by a flag, whose type is whatever a source may have, and reads it
// as a T.
func read[T any](t *testing.T, value any) (T, error) {
	t.Helper()
	var zero T
	s, err := config.Open(t.Context(), config.Config{
		Keys: &config.Keys{}, Environ: []string{}, Flags: []config.Flag{{Path: "app/x", Name: "--x", Value: value}},
	})
	require.NoError(t, err)
	return config.Read(s, "app/x", zero)
}

func reads[T any](t *testing.T, want T, values ...any) {
	t.Helper()
	for _, value := range values {
		got, err := read[T](t, value)
		require.NoError(t, err, "%T %v", value, value)
		require.Equal(t, want, got, "%T %v", value, value)
	}
}

// refuses checks that reading fails with this expectation.
func refuses[T any](t *testing.T, want string, values ...any) {
	t.Helper()
	for _, value := range values {
		_, err := read[T](t, value)
		fault, ok := err.(*config.ValueError) //nolint:errorlint // no other is wanted
		require.True(t, ok, "%T %v: %v", value, value, err)
		require.Equal(t, "app/x", fault.Path)
		require.Equal(t, config.Origin{Layer: config.LayerFlag, Name: "--x"}, fault.Origin)
		require.Equal(t, want, fault.Want)
	}
}

type level int

func (l level) MarshalText() ([]byte, error) { return []byte{'0' + byte(l)}, nil }
func (l *level) UnmarshalText(text []byte) error {
	if len(text) != 1 {
		return errors.New("one digit")
	}
	*l = level(text[0] - '0')
	return nil
}

func TestTypes(t *testing.T) {
	type word string
	reads(t, "10", "10")
	reads(t, word("x"), "x")
	refuses[string](t, "a text", 10, true, 1.5, []any{"a"}, bson.D{{Key: "a", Value: 1}})

	reads(t, 10, 10, int32(10), int64(10), 10.0, "10", " 10 ", uint8(10))
	reads(t, int8(-128), -128, "-128")
	reads(t, uint16(65535), 65535, "65535")
	refuses[int](t, "an integer", "ten", "", "0x10", "1_000", "10.5", 10.5, true, "9223372036854775808", math.Inf(1), 1e19, []any{1})
	refuses[int8](t, "an integer", 128, -129)
	refuses[uint](t, "an integer", -1)

	reads(t, 1.5, 1.5, "1.5", float32(1.5))
	reads(t, 3.0, 3, "3")
	refuses[float64](t, "a number", "NaN", "inf", math.NaN(), "x", true)
	refuses[float32](t, "a number", 1e300)

	reads(t, true, true, "true", "TRUE", "on", "yes", "1")
	reads(t, false, false, "false", "off", "no", "0")
	refuses[bool](t, "true or false", 1, "", "ja")

	const duration = "a duration such as 1m30s, or a number of seconds"
	reads(t, 90*time.Second, "90s", "1m30s", 90, 90.0, "90", 90*time.Second)
	reads(t, 1500*time.Millisecond, 1.5, "1.5", "1500ms")
	refuses[time.Duration](t, duration, "soon", "", true, math.MaxInt64, 1e300, "1e300")

	re, err := read[*regexp.Regexp](t, "^a+$")
	require.NoError(t, err)
	require.True(t, re.MatchString("aa"))
	reads[*regexp.Regexp](t, nil, "")
	refuses[*regexp.Regexp](t, "a regular expression", "(", 5)

	reads(t, []string{"a", "b c"}, "a, b c", `["a", "b c"]`, []any{"a", "b c"}, bson.A{"a", "b c"}, []string{"a", "b c"})
	reads(t, []string{}, "", "[]")
	reads(t, []int{1, 2}, "1,2", []any{1, "2"}, "[1, 2]")
	reads(t, []time.Duration{time.Second, time.Minute}, "1s,60")
	refuses[[]int](t, "a list, each an integer", "1,x", "[1", "1,,2", 5, `{"a":1}`)

	type limits struct {
		Max  int               `json:"max" validate:"max=9"`
		Tags map[string]string `json:"tags"`
	}
	reads(t, limits{Max: 5}, `{"max":5}`, bson.D{{Key: "max", Value: 5}}, map[string]any{"max": 5}, limits{Max: 5})
	reads(t, map[string]int{"a.b": 1, "$c": 2}, `{"a.b":1,"$c":2}`)
	reads(t, json.RawMessage(`{"a":[1,{"b":12345678901234567890}]}`), `{ "a": [1, {"b": 12345678901234567890}] }`)
	refuses[limits](t, "JSON", `{"max":"5"}`, `{"maxx":5}`, `{"max":10}`, `{"max":5} x`, `{`, "hello")

	reads(t, netip.MustParseAddr("10.0.0.1"), "10.0.0.1", netip.MustParseAddr("10.0.0.1"))
	reads(t, level(3), "3", level(3))
	reads(t, []level{1, 2}, "1,2")
	refuses[level](t, "a text that is a config_test.level", "33")
	_, err = read[chan int](t, "x")
	require.ErrorContains(t, err, "a chan int cannot be a setting")
}

// FuzzValue: no text of a layer does harm, and what is shown of a value can be given
// again, and is the same.
func FuzzValue(f *testing.F) {
	types := []string{
		config.Text, config.Integer, config.Number, config.Boolean, config.Duration, config.Regexp, config.JSON,
		"list of text", "list of integer", "list of duration", "list of regexp", "list of number", "list of boolean",
	}
	for i, text := range []string{"x", "10", "1.5", "true", "1m30s", "^a", `{"a":[1,"<"]}`, "a,b", "[1,2]", "1s,2", "@x", "@@", "[\"a,b\",\"\"]"} {
		f.Add(uint8(i), text)
	}
	f.Fuzz(func(t *testing.T, i uint8, text string) {
		typ := types[int(i)%len(types)]
		shown, err := config.Reparse(typ, text)
		if err != nil {
			return
		}
		again, err := config.Reparse(typ, shown)
		require.NoError(t, err, "%s %q was shown as %v", typ, text, shown)
		require.Equal(t, shown, again)
		again, err = config.Reparse(typ, config.Written(shown))
		require.NoError(t, err, "%s %q was written as %s", typ, text, config.Written(shown))
		require.Equal(t, shown, again)
	})
}
