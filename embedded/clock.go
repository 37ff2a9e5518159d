package embedded

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// clock gives the timestamps of a store: unique, and rising even when the
// computer's clock steps back or the store starts again. It is safe for
// concurrent use.
type clock struct {
	mu   sync.Mutex
	last bson.Timestamp
	file *os.File // remembers the last second used; nil for a store in memory
}

// openClock continues where the last clock of the folder stopped.
func openClock(dir string) (*clock, error) {
	file, err := os.OpenFile(filepath.Join(dir, "clock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the clock of the store: %w", err)
	}
	c := &clock{file: file}
	var b [4]byte
	if n, _ := file.ReadAt(b[:], 0); n == len(b) {
		c.last = bson.Timestamp{T: binary.LittleEndian.Uint32(b[:]), I: math.MaxUint32}
	}
	return c, nil
}

func (c *clock) next() (bson.Timestamp, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := bson.Timestamp{T: uint32(time.Now().Unix()), I: 1}
	if now.T <= c.last.T {
		now = bson.Timestamp{T: c.last.T, I: c.last.I + 1}
		if c.last.I == math.MaxUint32 {
			now = bson.Timestamp{T: c.last.T + 1, I: 1}
		}
	}
	if now.T != c.last.T && c.file != nil {
		if _, err := c.file.WriteAt(binary.LittleEndian.AppendUint32(nil, now.T), 0); err != nil {
			return bson.Timestamp{}, refuse(codeOutOfDiskSpace, "remember the store's time: %v", err)
		}
	}
	c.last = now
	return now, nil
}

func (c *clock) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
