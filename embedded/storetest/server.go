package storetest

import (
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

var serverTests = []test{
	{"hello tells the time of the database", func(f *fixture) {
		before := time.Now().Add(-time.Minute)
		var hello struct {
			LocalTime time.Time `bson:"localTime"`
			Primary   bool      `bson:"isWritablePrimary"`
			Wire      int       `bson:"maxWireVersion"`
		}
		require.NoError(f, f.db.RunCommand(f.ctx, bson.D{e("hello", 1)}).Decode(&hello))
		require.True(f, hello.Primary)
		require.GreaterOrEqual(f, hello.Wire, 9)
		require.True(f, hello.LocalTime.After(before))
	}},
	{"ping and build information", func(f *fixture) {
		require.NoError(f, f.client.Ping(f.ctx, nil))
		var build struct {
			Version string `bson:"version"`
		}
		require.NoError(f, f.db.RunCommand(f.ctx, bson.D{e("buildInfo", 1)}).Decode(&build))
		require.NotEmpty(f, build.Version)
	}},
	{"an unknown command is refused", func(f *fixture) {
		f.requireCode(f.db.RunCommand(f.ctx, bson.D{e("noSuchCommand", 1)}).Err(), 59)
	}},
	{"a change stream needs a replica set", func(f *fixture) {
		stream, err := f.capped(4096, 0).Watch(f.ctx, mongo.Pipeline{})
		if err == nil { // it is one
			require.NoError(f, stream.Close(f.ctx))
			return
		}
		f.requireCode(err, notInReplicaSet)
	}},
	{"a transaction never writes to a capped collection", func(f *fixture) {
		coll := f.capped(4096, 0)
		session, err := f.client.StartSession()
		require.NoError(f, err)
		defer session.EndSession(f.ctx)
		ctx := mongo.NewSessionContext(f.ctx, session)
		require.NoError(f, session.StartTransaction())
		_, err = coll.InsertOne(ctx, bson.D{e("n", 1)})
		require.Error(f, err) // 20 alone, 263 in a replica set
		_ = session.AbortTransaction(f.ctx)
		require.Empty(f, f.numbers(coll, bson.D{}))
	}},
	{"a session may be used", func(f *fixture) {
		session, err := f.client.StartSession()
		require.NoError(f, err)
		defer session.EndSession(f.ctx)
		ctx := mongo.NewSessionContext(f.ctx, session)
		_, err = f.db.Collection("some").InsertOne(ctx, bson.D{e("n", 1)})
		require.NoError(f, err)
		_, err = f.capped(4096, 0).InsertOne(ctx, bson.D{e("n", 1)})
		require.NoError(f, err)
	}},
	{"a write with majority concern", func(f *fixture) {
		f.capped(4096, 0)
		opts := options.Collection().SetWriteConcern(writeconcern.Majority())
		_, err := f.db.Collection("log", opts).InsertOne(f.ctx, bson.D{e("n", 1)})
		require.NoError(f, err)
	}},
	{"a write that is not acknowledged", func(f *fixture) {
		f.capped(4096, 0)
		opts := options.Collection().SetWriteConcern(writeconcern.Unacknowledged())
		for _, name := range []string{"log", "some"} {
			_, err := f.db.Collection(name, opts).InsertOne(f.ctx, bson.D{e("n", 1)})
			require.NoError(f, err)
			f.eventually(func() bool { return len(f.numbers(f.db.Collection(name), bson.D{})) == 1 })
		}
	}},
}

// eventually asks until the answer is yes; each question is a round trip to the
// database.
func (f *fixture) eventually(is func() bool) {
	f.Helper()
	for !is() {
		require.NoError(f, f.ctx.Err())
	}
}
