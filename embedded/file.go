package embedded

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// file keeps a capped collection: its options, and behind them every document
// that was inserted, all as BSON. Dropped documents stay until the file is
// rewritten. What the operating system has been given survives the end of the
// process; it is not synced to the disk. The collection's lock guards it.
type file struct {
	path string
	f    *os.File
	size int64
}

// waste is how much of dropped documents a file may hold beyond the size of
// the others.
const waste = 1 << 20

func createFile(path string, opts cappedOptions) (*file, error) {
	f := &file{path: path}
	if err := f.rewrite(opts, nil); err != nil {
		return nil, err
	}
	return f, nil
}

// append writes one document. A part of it that was written before a failure
// is taken back, or the documents after it could not be read.
func (f *file) append(doc bsoncore.Document) error {
	if _, err := f.f.WriteAt(doc, f.size); err != nil {
		return errors.Join(err, f.f.Truncate(f.size))
	}
	f.size += int64(len(doc))
	return nil
}

func (f *file) wasteful(live int64) bool { return f.size > 2*live+waste }

// rewrite replaces the file by one that holds only docs.
func (f *file) rewrite(opts cappedOptions, docs []bsoncore.Document) error {
	header, err := bson.Marshal(opts)
	if err != nil {
		return err
	}
	next, err := os.OpenFile(f.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	size, err := writeAll(next, header, docs)
	if err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, next.Close(), os.Remove(next.Name()))
	}
	if f.f != nil {
		_ = f.f.Close() // replaced
	}
	f.f, f.size = next, size
	return nil
}

func writeAll(to io.Writer, header []byte, docs []bsoncore.Document) (size int64, err error) {
	w := bufio.NewWriterSize(to, 1<<16)
	size = int64(len(header))
	_, _ = w.Write(header) // Flush reports its error
	for _, d := range docs {
		_, _ = w.Write(d)
		size += int64(len(d))
	}
	return size, w.Flush()
}

func (f *file) remove() error { return errors.Join(f.f.Close(), os.Remove(f.path)) }

func (f *file) close() error { return errors.Join(f.f.Sync(), f.f.Close()) }

// loadCapped reads a collection from its file. What a crash has left
// incomplete at the end is cut off.
func loadCapped(ctx context.Context, path string, cl *clock) (*capped, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c, err := replay(ctx, &file{path: path, f: f}, cl)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read capped collection from %s: %w", path, err), f.Close())
	}
	return c, nil
}

func replay(ctx context.Context, f *file, cl *clock) (*capped, error) {
	r := bufio.NewReaderSize(f.f, 1<<16)
	header, err := readDocument(r)
	if err != nil {
		return nil, fmt.Errorf("its header: %w; delete the file to go on without the collection", err)
	}
	var opts cappedOptions
	if err := bson.Unmarshal(header, &opts); err != nil {
		return nil, fmt.Errorf("its header: %w; delete the file to go on without the collection", err)
	}
	c := newCapped(opts, cl)
	c.file, f.size = f, int64(len(header))
	for {
		doc, err := readDocument(r)
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("collection", c.namespace()).Int64("offset", f.size).
				Msg("embedded store: cut off what a crash has left incomplete at the end of a capped collection")
			return c, f.f.Truncate(f.size)
		}
		f.size += int64(len(doc))
		id, _ := lookup(doc, "_id")
		c.add(idKey(id), doc)
	}
}

var errTorn = errors.New("incomplete document")

func readDocument(r *bufio.Reader) (bsoncore.Document, error) {
	head, err := r.Peek(4)
	if len(head) == 0 && err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, errTorn
	}
	n := int32(binary.LittleEndian.Uint32(head))
	if n < 5 || n > maxDocument+1024 {
		return nil, errTorn
	}
	doc := make([]byte, n)
	if _, err := io.ReadFull(r, doc); err != nil || !sound(doc) {
		return nil, errTorn
	}
	return doc, nil
}
