package console

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// misfits finds what is missing from parameters, and what is not of the type that an
// action's table says, as a form would. The servers check all else, such as rules and
// what is in documents.
func misfits(info event.ActionInfo, parameters bson.Raw) error {
	var faults []error
	for _, p := range info.Parameters {
		v, err := parameters.LookupErr(p.Name)
		switch {
		case err != nil && p.Required && p.Default == "":
			faults = append(faults, fmt.Errorf("parameters.%s: this one is required", p.Name))
		case err == nil && !fits(p.Type, v):
			faults = append(faults, fmt.Errorf("parameters.%s: it is of type %s, and must be %s", p.Name, v.Type, p.Type)) // the value may be secret
		}
	}
	return errors.Join(faults...)
}

// whole are the types of numbers that may have no fraction.
var whole = []bson.Type{bson.TypeInt32, bson.TypeInt64}

// fits reports whether a value can be of a type in a table. In doubt it does.
func fits(kind string, v bson.RawValue) bool {
	if v.Type == bson.TypeNull { // some types have it
		return true
	}
	if of, ok := strings.CutPrefix(kind, "list of "); ok {
		list, isArray := v.ArrayOK()
		if !isArray {
			return false
		}
		values, err := list.Values()
		return err == nil && !slices.ContainsFunc(values, func(one bson.RawValue) bool { return !fits(of, one) })
	}
	switch kind {
	case "text":
		return v.Type == bson.TypeString || v.Type == bson.TypeSymbol
	case "integer":
		f, isDouble := v.DoubleOK()
		return slices.Contains(whole, v.Type) || isDouble && f == float64(int64(f))
	case "number":
		return slices.Contains(whole, v.Type) || v.Type == bson.TypeDouble
	case "boolean":
		return v.Type == bson.TypeBoolean
	case "duration": // a subscriber may read numbers as it likes
		return v.Type == bson.TypeString || slices.Contains(whole, v.Type) || v.Type == bson.TypeDouble
	case "time":
		return slices.Contains([]bson.Type{bson.TypeDateTime, bson.TypeString, bson.TypeInt64, bson.TypeTimestamp}, v.Type)
	case "id":
		text, isText := v.StringValueOK()
		_, err := bson.ObjectIDFromHex(text)
		return v.Type == bson.TypeObjectID || isText && err == nil
	}
	return true
}
