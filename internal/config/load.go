package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds config.yaml.
const maxFile = 1 << 20

// Loaded is a checked configuration and what else there is to say of it.
type Loaded struct {
	Config
	File    string  // empty: built-in defaults
	Unknown []Stray // DOORBELL_* variables that name no key
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
	fromEnv, unknown, bad := override(&out.Config, environ)
	out.Unknown = unknown
	faults = append(faults, bad...)
	faults = append(faults, out.check(fromEnv)...)
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
			if d, ok := list.Index(i).Addr().Interface().(interface{ setDefaults() }); ok {
				d.setDefaults()
			}
			faults = append(faults, set(list.Index(i), item, fmt.Sprintf("%s[%d]", path, i))...)
		}
		v.Set(list)
		return faults
	}
	if v.Kind() == reflect.Map && node.Kind == yaml.MappingNode {
		return setEach(v, node, path)
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
		return []error{fmt.Errorf("%s: %q is not %s%s", path, node.Value, kindOf(v.Type(), node.Value), line(node))}
	}
	v.Set(fresh.Elem())
	return nil
}

// setEach sets the values of a map whose keys are names of the file's own.
func setEach(v reflect.Value, node *yaml.Node, path string) []error {
	all := reflect.MakeMap(v.Type())
	var faults []error
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := reflect.ValueOf(node.Content[i].Value)
		if all.MapIndex(name).IsValid() {
			faults = append(faults, fmt.Errorf("%s: stands twice (line %d)", join(path, node.Content[i].Value), node.Content[i].Line))
		}
		value := reflect.New(v.Type().Elem()).Elem()
		faults = append(faults, set(value, node.Content[i+1], join(path, node.Content[i].Value))...)
		all.SetMapIndex(name, value)
	}
	v.Set(all)
	return faults
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

// DurationExample returns how a duration is written, and what text, which is none,
// may have meant: Go's durations end with hours.
func DurationExample(text string) string {
	example := "a duration such as 15s, 10m or 720h"
	if n := len(text) - 1; n > 0 && n <= 5 {
		days, err := strconv.Atoi(text[:n])
		if text[n] == 'w' || text[n] == 'W' {
			days *= 7
		}
		if err == nil && days > 0 && strings.ContainsAny(text[n:], "dDwW") {
			return fmt.Sprintf("%s; for %s write %dh", example, text, 24*days)
		}
	}
	return example
}

func kindOf(t reflect.Type, text string) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return DurationExample(text)
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Map:
		return "a section of shops' ids"
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
		if v.Type().Field(i).Anonymous {
			if f, ok := fieldByTag(v.Field(i), tag); ok {
				return f, true
			}
		}
	}
	return reflect.Value{}, false
}

func tags(v reflect.Value) []string {
	var out []string
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			out = append(out, tags(v.Field(i))...)
		} else {
			out = append(out, v.Type().Field(i).Tag.Get("yaml"))
		}
	}
	return out
}

// EnvPrefix begins the variables that are ours.
const EnvPrefix = "DOORBELL_"

// override sets what the environment says and returns the DOORBELL_*
// variables that name no key. DOORBELL_TEST_*, DOORBELL_TOKEN and DOORBELL_URL,
// which the README's samples read, are not settings.
func override(c *Config, environ []string) (set map[string]bool, unknown []Stray, faults []error) {
	set = map[string]bool{}
	keys := map[string]reflect.Value{}
	leaves(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		keys[EnvName(path)] = v
	})
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, EnvPrefix+"TEST_") || name == EnvPrefix+"TOKEN" || name == EnvPrefix+"URL" {
			continue
		}
		v, ok := keys[name]
		if !ok {
			unknown = append(unknown, Stray{Name: name, Nearest: nearest(name, slices.Sorted(maps.Keys(keys)))})
			continue
		}
		set[name] = true
		faults = append(faults, setLeaf(v, envNode(v.Type(), value), name)...)
	}
	slices.SortFunc(unknown, func(a, b Stray) int { return strings.Compare(a.Name, b.Name) })
	return set, unknown, faults
}

// EnvName returns the variable that sets the key at path.
func EnvName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// envNode returns a variable's value as if it stood in the file; lists are split by
// comma, and a list of sections is YAML.
func envNode(t reflect.Type, value string) *yaml.Node {
	if sections(t) || t.Kind() == reflect.Map {
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

// Stray is a DOORBELL_* variable that names no key.
type Stray struct {
	Name    string
	Nearest string // the variable of the key that is written most like it
}

// nearest returns the name that takes the fewest letters to become.
func nearest(name string, names []string) string {
	best, least := "", -1
	for _, n := range names {
		if d := distance(name, n); least < 0 || d < least {
			best, least = n, d
		}
	}
	return best
}

// distance returns how many letters are put in, taken out or replaced to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			step := before
			if a[i] != b[j] {
				step++
			}
			before = row[j+1]
			row[j+1] = min(step, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
