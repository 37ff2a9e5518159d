package event

import (
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Error codes of MongoDB that mean something to fleetcast; see
// https://www.mongodb.com/docs/manual/reference/error-codes/.
const (
	codeNamespaceExists = 48
	codeDuplicateKey    = 11000
)

func hasCode(err error, code int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && server.HasErrorCode(code)
}

// isDuplicateID reports whether a document could not be inserted because its
// _id is there already.
func isDuplicateID(err error) bool {
	return hasCode(err, codeDuplicateKey) && strings.Contains(err.Error(), "_id")
}
