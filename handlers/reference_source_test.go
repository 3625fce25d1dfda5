package handlers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fieldsOf returns the JSON names of a type's fields.
func fieldsOf(t reflect.Type) (out []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			out = append(out, fieldsOf(f.Type)...)
		case name != "" && name != "-":
			out = append(out, name)
		}
	}
	return out
}

// source is the code of this package and of the domain, as far as bodies go.
type source struct {
	structs map[string]*ast.StructType // by name, of the domain with its package
	funcs   map[string]*ast.FuncDecl
}

func readSource(t *testing.T) source {
	t.Helper()
	s := source{map[string]*ast.StructType{}, map[string]*ast.FuncDecl{}}
	for prefix, dir := range map[string]string{"": ".", "doorbell.": "../internal/doorbell"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range f.Decls {
				s.note(prefix, decl)
			}
		}
	}
	return s
}

func (s source) note(prefix string, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if prefix == "" {
			s.funcs[decl.Name.Name] = decl
		}
	case *ast.GenDecl:
		for _, one := range decl.Specs {
			if named, ok := one.(*ast.TypeSpec); ok {
				if st, ok := named.Type.(*ast.StructType); ok {
					s.structs[prefix+named.Name.Name] = st
				}
			}
		}
	}
}

// fields returns the JSON names of a struct as it is written.
func (s source) fields(typ ast.Expr, prefix string) (out []string) {
	switch typ := typ.(type) {
	case *ast.Ident:
		return s.fields(s.structs[prefix+typ.Name], prefix)
	case *ast.SelectorExpr:
		return s.fields(s.structs["doorbell."+typ.Sel.Name], "doorbell.")
	case *ast.StructType:
		for _, f := range typ.Fields.List {
			if f.Tag == nil {
				out = append(out, s.fields(f.Type, prefix)...)
				continue
			}
			tag, _ := strconv.Unquote(f.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			out = append(out, name)
		}
	}
	return out
}

// decoded returns the fields that a function decodes itself; nil for none.
func (s source) decoded(f *ast.FuncDecl) (out []string) {
	decodes := false
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "decode" {
				decodes = true
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && decodes && v.Names[0].Name == "body" {
			out = s.fields(v.Type, "")
		}
		return true
	})
	return out
}

// queries returns all names that are read of queries.
func (s source) queries() map[string]bool {
	out := map[string]bool{}
	note := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, _ := strconv.Unquote(lit.Value)
			out[name] = true
		}
	}
	for _, f := range s.funcs {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Query", "GetQuery", "DefaultQuery"}, sel.Sel.Name) && len(n.Args) > 0 {
					note(n.Args[0])
				}
				if name, ok := n.Fun.(*ast.Ident); ok && (name.Name == "number" || name.Name == "fromOne") {
					note(n.Args[1])
				}
			case *ast.CompositeLit: // the table of GET /api/v1/alerts
				if f.Name.Name == "alerts" && len(n.Elts) == 5 {
					note(n.Elts[0])
				}
			}
			return true
		})
	}
	return out
}
