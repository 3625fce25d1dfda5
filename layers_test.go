package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers is the architecture: what each package of this module may import of
// the others. A package that is not listed fails the test, so the map is whole.
var layers = map[string][]string{
	"doorbell": {
		"doorbell/handlers", "doorbell/static", "doorbell/transport", "doorbell/transport/poll", "doorbell/transport/sse", "doorbell/transport/ws",
		"doorbell/internal/auth", "doorbell/internal/bench", "doorbell/internal/client", "doorbell/internal/config", "doorbell/internal/doorbell",
		"doorbell/internal/hooks",
		"doorbell/internal/payment", "doorbell/internal/payment/paysim", "doorbell/internal/push", "doorbell/internal/store",
	},
	"doorbell/handlers":                {"doorbell/internal/auth", "doorbell/internal/doorbell", "doorbell/internal/payment", "doorbell/static", "doorbell/transport"},
	"doorbell/transport":               {"doorbell/internal/doorbell"},
	"doorbell/transport/ws":            {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/transport/sse":           {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/transport/poll":          {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/transport/transporttest": {},
	"doorbell/internal/store":          {"doorbell/internal/doorbell", "doorbell/internal/safefile"},
	"doorbell/internal/hooks":          {"doorbell/internal/doorbell"},
	"doorbell/internal/payment":        {"doorbell/internal/doorbell"},
	"doorbell/internal/push":           {"doorbell/internal/doorbell", "doorbell/internal/safefile"},
	"doorbell/internal/payment/paysim": {"doorbell/internal/doorbell", "doorbell/internal/payment", "doorbell/internal/safefile"},
	"doorbell/internal/auth":           {"doorbell/internal/doorbell", "doorbell/internal/safefile"},
	"doorbell/internal/bench":          {},
	"doorbell/internal/client":         {"doorbell/internal/doorbell"},
	"doorbell/internal/config":         {},
	"doorbell/internal/safefile":       {},
	"doorbell/internal/doorbell":       {},
	"doorbell/static":                  {},
	"doorbell/e2e":                     {},
}

func TestLayers(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		allowed, listed := layers[pkg.ImportPath]
		if !listed {
			t.Errorf("%s: add it to layers with what it may import", pkg.ImportPath)
		}
		for _, imp := range pkg.Imports {
			if (imp == "doorbell" || strings.HasPrefix(imp, "doorbell/")) && !slices.Contains(allowed, imp) {
				t.Errorf("%s imports %s, which layers does not allow", pkg.ImportPath, imp)
			}
			if pkg.ImportPath == "doorbell/internal/doorbell" && strings.Contains(imp, ".") {
				t.Errorf("the domain imports %s, and may import the standard library only", imp)
			}
		}
	}
}
