package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// given is a value that a source has for a path.
type given struct {
	path   string
	value  any // plain
	origin Origin
	sealed bool  // it was encrypted
	locked error // why it cannot be decrypted
}

// readFile reads the YAML file. Nothing is in it when it is not there and need not be.
func (l *loading) readFile() {
	name := l.cfg.File
	if name == "" {
		return
	}
	text, err := os.ReadFile(name)
	l.saw(name, text)
	if errors.Is(err, os.ErrNotExist) && l.cfg.FileOptional {
		return
	}
	if err != nil {
		l.fault(fmt.Errorf("read the settings: %w", err))
		return
	}
	l.parseFile(name, text)
}

func (l *loading) parseFile(name string, text []byte) {
	var doc yaml.Node
	raw := map[string]any{}
	err := yaml.Unmarshal(text, &doc)
	if err == nil && doc.IsZero() { // an empty file
		return
	}
	if err == nil {
		err = doc.Decode(&raw)
	}
	tree, plainErr := plain(raw)
	if err = cmp.Or(err, plainErr); err != nil {
		l.fault(fmt.Errorf("file %s: a mapping of settings is expected: %w", name, err))
		return
	}
	f := yamlFile{name: name, lines: map[string]int{}}
	f.locate("", doc.Content[0])
	l.walk("", tree, func(path string, value any) given { return given{path: path, value: value, origin: f.origin(path)} })
}

// walk adds the values of a plain tree. A declared setting is a leaf, whatever it has.
func (l *loading) walk(path string, value any, give func(path string, value any) given) {
	tree, ok := value.(map[string]any)
	if ok && l.declared[path] == nil {
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			l.walk(join(path, name), tree[name], give)
		}
		return
	}
	if value == nil {
		return
	}
	g := give(path, value)
	if err := CheckPath(path); err != nil {
		l.fault(fmt.Errorf("%s: %w", g.origin, err))
		return
	}
	l.add(g)
}

// yamlFile knows in which line of a file a path is.
type yamlFile struct {
	name  string
	lines map[string]int
}

func (f yamlFile) locate(path string, n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		below := join(path, n.Content[i].Value)
		f.lines[below] = n.Content[i].Line
		f.locate(below, n.Content[i+1])
	}
}

// origin names the file alone for what came by an alias.
func (f yamlFile) origin(path string) Origin {
	name := f.name
	if line := f.lines[path]; line > 0 {
		name = fmt.Sprintf("%s:%d", name, line)
	}
	return Origin{Layer: LayerFile, Name: name}
}
