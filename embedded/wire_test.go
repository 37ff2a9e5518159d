package embedded

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

func message(op wiremessage.OpCode, body []byte) []byte {
	at, b := wiremessage.AppendHeaderStart(nil, 7, 0, op)
	b = append(b, body...)
	return bsoncore.UpdateLength(b, at, int32(len(b)))
}

// badMessages are what no driver sends.
func badMessages() map[string][]byte {
	ping := newRequest("test", bson.D{{Key: "ping", Value: 1}}).encode()
	length := func(n uint32) []byte {
		b := bytes.Clone(ping)
		binary.LittleEndian.PutUint32(b, n)
		return b
	}
	return map[string][]byte{
		"length 0":              length(0),
		"negative length":       length(1 << 31),
		"huge length":           length(maxMessageBytes + 1),
		"unknown operation":     message(4711, ping[headerBytes:]),
		"compressed":            message(wiremessage.OpCompressed, ping[headerBytes:]),
		"no flags":              message(wiremessage.OpMsg, nil),
		"unknown flag":          message(wiremessage.OpMsg, append([]byte{8, 0, 0, 0}, ping[headerBytes+4:]...)),
		"no sections":           message(wiremessage.OpMsg, make([]byte, 4)),
		"unknown section":       message(wiremessage.OpMsg, []byte{0, 0, 0, 0, 9, 1, 2, 3}),
		"two bodies":            message(wiremessage.OpMsg, append(bytes.Clone(ping[headerBytes:]), ping[headerBytes+4:]...)),
		"short body":            message(wiremessage.OpMsg, ping[headerBytes:len(ping)-3]),
		"sequence of length 0":  message(wiremessage.OpMsg, []byte{0, 0, 0, 0, 1, 0, 0, 0, 0}),
		"endless sequence":      message(wiremessage.OpMsg, []byte{0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0x7f, 'x', 0}),
		"sequence with no name": message(wiremessage.OpMsg, []byte{0, 0, 0, 0, 1, 5, 0, 0, 0, 'x'}),
		"deep nesting":          message(wiremessage.OpMsg, append([]byte{0, 0, 0, 0, 0}, nested(1000)...)),
	}
}

func nested(depth int) bsoncore.Document {
	d := bsoncore.NewDocumentBuilder().Build()
	for range depth {
		d = bsoncore.NewDocumentBuilder().AppendDocument("a", d).Build()
	}
	return d
}

func TestMalformedMessagesEndTheConnection(t *testing.T) {
	st, _ := start(t, Config{})
	for name, b := range badMessages() {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", st.Addr())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write(b)
			require.NoError(t, err)
			_ = conn.(*net.TCPConn).CloseWrite()
			reply, _ := io.ReadAll(conn)
			require.Empty(t, reply)
		})
	}
	require.NoError(t, connect(t, st).Ping(t.Context(), nil))
}

func exchange(t testing.TB, st *Store, b []byte) *request {
	t.Helper()
	conn, err := net.Dial("tcp", st.Addr())
	require.NoError(t, err)
	defer conn.Close()
	return exchangeOn(t, conn, b)
}

func exchangeOn(t testing.TB, conn net.Conn, b []byte) *request {
	t.Helper()
	_, err := conn.Write(b)
	require.NoError(t, err)
	reply, err := readRequest(bufio.NewReader(conn))
	require.NoError(t, err)
	return reply
}

func TestChecksumsAndFlags(t *testing.T) {
	st, _ := start(t, Config{})
	ping := newRequest("test", bson.D{{Key: "ping", Value: 1}}).encode()[headerBytes:]
	with := func(flags byte, high byte, tail ...byte) []byte {
		b := append(bytes.Clone(ping), tail...)
		b[0], b[2] = flags, high
		return message(wiremessage.OpMsg, b)
	}
	for name, b := range map[string][]byte{
		"a checksum":                with(1, 0, 1, 2, 3, 4),
		"exhaust is allowed":        with(0, 1),
		"more to come, then a ping": append(with(2, 0), with(0, 0)...),
	} {
		t.Run(name, func(t *testing.T) {
			ok, _ := lookup(exchange(t, st, b).body, "ok")
			require.True(t, truthy(ok))
		})
	}
}

func TestLegacyHello(t *testing.T) {
	st, _ := start(t, Config{})
	query := func(cmd string) []byte {
		b := append([]byte{0, 0, 0, 0}, "admin.$cmd\x00"...)
		b = append(b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
		return message(wiremessage.OpQuery, append(b, document(bson.D{{Key: cmd, Value: 1}})...))
	}
	for cmd, want := range map[string]string{"isMaster": "ismaster", "hello": "isWritablePrimary", "insert": "errmsg"} {
		conn, err := net.Dial("tcp", st.Addr())
		require.NoError(t, err)
		_, err = conn.Write(query(cmd))
		require.NoError(t, err)
		head := make([]byte, headerBytes+20)
		_, err = io.ReadFull(conn, head)
		require.NoError(t, err)
		_, _, to, op, _, ok := wiremessage.ReadHeader(head)
		require.True(t, ok)
		require.EqualValues(t, 7, to)
		require.Equal(t, wiremessage.OpReply, op)
		doc, err := bsoncore.NewDocumentFromReader(conn)
		require.NoError(t, err)
		_, found := lookup(doc, want)
		require.True(t, found, "%s: %v", cmd, doc)
		require.NoError(t, conn.Close())
	}
}

// FuzzRequest looks for messages, and documents in them, over which decoding
// or filtering panics.
func FuzzRequest(f *testing.F) {
	for _, b := range badMessages() {
		f.Add(b)
	}
	filters := bson.D{{Key: "a.b", Value: bson.D{{Key: "$gt", Value: 1}, {Key: "$in", Value: bson.A{1, nil, "x"}}}},
		{Key: "$or", Value: bson.A{bson.D{{Key: "c", Value: bson.D{{Key: "$regex", Value: "x"}, {Key: "$options", Value: "i"}}}}}}}
	find := newRequest("test", bson.D{{Key: "find", Value: "log"}, {Key: "filter", Value: filters},
		{Key: "sort", Value: bson.D{{Key: "a", Value: -1}}}, {Key: "projection", Value: bson.D{{Key: "a.b", Value: 1}}}})
	f.Add(find.encode())
	find.series = []series{{"documents", []bsoncore.Document{document(filters)}}}
	f.Add(find.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		a := newArgs(r.body)
		docs := append(r.docs(a, "documents"), r.body)
		filter, _ := a.filter("filter")
		o, _ := compileSort(a.doc("sort"))
		p, _ := compileProjection(a.doc("projection"))
		for _, d := range docs {
			if d == nil {
				return
			}
			if filter != nil {
				filter(d)
			}
			p.apply(d)
			id, _ := lookup(d, "_id")
			idKey(id)
			foreign(d)
			stored, err := prepare(d, new(clock))
			if err == nil && !sound(stored) {
				t.Fatalf("prepare made %x of %x", stored, d)
			}
		}
		o.sort(docs)
		if again, err := readRequest(bufio.NewReader(bytes.NewReader(r.encode()))); err != nil || !bytes.Equal(again.body, r.body) {
			t.Fatalf("%v: encoding is not the inverse of decoding", err)
		}
	})
}
