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

// aProvider is what a payment provider's folder may import: no other provider.
var aProvider = []string{"doorbell/internal/config", "doorbell/internal/doorbell", "doorbell/internal/payment", "doorbell/internal/payment/paysim"}

// layers is the architecture: what each package of this module may import of
// the others. A package that is not listed fails the test, so the map is whole.
var layers = map[string][]string{
	"doorbell": {"doorbell/internal/cli"},
	"doorbell/internal/cli": {
		"doorbell/internal/auth", "doorbell/internal/bench", "doorbell/internal/client", "doorbell/internal/config", "doorbell/internal/doorbell",
		"doorbell/internal/lancert", "doorbell/internal/ledger", "doorbell/internal/logqueue", "doorbell/internal/payment/paysim", "doorbell/internal/payment/providers", "doorbell/internal/payment/wechat", "doorbell/internal/safefile", "doorbell/internal/server",
		"doorbell/internal/store", "doorbell/internal/webpush",
	},
	"doorbell/internal/server": {
		"doorbell/handlers", "doorbell/static", "doorbell/transport", "doorbell/transport/poll", "doorbell/transport/sse", "doorbell/transport/ws",
		"doorbell/internal/attendance", "doorbell/internal/escalation", "doorbell/internal/hours", "doorbell/internal/ledger", "doorbell/internal/sky", "doorbell/internal/sky/adopt", "doorbell/internal/auth", "doorbell/internal/bus", "doorbell/internal/config", "doorbell/internal/doorbell", "doorbell/internal/lease", "doorbell/internal/logqueue", "doorbell/internal/notify", "doorbell/internal/payment",
		"doorbell/internal/payment/providers", "doorbell/internal/safefile", "doorbell/internal/store", "doorbell/internal/webhook", "doorbell/internal/webpush",
	},
	"doorbell/internal/server/servertest": {
		"doorbell/internal/auth", "doorbell/internal/config", "doorbell/internal/doorbell", "doorbell/internal/payment/alipay", "doorbell/internal/payment/providers",
		"doorbell/internal/payment/stripe", "doorbell/internal/payment/webhook", "doorbell/internal/payment/wechat", "doorbell/internal/server",
	},
	"doorbell/handlers":                       {"doorbell/internal/auth", "doorbell/internal/doorbell", "doorbell/internal/payment", "doorbell/internal/reference", "doorbell/static", "doorbell/transport"},
	"doorbell/transport":                      {"doorbell/internal/doorbell"},
	"doorbell/transport/ws":                   {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/transport/sse":                  {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/transport/poll":                 {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/transport/transporttest":        {"doorbell/internal/doorbell", "doorbell/transport"},
	"doorbell/internal/store":                 {"doorbell/internal/doorbell", "doorbell/internal/safefile"},
	"doorbell/internal/bus":                   {"doorbell/internal/doorbell"},
	"doorbell/internal/testrun":               {},
	"doorbell/internal/testservers":           {"doorbell/internal/testrun"},
	"doorbell/internal/testservers/databases": {"doorbell/internal/testrun", "doorbell/internal/testservers"},
	"doorbell/internal/webhook":               {"doorbell/internal/doorbell", "doorbell/internal/lease"},
	"doorbell/internal/attendance":            {"doorbell/internal/doorbell", "doorbell/internal/hours", "doorbell/internal/lease"},
	"doorbell/internal/escalation":            {"doorbell/internal/doorbell", "doorbell/internal/lease"},
	"doorbell/internal/ledger":                {"doorbell/internal/doorbell", "doorbell/internal/lease"},
	"doorbell/internal/notify":                {},
	"doorbell/internal/hours":                 {},
	"doorbell/internal/sky":                   {"doorbell/internal/doorbell"},
	"doorbell/internal/sky/adopt":             {"doorbell/internal/doorbell", "doorbell/internal/lease"},
	"doorbell/internal/sky/skytest":           {},
	"doorbell/internal/lease":                 {},
	"doorbell/internal/lancert":               {"doorbell/internal/safefile"},
	"doorbell/internal/payment":               {"doorbell/internal/doorbell", "doorbell/internal/lease"},
	"doorbell/internal/webpush":               {"doorbell/internal/doorbell", "doorbell/internal/safefile"},
	"doorbell/internal/payment/paysim":        {"doorbell/internal/payment"},
	"doorbell/internal/payment/providers": {
		"doorbell/internal/config", "doorbell/internal/payment", "doorbell/internal/payment/alipay", "doorbell/internal/payment/paysim",
		"doorbell/internal/payment/stripe", "doorbell/internal/payment/webhook", "doorbell/internal/payment/wechat", "doorbell/internal/safefile",
	},
	"doorbell/internal/payment/alipay":       aProvider,
	"doorbell/internal/payment/stripe":       aProvider,
	"doorbell/internal/payment/webhook":      aProvider,
	"doorbell/internal/payment/wechat":       aProvider,
	"doorbell/internal/auth":                 {"doorbell/internal/doorbell", "doorbell/internal/safefile"},
	"doorbell/internal/bench":                {},
	"doorbell/internal/client":               {"doorbell/internal/doorbell"},
	"doorbell/internal/config":               {"doorbell/internal/hours"},
	"doorbell/internal/logqueue":             {},
	"doorbell/internal/safefile":             {},
	"doorbell/internal/reference":            {},
	"doorbell/internal/reference/clients/go": {},
	"doorbell/docs":                          {},
	"doorbell/docs/mutants":                  {},
	"doorbell/internal/doorbell":             {},
	"doorbell/static":                        {},
	"doorbell/e2e":                           {},
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
