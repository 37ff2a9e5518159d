package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

func TestAuditErrorSaysWhichRightsAreMissing(t *testing.T) {
	refused := auditError("write", fmt.Errorf("update: %w", mongo.CommandError{Code: 13, Message: "not authorized"}))
	require.ErrorContains(t, refused, "publishers need the rights to insert and update there")
	require.NotContains(t, auditError("write", errors.New("no space left")).Error(), "rights")
}
