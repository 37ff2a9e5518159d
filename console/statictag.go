package console

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
)

// staticTag changes with any of the static files.
var staticTag = func() string {
	sum := sha256.New()
	err := fs.WalkDir(files, "static", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		sum.Write(text)
		return err
	})
	if err != nil {
		panic(err) // they are embedded
	}
	return fmt.Sprintf(`"%x"`, sum.Sum(nil)[:12])
}()
