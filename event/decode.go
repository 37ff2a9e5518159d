package event

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// The two structs that come with every event are decoded by hand: the driver's
// decoding by reflection takes longer than all else that happens to an event.

// eachElement calls do for each element of an encoded document or array, and
// reports whether all are whole and do has accepted them.
func eachElement(doc []byte, do func(bsoncore.Element) bool) bool {
	body, ok := documentBody(doc)
	for ok && len(body) > 0 {
		var elem bsoncore.Element
		if elem, body, ok = bsoncore.ReadElement(body); ok {
			ok = do(elem)
		}
	}
	return ok
}

func decodePublisher(raw []byte) (p Publisher, ok bool) {
	ok = eachElement(raw, func(elem bsoncore.Element) bool {
		valid := true
		switch v := elem.Value(); string(elem.KeyBytes()) {
		case "user":
			p.User, valid = v.StringValueOK()
		case "sudo_user":
			p.SudoUser, valid = v.StringValueOK()
		case "host":
			p.Host, valid = v.StringValueOK()
		case "app":
			p.App, valid = v.StringValueOK()
		case "pid":
			var pid int64
			pid, valid = v.AsInt64OK()
			p.PID = int(pid)
		}
		return valid
	})
	return p, ok
}

func decodeTarget(raw []byte) (t Target, ok bool) {
	ok = eachElement(raw, func(elem bsoncore.Element) bool {
		v := elem.Value()
		switch string(elem.KeyBytes()) {
		case "server_ids":
			return appendValues(v, &t.ServerIDs, func(v bsoncore.Value) (bson.ObjectID, bool) { return v.ObjectIDOK() })
		case "names":
			return appendValues(v, &t.Names, bsoncore.Value.StringValueOK)
		case "hosts":
			return appendValues(v, &t.Hosts, bsoncore.Value.StringValueOK)
		case "pids":
			return appendValues(v, &t.PIDs, intValue)
		case "worker_ids":
			return appendValues(v, &t.WorkerIDs, intValue)
		case "labels":
			return decodeLabels(v, &t)
		}
		return false // a kind of a newer publisher: see matchTarget
	})
	return t, ok
}

func decodeLabels(v bsoncore.Value, t *Target) bool {
	t.Labels = map[string]string{}
	return v.Type == bsoncore.TypeEmbeddedDocument && eachElement(v.Data, func(elem bsoncore.Element) bool {
		value, ok := elem.Value().StringValueOK()
		t.Labels[elem.Key()] = value
		return ok
	})
}

func appendString(elem bsoncore.Element, to *[]string) bool {
	value, ok := elem.Value().StringValueOK()
	*to = append(*to, value)
	return ok
}

func intValue(v bsoncore.Value) (int, bool) {
	n, ok := v.AsInt64OK()
	return int(n), ok
}

func appendValues[T any](array bsoncore.Value, to *[]T, decode func(bsoncore.Value) (T, bool)) bool {
	return array.Type == bsoncore.TypeArray && eachElement(array.Data, func(elem bsoncore.Element) bool {
		value, ok := decode(elem.Value())
		*to = append(*to, value)
		return ok
	})
}
