package embedded

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// catalog holds the capped collections of a store, by namespace. It is safe
// for concurrent use; who adds one or removes one holds the write lock of the
// store besides, so that no ordinary collection of the same name appears.
type catalog struct {
	dir   string // of their files; empty for a store in memory
	clock *clock

	mu   sync.RWMutex
	byNS map[string]*capped
}

// openCatalog reads the collections from their files.
func openCatalog(ctx context.Context, dir string, cl *clock) (*catalog, error) {
	c := &catalog{dir: dir, clock: cl, byNS: map[string]*capped{}}
	if dir == "" {
		return c, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the capped collections: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the capped collections: %w", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != cappedFile {
			continue
		}
		coll, err := loadCapped(ctx, filepath.Join(dir, e.Name()), cl)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.byNS[coll.namespace()] = coll
	}
	return c, nil
}

// cappedFile is the suffix of a capped collection's file.
const cappedFile = ".capped"

func (c *catalog) get(ns string) *capped {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byNS[ns]
}

// inDatabase returns the collections of a database.
func (c *catalog) inDatabase(db string) []*capped {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var in []*capped
	for _, coll := range c.byNS {
		if coll.opts.DB == db {
			in = append(in, coll)
		}
	}
	return in
}

// databases returns the bytes of documents by the name of the database.
func (c *catalog) databases() map[string]int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	sizes := map[string]int64{}
	for _, coll := range c.byNS {
		sizes[coll.opts.DB] += coll.state().bytes
	}
	return sizes
}

func (c *catalog) create(opts cappedOptions) error {
	coll := newCapped(opts, c.clock)
	if c.dir != "" {
		f, err := createFile(filepath.Join(c.dir, hex.EncodeToString(opts.UUID.Data)+cappedFile), opts)
		if err != nil {
			return refuse(codeOutOfDiskSpace, "create %s: %v", coll.namespace(), err)
		}
		coll.file = f
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byNS[coll.namespace()] = coll
	return nil
}

func (c *catalog) drop(coll *capped) error {
	c.mu.Lock()
	delete(c.byNS, coll.namespace())
	c.mu.Unlock()
	return coll.drop()
}

func (c *catalog) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, coll := range c.byNS {
		errs = append(errs, coll.close())
	}
	return errors.Join(errs...)
}

// describe is the collection's entry in listCollections.
func (c *capped) describe() bsoncore.Document {
	s := c.state()
	options := bsoncore.NewDocumentBuilder().AppendBoolean("capped", true).AppendInt64("size", s.opts.Size)
	if s.opts.Max > 0 {
		options.AppendInt64("max", s.opts.Max)
	}
	b := bsoncore.NewDocumentBuilder
	return b().AppendString("name", s.opts.Name).AppendString("type", "collection").
		AppendDocument("options", options.Build()).
		AppendDocument("info", b().AppendBoolean("readOnly", false).
			AppendBinary("uuid", s.opts.UUID.Subtype, s.opts.UUID.Data).Build()).
		AppendDocument("idIndex", idIndex()).Build()
}

func idIndex() bsoncore.Document {
	b := bsoncore.NewDocumentBuilder
	return b().AppendInt32("v", 2).AppendDocument("key", b().AppendInt32("_id", 1).Build()).AppendString("name", "_id_").Build()
}
