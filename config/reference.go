package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// DefaultSecretDirs are where Docker and Kubernetes put secrets.
var DefaultSecretDirs = []string{"/run/secrets", "/var/run/secrets"}

// maxReference bounds a file that a value refers to.
const maxReference = 1 << 20

// errReference is of a text with a single @ that leads to no file.
var errReference = errors.New("a value with @ refers to a file by its whole path, as @/run/secrets/smtp; a text that begins with @ is written with @@")

// splitReference returns the file that a plain value refers to by @/path, or else the
// value that it means: @@text is @text.
func splitReference(v any) (file string, literal any, err error) {
	text, ok := v.(string)
	rest, at := strings.CutPrefix(text, "@")
	switch {
	case !ok || !at:
		return "", v, nil
	case strings.HasPrefix(rest, "@"):
		return "", rest, nil
	case !filepath.IsAbs(rest):
		return "", nil, errReference
	}
	return filepath.Clean(rest), nil, nil
}

// escapeReference writes a value so that it is no reference.
func escapeReference(v any) any {
	if text, ok := v.(string); ok && strings.HasPrefix(text, "@") {
		return "@" + text
	}
	return v
}

// resolve returns the value, and the file that it was read from if it refers to one.
func (l *loading) resolve(g given) (value any, file string, err error) {
	file, value, err = splitReference(g.value)
	if file == "" || err != nil {
		return value, "", err
	}
	content, err := l.readReference(file, g.origin.Layer == LayerSettings)
	if err != nil {
		return nil, "", fmt.Errorf("@%s: %w", file, err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r"), file, nil
}

// readReference reads a file. One that the collection names must be in a folder for
// secrets: who may write there shall not read what is on every host.
func (l *loading) readReference(name string, confined bool) (string, error) {
	f, err := l.openReference(name, confined)
	if err != nil {
		l.saw(name, nil)
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxReference+1))
	l.saw(name, text)
	if err == nil && len(text) > maxReference {
		err = errors.New("it is larger than 1 MiB")
	}
	return string(text), err
}

func (l *loading) openReference(name string, confined bool) (*os.File, error) {
	if !confined {
		return os.Open(name)
	}
	for _, dir := range l.cfg.SecretDirs {
		if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsLocal(rel) {
			return os.OpenInRoot(dir, rel)
		}
	}
	return nil, fmt.Errorf("a value in the collection may refer to files in %s alone (Config.SecretDirs)", strings.Join(l.cfg.SecretDirs, ", "))
}
