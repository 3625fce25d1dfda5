package config

import (
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

// visitAll calls visit with the path of every key.
func visitAll(visit func(path string)) {
	c := Default()
	leaves(reflect.ValueOf(&c).Elem(), "", func(path string, _ reflect.Value) { visit(path) })
}

// decodeKeys returns the set of leaf paths that a YAML text names.
func decodeKeys(t *testing.T, text string) map[string]bool {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
			out[path] = true
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			walk(n.Content[i+1], join(path, n.Content[i].Value))
		}
	}
	walk(doc.Content[0], "")
	return out
}
