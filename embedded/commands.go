package embedded

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

type handler func(*session, *request) (bsoncore.Document, error)

// handlers are the commands that the store answers itself, or has something to
// say to. Others go to FerretDB, unless they are about a capped collection.
var handlers map[string]handler

func init() { // not a literal: the handlers lead back here
	handlers = map[string]handler{
		"hello": (*session).hello, "isMaster": (*session).hello, "ismaster": (*session).hello,
		"ping": done, "endSessions": done, "refreshSessions": done, "killSessions": done,
		"startSession": unsupportedCommand,

		"insert": (*session).insert, "update": (*session).update, "delete": (*session).remove,
		"findAndModify": (*session).findAndModify, "findandmodify": (*session).findAndModify,

		"find": (*session).find, "getMore": (*session).getMore, "killCursors": (*session).killCursors,
		"count": (*session).count, "distinct": (*session).distinct, "aggregate": (*session).aggregate,
		"explain": (*session).explain,

		"create": (*session).create, "drop": (*session).drop, "dropDatabase": (*session).dropDatabase,
		"renameCollection": (*session).rename,
		"listCollections":  (*session).listCollections, "listDatabases": (*session).listDatabases,
		"dbStats": (*session).dbStats, "dbstats": (*session).dbStats,
		"collStats": (*session).collStats, "collstats": (*session).collStats,
		"createIndexes": (*session).createIndexes, "dropIndexes": (*session).dropIndexes,
		"listIndexes": (*session).listIndexes,
	}
}

// readOnly are commands for FerretDB that need not wait for the write lock.
var readOnly = map[string]bool{
	"buildInfo": true, "buildinfo": true, "connectionStatus": true, "currentOp": true,
	"getCmdLineOpts": true, "getFreeMonitoringStatus": true, "getLog": true, "getParameter": true, "hostInfo": true,
	"listCommands": true, "serverStatus": true, "usersInfo": true, "whatsmyuri": true, "dataSize": true,
	"saslStart": true, "saslContinue": true, "logout": true,
}

// dispatch carries out a command.
func (s *session) dispatch(r *request) (bsoncore.Document, error) {
	name := r.command()
	if err := standalone(r); err != nil {
		return nil, err
	}
	if h := handlers[name]; h != nil {
		return h(s, r)
	}
	if s.capped(r) != nil {
		return nil, unsupported("the command %s on a capped collection", name)
	}
	if readOnly[name] {
		return s.backend.send(r)
	}
	return s.write(r)
}

// standalone refuses what MongoDB does only in a replica set.
func standalone(r *request) error {
	for _, field := range []string{"txnNumber", "autocommit", "startTransaction"} {
		if _, ok := lookup(r.body, field); ok {
			return refuse(codeIllegalOperation, "Transaction numbers are only allowed on a replica set member or mongos: "+
				"the embedded store has no transactions")
		}
	}
	concern, _ := lookup(r.body, "writeConcern")
	if d, ok := concern.DocumentOK(); ok {
		w, _ := lookup(d, "w")
		if n, ok := wholeNumber(w); ok && n > 1 {
			return refuse(codeBadValue, "cannot use 'w' > 1 when a host is not replicated")
		}
	}
	return nil
}

// capped returns the capped collection that the request is about, or nil.
func (s *session) capped(r *request) *capped { return s.store.catalog.get(r.namespace()) }

// write forwards a request under the write lock.
func (s *session) write(r *request) (bsoncore.Document, error) {
	s.store.writes.Lock()
	defer s.store.writes.Unlock()
	return s.backend.send(r)
}

func done(*session, *request) (bsoncore.Document, error) { return okReply(), nil }

func unsupportedCommand(_ *session, r *request) (bsoncore.Document, error) {
	return nil, unsupported("the command %s", r.command())
}

// wireVersion is that of MongoDB 7.0, which FerretDB stands in for.
const wireVersion = 21

// hello is the greeting of a standalone server: no topologyVersion, so that
// clients poll it and do not wait for changes.
func (s *session) hello(r *request) (bsoncore.Document, error) {
	primary := "isWritablePrimary"
	if strings.EqualFold(r.command(), "isMaster") {
		primary = "ismaster"
	}
	return okReply(
		bson.E{Key: "helloOk", Value: true},
		bson.E{Key: primary, Value: true},
		bson.E{Key: "maxBsonObjectSize", Value: int32(maxDocument)},
		bson.E{Key: "maxMessageSizeBytes", Value: int32(maxMessageBytes)},
		bson.E{Key: "maxWriteBatchSize", Value: int32(maxWrites)},
		bson.E{Key: "localTime", Value: bson.NewDateTimeFromTime(time.Now())},
		bson.E{Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
		bson.E{Key: "connectionId", Value: s.id},
		bson.E{Key: "minWireVersion", Value: int32(0)},
		bson.E{Key: "maxWireVersion", Value: int32(wireVersion)},
		bson.E{Key: "readOnly", Value: false},
	), nil
}
