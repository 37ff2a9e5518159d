package embedded

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func theFile(t testing.TB, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "capped", "*"+cappedFile))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func TestATornEndIsCutOff(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"half a document": func(b []byte) []byte { return b[:len(b)-7] },
		"half a length":   func(b []byte) []byte { return append(b[:len(b):len(b)], 40, 0) },
		"zeros":           func(b []byte) []byte { return append(b[:len(b):len(b)], make([]byte, 512)...) },
		"rubbish":         func(b []byte) []byte { return append(b[:len(b):len(b)], "\x14\x00\x00\x00not a document.."...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			st, stop := start(t, Config{Dir: dir})
			insert(t, logOf(t, connect(t, st), 1<<20, 0), 1, 5)
			stop()
			b, err := os.ReadFile(theFile(t, dir))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(theFile(t, dir), damage(b), 0o600))

			st, stop = start(t, Config{Dir: dir})
			log := connect(t, st).Database("test").Collection("log")
			left := len(entries(t, log))
			require.GreaterOrEqual(t, left, 4)
			info, err := os.Stat(theFile(t, dir))
			require.NoError(t, err)
			require.LessOrEqual(t, info.Size(), int64(len(b)))
			insert(t, log, 6, 7)
			require.Len(t, entries(t, log), left+2)
			stop()
			st, _ = start(t, Config{Dir: dir})
			require.Len(t, entries(t, connect(t, st).Database("test").Collection("log")), left+2)
		})
	}
}

func TestFilesAreCompacted(t *testing.T) {
	dir := t.TempDir()
	st, stop := start(t, Config{Dir: dir})
	const size = 256 << 10
	log := logOf(t, connect(t, st), size, 0)
	for n := range 3000 {
		_, err := log.InsertOne(t.Context(), bson.D{{Key: "n", Value: n}, {Key: "x", Value: strings.Repeat("x", 1000)}})
		require.NoError(t, err)
	}
	info, err := os.Stat(theFile(t, dir))
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(2*size+waste+2000))
	before := entries(t, log)
	require.Equal(t, 2999, before[len(before)-1].N)
	stop()
	st, _ = start(t, Config{Dir: dir})
	require.Equal(t, before, entries(t, connect(t, st).Database("test").Collection("log")))
}

// TestKill ends a store's process without warning, and finds every document
// whose insert was acknowledged.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	if victim := os.Getenv("FLEETCAST_TEST_VICTIM"); victim != "" {
		st, _ := start(t, Config{Dir: victim})
		_, _ = os.Stdout.WriteString("\n" + st.URI() + "\n")
		<-t.Context().Done()
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "FLEETCAST_TEST_VICTIM="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var uri string
	for lines := bufio.NewScanner(out); !strings.HasPrefix(uri, "mongodb://"); uri = lines.Text() {
		require.True(t, lines.Scan())
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	require.NoError(t, err)
	insert(t, logOf(t, client, 1<<20, 0), 1, 100)
	insert(t, client.Database("test").Collection("some"), 1, 10)
	require.NoError(t, client.Disconnect(t.Context()))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()

	st, _ := start(t, Config{Dir: dir})
	client = connect(t, st)
	require.Len(t, entries(t, client.Database("test").Collection("log")), 100)
	require.Len(t, entries(t, client.Database("test").Collection("some")), 10)
}
