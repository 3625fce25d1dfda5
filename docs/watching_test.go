package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"doorbell/internal/testservers"
)

// dashboard is what these tests read of deploy/grafana/doorbell.json.
type dashboard struct {
	Panels []struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(readFile(t, "deploy/grafana/doorbell.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 10 {
		t.Fatalf("the dashboard has %d panels", len(d.Panels))
	}
	return d
}

// promtool runs it on a file.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	testservers.Require(t, "promtool")
	if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestAlertRules: Prometheus takes the rules, and each fires where it should and not
// beside it.
func TestAlertRules(t *testing.T) {
	promtool(t, "check", "rules", "deploy/prometheus/rules.yaml")
	promtool(t, "test", "rules", "deploy/prometheus/rules_test.yaml")
}

// TestEachAlertRuleIsTested once where it fires and once where it does not.
func TestEachAlertRuleIsTested(t *testing.T) {
	rules := regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(readFile(t, "deploy/prometheus/rules.yaml"), -1)
	if len(rules) < 10 {
		t.Fatalf("there are %d rules", len(rules))
	}
	var file struct {
		Tests []struct {
			Cases []struct {
				Name string `yaml:"alertname"`
				Want []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "deploy/prometheus/rules_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, one := range file.Tests {
		for _, c := range one.Cases {
			if len(c.Want) > 0 {
				fires[c.Name] = true
			} else {
				quiet[c.Name] = true
			}
		}
	}
	for _, r := range rules {
		if !fires[r[1]] || !quiet[r[1]] {
			t.Errorf("%s: tested where it fires %v, where it does not %v", r[1], fires[r[1]], quiet[r[1]])
		}
	}
}

// TestDashboardQueries: Prometheus takes each query, with a value for each of
// Grafana's variables.
func TestDashboardQueries(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for _, p := range readDashboard(t).Panels {
		for i, target := range p.Targets {
			expr := strings.NewReplacer("$job", "doorbell", "$__rate_interval", "1m").Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable that the dashboard does not have: %s", p.Title, expr)
			}
			fmt.Fprintf(&rules, "  - {record: panel_%d_%d, expr: %q}\n", p.ID, i, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// TestWatchedMetricsExist: the rules, their tests and the dashboard name metrics of the
// reference alone, which another test holds to /metrics.
func TestWatchedMetricsExist(t *testing.T) {
	known := map[string]string{} // its type
	for _, m := range regexp.MustCompile("(?m)^\\| `(doorbell_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(readFile(t, "docs/metrics.md"), -1) {
		known[m[1]] = m[2]
	}
	for _, file := range []string{"deploy/prometheus/rules.yaml", "deploy/prometheus/rules_test.yaml", "deploy/grafana/doorbell.json"} {
		names := regexp.MustCompile(`doorbell_\w+`).FindAllString(readFile(t, file), -1)
		if len(names) < 10 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			part := regexp.MustCompile(`_(bucket|sum|count)$`).FindString(name)
			if kind := known[strings.TrimSuffix(name, part)]; kind == "" || (kind == "histogram") != (part != "") {
				t.Errorf("%s names %s, which docs/metrics.md does not have so", file, name)
			}
		}
	}
}
