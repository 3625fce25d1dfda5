package server_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/server/servertest"
	"doorbell/internal/testrun"
)

// scrape returns /metrics of the listener for figures.
func scrape(t *testing.T, s *servertest.Server) string {
	t.Helper()
	res := ask(t, browserOf(t, nil), http.MethodGet, s.FiguresURL+"metrics", "")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s", res.Status)
	}
	return readAll(t, res)
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metric is one row of the reference, or one family of /metrics.
type metric struct{ Type, Labels, Meaning string }

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	helpLine   = regexp.MustCompile(`(?m)^# HELP (\S+) (.*)$`)
	sampleLine = regexp.MustCompile(`(?m)^(doorbell_\w+)\{(.*)\} `)
	labelPair  = regexp.MustCompile(`(\w+)="([^"]*)"`)
	metricRow  = regexp.MustCompile("(?m)^\\| `(doorbell_\\w+)` \\| (\\w+) \\| [^|]+ \\| ([^|]*) \\| ([^|]+) \\|$")
	codeSpan   = regexp.MustCompile("`([^`]+)`")
)

// exported returns the families of doorbell's own, and their labels' values.
func exported(text string) (all map[string]metric, values map[string]map[string]bool) {
	all, values = map[string]metric{}, map[string]map[string]bool{}
	for _, m := range helpLine.FindAllStringSubmatch(text, -1) {
		all[m[1]] = metric{Meaning: m[2]}
	}
	labels := map[string]map[string]bool{}
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "le" {
				continue // a histogram's own
			}
			name := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(m[1], "")
			for of, one := range map[string]string{name: l[1], l[1]: l[2]} {
				to := values
				if of == name {
					to = labels
				}
				if to[of] == nil {
					to[of] = map[string]bool{}
				}
				to[of][one] = true
			}
		}
	}
	for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
		one := all[m[1]]
		one.Type, one.Labels = m[2], strings.Join(slices.Sorted(maps.Keys(labels[m[1]])), " ")
		all[m[1]] = one
	}
	maps.DeleteFunc(all, func(name string, _ metric) bool {
		return strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")
	})
	return all, values
}

// spans returns what stands as code in a text, sorted.
func spans(text string) (out []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return out
}

func written(t *testing.T, file string) (all map[string]metric, values map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	all, values = map[string]metric{}, map[string]string{}
	for _, m := range metricRow.FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = metric{Type: m[2], Labels: strings.Join(spans(m[3]), " "), Meaning: m[4]}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\|$").FindAllStringSubmatch(string(text), -1) {
		values[m[1]] = m[2]
	}
	return all, values
}

// TestMetricReference: the reference names every metric of a server that has all parts
// (bus, TLS, a provider), with its type, labels and help, and no other; and the values
// of every label.
func TestMetricReference(t *testing.T) {
	s, trust := startTLS(t, func(c *config.Config) {
		c.Metrics.Addr, c.Bus.URL = "127.0.0.1:0", "nats://127.0.0.1:1" // nobody is there
	})
	browser := browserOf(t, trust)
	if res := ask(t, browser, http.MethodPost, s.URL+"pay/wechat", "{}"); res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a callback that nobody signed: %s", res.Status)
	}
	got, seen := exported(scrape(t, s))
	if len(got) < 30 {
		t.Fatalf("/metrics has %d metrics of doorbell's own", len(got))
	}
	english, values := written(t, "metrics.md")
	if diff := cmp.Diff(english, got); diff != "" {
		t.Errorf("docs/metrics.md is not what /metrics exports (-document +/metrics):\n%s", diff)
	}
	chinese, inChinese := written(t, "metrics.zh-CN.md")
	for name, m := range chinese {
		m.Meaning = english[name].Meaning
		chinese[name] = m
	}
	if diff := cmp.Diff(english, chinese); diff != "" {
		t.Errorf("the references differ (-English +Chinese):\n%s", diff)
	}
	for _, table := range []map[string]string{values, inChinese} {
		if diff := cmp.Diff(slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(table))); diff != "" {
			t.Errorf("the labels (-/metrics +document):\n%s", diff)
		}
		for label, these := range seen {
			for value := range these {
				if !slices.Contains(spans(table[label]), value) {
					t.Errorf("label %s: the document does not name the value %q", label, value)
				}
			}
		}
	}
}

// TestAnAlertsWayIsMeasured: each step from the commit to the accept counts once, also
// where a second console hears the alert, an accept is repeated, or it sounds late.
func TestAnAlertsWayIsMeasured(t *testing.T) {
	s := servertest.Start(t, func(c *config.Config) { c.Metrics.Addr = "127.0.0.1:0" })
	token := s.Token(doorbell.RoleConsole, "till", 1)
	client := browserOf(t, nil)
	events := ask(t, client, http.MethodGet, s.URL+"events?shops=1", "", "Authorization", "Bearer "+token)
	defer events.Body.Close() //nolint:errcheck // the test is over
	testrun.Eventually(t, "the console is connected", func() bool { return strings.Contains(scrape(t, s), `doorbell_consoles{transport="sse"} 1`) })
	a := s.Raise(1, doorbell.NewOrder, 7, "ring")
	for _, console := range []string{"c1", "c2"} {
		for _, stage := range []doorbell.Stage{doorbell.Shown, doorbell.Sounded, doorbell.Sounded} {
			if err := s.Service.Receive(t.Context(), doorbell.Receipt{Shop: 1, Seq: a.Seq, Console: console, Stage: stage}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if _, err := s.Service.AcceptAlert(t.Context(), 1, a.Seq, "console:till"); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"doorbell_alert_delivered_seconds_count 1\n", "doorbell_alert_sounded_seconds_count 1\n", "doorbell_alert_accepted_seconds_count 1\n",
		"doorbell_consoles_behind 0\n", "doorbell_console_lag_alerts 0\n", "doorbell_store_failing 0\n",
	} {
		testrun.Eventually(t, want, func() bool { return strings.Contains(scrape(t, s), "\n"+want) })
	}
	if text := scrape(t, s); strings.Contains(text, `doorbell_store_write_seconds_count{lane="press"} 0`) ||
		!strings.Contains(text, `doorbell_store_write_seconds_count{lane="press"} 2`) {
		t.Error("the two accepts are not measured as writes")
	}
	// A cursor of another log is told a reset, by its reason.
	reset := ask(t, client, http.MethodGet, s.URL+"poll?wait=0&after=another0.1:1", "", "Authorization", "Bearer "+token)
	if body := readAll(t, reset); !strings.Contains(body, `"reason":"epoch"`) {
		t.Fatalf("a poll from another epoch: %s %s", reset.Status, body)
	}
	if text := scrape(t, s); !strings.Contains(text, `doorbell_resets_total{reason="epoch"} 1`) {
		t.Error("the reset is not counted")
	}
}
