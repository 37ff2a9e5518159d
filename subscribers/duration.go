package subscribers

import (
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Duration is a length of time in an event's parameters. It is written as text,
// such as "1m30s" (see [time.ParseDuration]); a plain number means seconds.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalBSONValue writes the text form.
func (d Duration) MarshalBSONValue() (byte, []byte, error) {
	typ, data, err := bson.MarshalValue(d.String())
	return byte(typ), data, err
}

// UnmarshalBSONValue reads text or a number of seconds; negative lengths are refused.
func (d *Duration) UnmarshalBSONValue(typ byte, data []byte) error {
	value := bson.RawValue{Type: bson.Type(typ), Value: data}
	if text, ok := value.StringValueOK(); ok {
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write it as 30s or 1m30s", text)
		}
		*d = Duration(parsed)
	} else if seconds, ok := value.AsFloat64OK(); ok {
		length := seconds * float64(time.Second)
		if math.IsNaN(length) || math.Abs(length) >= math.MaxInt64 {
			return fmt.Errorf("%v seconds are no duration: the longest are some 290 years", seconds)
		}
		*d = Duration(length)
	} else {
		return fmt.Errorf("a duration is text such as 30s or a number of seconds, not a BSON %s", value.Type)
	}
	if *d < 0 {
		return fmt.Errorf("a duration of %s is negative", *d)
	}
	return nil
}
