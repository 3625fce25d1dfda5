package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds config.yaml.
const maxFile = 1 << 20

// Loaded is a checked configuration and what else there is to say of it.
type Loaded struct {
	Config
	File    string   // empty: built-in defaults
	Unknown []string // DOORBELL_* variables that name no key
}

// Load reads file over the defaults and the environment over both, and checks
// the outcome. An empty file is config.yaml where there is one. The error
// names every fault.
func Load(file string, environ []string) (Loaded, error) {
	out := Loaded{Config: Default(), File: file}
	var faults []error
	if file == "" {
		out.File = "config.yaml"
	}
	text, err := readFile(out.File)
	switch {
	case err == nil:
		faults = append(faults, decode(text, &out.Config)...)
	case file == "" && errors.Is(err, os.ErrNotExist):
		out.File = ""
	default:
		return out, fmt.Errorf("config: %w", err)
	}
	var bad []error
	out.Unknown, bad = override(&out.Config, environ)
	faults = append(faults, bad...)
	faults = append(faults, out.check()...)
	if err := errors.Join(faults...); err != nil {
		where := out.File
		if where == "" {
			where = "the environment"
		}
		return out, fmt.Errorf("config in %s:\n%w", where, err)
	}
	return out, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return text, err
}

// decode sets what the file says, key by key, so that a fault can name its key.
func decode(text []byte, c *Config) []error {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return []error{err}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return []error{errors.New("more than one YAML document")}
	}
	return set(reflect.ValueOf(c).Elem(), doc.Content[0], "")
}

// set writes node into v, which path names.
func set(v reflect.Value, node *yaml.Node, path string) []error {
	if v.Kind() != reflect.Struct {
		return setLeaf(v, node, path)
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil // a section with nothing in it
	}
	if node.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s: want a section of keys (line %d)", orTop(path), node.Line)}
	}
	var faults []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		name := join(path, key.Value)
		field, ok := fieldByTag(v, key.Value)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s: unknown key (line %d); %s has %s", name, key.Line, orTop(path), strings.Join(tags(v), ", ")))
		case seen[key.Value]:
			faults = append(faults, fmt.Errorf("%s: stands twice (line %d)", name, key.Line))
		default:
			faults = append(faults, set(field, node.Content[i+1], name)...)
		}
		seen[key.Value] = true
	}
	return faults
}

func setLeaf(v reflect.Value, node *yaml.Node, path string) []error {
	if sections(v.Type()) && node.Kind == yaml.SequenceNode {
		list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
		var faults []error
		for i, item := range node.Content {
			faults = append(faults, set(list.Index(i), item, fmt.Sprintf("%s[%d]", path, i))...)
		}
		v.Set(list)
		return faults
	}
	if v.Type() == reflect.TypeFor[[]string]() && node.Kind == yaml.SequenceNode {
		// As they are written: auth.origins: [null] means the origin "null".
		list := []string{}
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return []error{fmt.Errorf("%s: want a list of texts%s", path, line(item))}
			}
			list = append(list, item.Value)
		}
		v.Set(reflect.ValueOf(list))
		return nil
	}
	fresh := reflect.New(v.Type())
	if err := node.Decode(fresh.Interface()); err != nil {
		return []error{fmt.Errorf("%s: %q is not %s%s", path, node.Value, kindOf(v.Type()), line(node))}
	}
	v.Set(fresh.Elem())
	return nil
}

// sections reports whether t is a list of sections, as shops is.
func sections(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func line(node *yaml.Node) string {
	if node.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", node.Line)
}

func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 15s, 10m or 720h"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Slice:
		return "a list"
	default:
		return "text"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func fieldByTag(v reflect.Value, tag string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == tag {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func tags(v reflect.Value) []string {
	out := make([]string, v.NumField())
	for i := range out {
		out[i] = v.Type().Field(i).Tag.Get("yaml")
	}
	return out
}

// EnvPrefix begins the variables that are ours.
const EnvPrefix = "DOORBELL_"

// override sets what the environment says and returns the DOORBELL_*
// variables that name no key. DOORBELL_TEST_* and DOORBELL_TOKEN are not
// settings.
func override(c *Config, environ []string) (unknown []string, faults []error) {
	keys := map[string]reflect.Value{}
	leaves(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		keys[EnvName(path)] = v
	})
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, EnvPrefix+"TEST_") || name == EnvPrefix+"TOKEN" {
			continue
		}
		v, ok := keys[name]
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		faults = append(faults, setLeaf(v, envNode(v.Type(), value), name)...)
	}
	slices.Sort(unknown)
	return unknown, faults
}

// EnvName is the variable that sets the key at path.
func EnvName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// envNode is a variable's value as if it stood in the file; lists are split by
// comma, and a list of sections is YAML.
func envNode(t reflect.Type, value string) *yaml.Node {
	if sections(t) {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(value), &doc) == nil && len(doc.Content) == 1 {
			return doc.Content[0]
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	}
	if t.Kind() != reflect.Slice {
		n := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
		if t.Kind() == reflect.String {
			n.Tag = "!!str"
		}
		return n
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Value: value}
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: part})
		}
	}
	return list
}

// leaves calls visit for every key.
func leaves(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	if v.Kind() != reflect.Struct {
		visit(path, v)
		return
	}
	for i := range v.NumField() {
		leaves(v.Field(i), join(path, v.Type().Field(i).Tag.Get("yaml")), visit)
	}
}
