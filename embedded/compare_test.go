package embedded

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

func value(t testing.TB, v any) bsoncore.Value {
	t.Helper()
	d := document(bson.D{{Key: "v", Value: v}})
	got, ok := lookup(d, "v")
	require.True(t, ok, "%v", v)
	return got
}

func decimal(t testing.TB, s string) bson.Decimal128 {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	require.NoError(t, err)
	return d
}

// TestOrder: every value comes before the next, whatever its type.
func TestOrder(t *testing.T) {
	rising := []any{bson.MinKey{}, nil,
		math.NaN(), math.Inf(-1), decimal(t, "-1E6000"), int64(math.MinInt64), -1.5, int32(-1), 0, decimal(t, "0.1"), 0.5, int64(1),
		int64(1 << 53), int64(1<<53 + 1), float64(1<<53 + 2), int64(math.MaxInt64), float64(1 << 63), decimal(t, "1E6000"), math.Inf(1),
		"", "a", "b", bson.D{}, bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "a", Value: 2}}, bson.D{{Key: "b", Value: 1}}, bson.A{}, bson.A{1}, bson.A{1, 2},
		bson.Binary{Data: []byte{9}}, bson.Binary{Data: []byte{1, 1}}, bson.ObjectID{1}, bson.ObjectID{2}, false, true,
		bson.DateTime(-5), bson.DateTime(5), bson.Timestamp{T: 1, I: 9}, bson.Timestamp{T: 2, I: 1}, bson.MaxKey{}}
	for i, a := range rising {
		for j, b := range rising {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			v, w := value(t, a), value(t, b)
			require.Equal(t, want, compare(v, w), "%v and %v", a, b)
			require.Equal(t, want == 0, idKey(v) == idKey(w), "%v and %v", a, b)
		}
	}
	for _, equal := range [][2]any{{1, 1.0}, {int64(7), decimal(t, "7.0")}, {0.0, math.Copysign(0, -1)},
		{bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "a", Value: 1.0}}}} {
		v, w := value(t, equal[0]), value(t, equal[1])
		require.Zero(t, compare(v, w), "%v", equal)
		require.Equal(t, idKey(v), idKey(w), "%v", equal)
	}
}
