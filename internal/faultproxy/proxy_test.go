package faultproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/fleetcast/fleetcast/embedded"
	"github.com/fleetcast/fleetcast/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is an embedded one that runs until the test ends.
func store(t *testing.T) (uri string) {
	st, err := embedded.Open(t.Context(), embedded.Config{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- st.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	return st.URI()
}

// through returns a collection seen through a new proxy, by a client that
// repeats nothing.
func through(t *testing.T) (*faultproxy.Proxy, *mongo.Collection) {
	p, err := faultproxy.Open(store(t))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	client, err := mongo.Connect(options.Client().ApplyURI(p.URI()).SetRetryReads(false).SetRetryWrites(false))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	coll := client.Database("proxy").Collection("c")
	_, err = coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 0}})
	require.NoError(t, err)
	return p, coll
}

func find(ctx context.Context, c *mongo.Collection) error { return c.FindOne(ctx, bson.D{}).Err() }

func TestFail(t *testing.T) {
	p, c := through(t)
	for _, e := range faultproxy.Errors() {
		e.Labels = []string{"OfTheTest"}
		f := p.Fail(1, e, "count", "find")
		var failed mongo.CommandError
		require.ErrorAs(t, find(t.Context(), c), &failed)
		require.EqualValues(t, e.Code, failed.Code)
		require.Equal(t, e.Name, failed.Name)
		require.True(t, failed.HasErrorLabel("OfTheTest"))
		<-f.Done()
		require.NoError(t, find(t.Context(), c), "once")
	}
	require.Equal(t, len(faultproxy.Errors()), p.Stats().Failed)
}

func TestLose(t *testing.T) {
	p, c := through(t)
	p.Lose(1, "insert")
	_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}})
	require.True(t, mongo.IsNetworkError(err), "%v", err)
	n, err := c.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: 1}})
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "it was carried out")
	require.Equal(t, 1, p.Stats().Lost)
}

func TestCutAndRefuse(t *testing.T) {
	p, c := through(t)
	p.Cut()
	require.Error(t, find(t.Context(), c))
	require.NoError(t, find(t.Context(), c))
	p.Refuse(time.Hour)
	p.Cut()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return find(ctx, c) != nil && p.Stats().Refused > 1
	}, 20*time.Second, time.Millisecond)
	p.Calm()
	require.Eventually(t, func() bool { return find(t.Context(), c) == nil }, 20*time.Second, time.Millisecond)
	require.Positive(t, p.Stats().Cut)
}

func TestHalfOpen(t *testing.T) {
	p, c := through(t)
	p.HalfOpen(0)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, find(ctx, c), context.DeadlineExceeded)
	require.NoError(t, find(t.Context(), c), "a new connection works")
	require.Positive(t, p.Stats().HalfOpen)
	p.HalfOpen(time.Hour)
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Error(t, find(ctx, c))
	require.Error(t, find(ctx, c), "a new connection as well")
	p.Calm()
	require.Eventually(t, func() bool { return find(t.Context(), c) == nil }, 20*time.Second, time.Millisecond)
}

func TestDelay(t *testing.T) {
	p, c := through(t)
	p.Delay(50 * time.Millisecond)
	start := time.Now()
	require.NoError(t, find(t.Context(), c))
	require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
}

func TestURI(t *testing.T) {
	for _, uri := range []string{
		"mongodb+srv://x.example.org", "mongodb://a,b", "mongodb://", "http://a", "mongodb://a/?tls=true",
	} {
		_, err := faultproxy.Open(uri)
		require.Error(t, err, uri)
	}
	p, err := faultproxy.Open("mongodb://u:p@a/x?authSource=y&compressors=zstd&directConnection=false")
	require.NoError(t, err)
	defer p.Close()
	require.Regexp(t, `^mongodb://u:p@127\.0\.0\.1:\d+/x\?directConnection=true&authSource=y$`, p.URI())
}
