package output

import (
	"encoding/json"
	"regexp"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// extendedDate is a time of today's kind in relaxed extended JSON. In a string its
// quotes would be escaped.
var extendedDate = regexp.MustCompile(`\{"\$date":("[^"]*")\}`)

// JSON turns a BSON value into plain JSON, with times as RFC 3339; what JSON lacks
// becomes relaxed extended JSON.
func JSON(v bson.RawValue) json.RawMessage {
	null := json.RawMessage("null")
	if len(v.Value) == 0 {
		return null
	}
	text, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, false, false)
	if err != nil {
		return null
	}
	var doc struct {
		V json.RawMessage `json:"v"`
	}
	if json.Unmarshal(extendedDate.ReplaceAll(text, []byte("$1")), &doc) != nil {
		return null
	}
	return doc.V
}
