package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Target says which servers an event is meant for. All kinds that are given
// must match, any value within a kind suffices; the zero value means everybody.
//
// Names, Hosts and the values of Labels may be patterns: '*' stands for any
// text, '?' for one character, '[a-z]' for a class and '\' takes the next
// character literally, as in [path.Match] except that '/' is no separator.
type Target struct {
	ServerIDs []bson.ObjectID   `bson:"server_ids,omitempty"`
	Names     []string          `bson:"names,omitempty"`
	Hosts     []string          `bson:"hosts,omitempty"`
	PIDs      []int             `bson:"pids,omitempty"`
	WorkerIDs []int             `bson:"worker_ids,omitempty"`
	Labels    map[string]string `bson:"labels,omitempty"` // a server must have each of them
}

// Identity is what a process is, for the decision whether it is meant.
type Identity struct {
	ServerID bson.ObjectID
	Name     string
	Host     string
	PID      int
	Labels   map[string]string
	// HasWorker says whether a worker has this number now. Nil means the
	// process has no workers: a target with worker ids does not match it. It is
	// called by the listener, so it must be quick and safe for concurrent use.
	HasWorker func(id int) bool
}

// IsZero reports whether the target means everybody.
func (t Target) IsZero() bool {
	return len(t.ServerIDs)+len(t.Names)+len(t.Hosts)+len(t.PIDs)+len(t.WorkerIDs)+len(t.Labels) == 0
}

// Validate reports patterns that can never match.
func (t Target) Validate() error {
	var faults []error
	check := func(what, pattern string) {
		if _, err := path.Match(pattern, ""); err != nil {
			faults = append(faults, fmt.Errorf("%s pattern %q: %w", what, pattern, err))
		}
	}
	for _, p := range t.Names {
		check("server name", p)
	}
	for _, p := range t.Hosts {
		check("host", p)
	}
	for key, p := range t.Labels {
		if key == "" {
			faults = append(faults, errors.New("a label's key is empty"))
		}
		check("label "+key, p)
	}
	return errors.Join(faults...)
}

// Matches reports whether the process with this identity is meant.
func (t Target) Matches(id *Identity) (bool, error) {
	if t.IsZero() {
		return true, nil
	}
	raw, err := bson.Marshal(t)
	if err != nil {
		return false, fmt.Errorf("encode target: %w", err)
	}
	return matchTarget(raw, id)
}

// matchTarget decides on the encoded target, without decoding it: the listener
// asks this for every event of the fleet, most of which are for others. A kind
// of target that it does not know is an error, so that an event of a newer
// publisher is never taken for a wider one.
func matchTarget(raw []byte, id *Identity) (bool, error) {
	met, err := true, error(nil)
	whole := eachElement(raw, func(elem bsoncore.Element) bool {
		met, err = matchKind(elem, id)
		return met && err == nil
	})
	if met && err == nil && !whole {
		err = malformedTarget("not a whole document")
	}
	return met && whole, err
}

func matchKind(elem bsoncore.Element, id *Identity) (bool, error) {
	value := elem.Value()
	switch string(elem.KeyBytes()) {
	case "server_ids":
		return anyOf(value, func(v bsoncore.Value) (bool, bool) {
			oid, ok := v.ObjectIDOK()
			return oid == id.ServerID, ok
		})
	case "names":
		return anyOf(value, func(v bsoncore.Value) (bool, bool) { return matchPattern(v, id.Name) })
	case "hosts":
		return anyOf(value, func(v bsoncore.Value) (bool, bool) { return matchPattern(v, id.Host) })
	case "pids":
		return anyOf(value, func(v bsoncore.Value) (bool, bool) {
			n, ok := v.AsInt64OK()
			return n == int64(id.PID), ok
		})
	case "worker_ids":
		return anyOf(value, func(v bsoncore.Value) (bool, bool) {
			n, ok := v.AsInt64OK()
			return id.HasWorker != nil && id.HasWorker(int(n)), ok
		})
	case "labels":
		return matchLabels(value, id.Labels)
	}
	return false, malformedTarget("unknown kind " + elem.Key())
}

// anyOf reports whether match holds for a value of the array; an empty array
// is as good as an absent one. match's second result is false for a value of a
// wrong type.
func anyOf(array bsoncore.Value, match func(bsoncore.Value) (met, ok bool)) (bool, error) {
	if array.Type != bsoncore.TypeArray {
		return false, malformedTarget("not an array")
	}
	met, empty := false, true
	whole := eachElement(array.Data, func(elem bsoncore.Element) (ok bool) {
		empty = false
		if !met {
			met, ok = match(elem.Value())
		}
		return met || ok
	})
	if !whole {
		return false, malformedTarget("broken, or a value of a wrong type")
	}
	return met || empty, nil
}

func matchLabels(value bsoncore.Value, labels map[string]string) (bool, error) {
	if value.Type != bsoncore.TypeEmbeddedDocument {
		return false, malformedTarget("labels are not a document")
	}
	all := true
	whole := eachElement(value.Data, func(elem bsoncore.Element) bool {
		have, given := labels[string(elem.KeyBytes())]
		met, valid := matchPattern(elem.Value(), have)
		all = all && given && met
		return valid
	})
	if !whole {
		return false, malformedTarget("broken labels, or a label of a wrong type")
	}
	return all, nil
}

// matchPattern reports whether the string value v, a pattern, matches s. It
// allocates only for patterns that have special characters.
func matchPattern(v bsoncore.Value, s string) (met, ok bool) {
	pattern, ok := stringBytes(v)
	if !ok {
		return false, false
	}
	if string(pattern) == s {
		return true, true
	}
	p := string(pattern)
	if !strings.ContainsAny(p, `*?[\`) {
		return false, true
	}
	// path.Match treats '/' as a separator, which it is not in a name.
	met, err := path.Match(strings.ReplaceAll(p, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return met, err == nil
}

// documentBody returns the elements of an encoded document, without its length
// and its closing zero.
func documentBody(doc []byte) ([]byte, bool) {
	if len(doc) < 5 || int64(binary.LittleEndian.Uint32(doc)) != int64(len(doc)) || doc[len(doc)-1] != 0 {
		return nil, false
	}
	return doc[4 : len(doc)-1], true
}

// stringBytes returns the text of an encoded string without copying it.
func stringBytes(v bsoncore.Value) ([]byte, bool) {
	if v.Type != bsoncore.TypeString || len(v.Data) < 5 {
		return nil, false
	}
	if n := binary.LittleEndian.Uint32(v.Data); int64(n) != int64(len(v.Data)-4) {
		return nil, false
	}
	return v.Data[4 : len(v.Data)-1], true
}

func malformedTarget(detail string) error {
	return &MalformedError{Kind: "target", Detail: detail}
}
