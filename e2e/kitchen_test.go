package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/go-rod/rod/lib/proto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
	"doorbell/transport/transporttest"
)

// owner is the phone that is told of orders that nobody takes.
type owner struct {
	mu   sync.Mutex // guards told
	told map[string]int
}

var toldNumber = regexp.MustCompile(`(?:订单|催单|rder) (\S+)`)

func (o *owner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ Message string }
	body, _ := io.ReadAll(r.Body)
	if json.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, found := range toldNumber.FindAllStringSubmatch(m.Message, -1) {
		o.told[found[1]]++
	}
	_, _ = io.WriteString(w, `{"id":"1"}`) // to itself
}

func (o *owner) knows(number string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told[number] > 0
}

// kitchen is a shop with one tablet in Chromium, whose network can be cut.
type kitchen struct {
	*server
	t        *testing.T
	service  string
	platform *wechat.Player
	page     *page
	wire     *toxiproxy.Proxy
	owner    *owner
	rng      *rand.Rand
	paid     []string // numbers of the orders whose payment was acknowledged
	frozen   bool
}

// noon returns a time zone in which it is about noon: the day does not end during
// the test.
func noon() string {
	switch ahead := 12 - time.Now().UTC().Hour(); {
	case ahead > 0:
		return fmt.Sprintf("Etc/GMT-%d", ahead)
	case ahead < 0:
		return fmt.Sprintf("Etc/GMT+%d", -ahead)
	default:
		return "UTC"
	}
}

// newKitchen opens a tablet whose sound is on. The owner is told after a time, and
// again every minute.
func newKitchen(t *testing.T, after time.Duration) *kitchen {
	o := &owner{told: map[string]int{}}
	phone := httptest.NewServer(o)
	t.Cleanup(phone.Close)
	k := &kitchen{t: t, owner: o, rng: transporttest.Seeded(t)}
	k.server = startServer(t, "DOORBELL_TIME_ZONE="+noon(),
		"DOORBELL_CHANNELS=[{name: owner, url: \"ntfy://ntfy.sh/owner?api="+phone.URL+"\"}]",
		fmt.Sprintf("DOORBELL_ESCALATION={default: [{after: %v, to: [owner], repeat: 1m}]}", after))
	k.service = k.token("service", "--shops", "1")
	players, err := providers.LoadPlayers(k.data())
	if err != nil {
		t.Fatal(err)
	}
	k.platform = players.WeChat
	zerolog.SetGlobalLevel(zerolog.Disabled)
	k.wire = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()), "tablet", "127.0.0.1:0", k.addr)
	if err := k.wire.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.wire.Stop)
	k.page = openPage(t, "about:blank")
	k.page.Page = k.page.CancelTimeout()
	if _, err := k.page.EvalOnNewDocument(`const audio = AudioContext;
		window.AudioContext = class extends audio { constructor(...a) { super(...a); window.sounds = this; } };`); err != nil {
		t.Fatal(err)
	}
	k.page.MustNavigate(strings.Replace(k.link(), k.base, "http://"+k.wire.Listen+"/", 1))
	k.page.waitLink("websocket")
	k.page.soundOn()
	return k
}

// pay has a customer order and pay; the provider repeats its callback until it is
// acknowledged.
func (k *kitchen) pay() string {
	number := fmt.Sprintf("K-%04d", len(k.paid)+1)
	k.order(k.service, number)
	n := wechat.Notice{Content: k.platform.Payment(number, "T"+number, 100)}
	eventually(k.t, "the payment is acknowledged", func() bool { return k.callback(k.platform, n) == http.StatusNoContent })
	k.paid = append(k.paid, number)
	return number
}

// press has the cook press the oldest order that shows; a press that does not
// count is made again.
func (k *kitchen) press() {
	at, err := k.page.Eval(`() => {
		const b = document.querySelector('#open .alert:not(.pending) .accept');
		const r = b?.getBoundingClientRect();
		return r && r.height > 0 && r.bottom < innerHeight ? [r.left + r.width / 2, r.top + r.height / 2] : [];
	}`)
	if err != nil || len(at.Value.Arr()) != 2 {
		return
	}
	// The mouse may hit what has moved: the page ignores such a press.
	_ = k.page.Mouse.MoveTo(proto.NewPoint(at.Value.Arr()[0].Num(), at.Value.Arr()[1].Num()))
	_ = k.page.Mouse.Click(proto.InputMouseButtonLeft, 1)
}

func (k *kitchen) lifecycle(state proto.PageSetWebLifecycleStateState) {
	k.t.Helper()
	if err := (proto.PageSetWebLifecycleState{State: state}).Call(k.page); err != nil {
		k.t.Fatal(err)
	}
	k.frozen = state == proto.PageSetWebLifecycleStateStateFrozen
}

// scene is something that keeps the kitchen from hearing; heal ends it.
type scene struct {
	name         string
	strike, heal func(k *kitchen)
	pays         bool // before it strikes: the server is away then
}

var scenes = []scene{
	{"the tablet muted", func(k *kitchen) { k.page.MustEval(`() => window.sounds.suspend()`) }, func(k *kitchen) { k.page.MustEval(`() => window.sounds.resume()`) }, false},
	{"the network cut", func(k *kitchen) { k.wire.Stop() }, func(k *kitchen) {
		if err := k.wire.Start(); err != nil {
			k.t.Fatal(err)
		}
	}, false},
	{"the server killed", func(k *kitchen) { k.stop(syscall.SIGKILL) }, func(k *kitchen) { k.start() }, true},
	{"the tab frozen", func(k *kitchen) { k.lifecycle(proto.PageSetWebLifecycleStateStateFrozen) }, func(k *kitchen) { k.lifecycle(proto.PageSetWebLifecycleStateStateActive) }, false},
}

// TestKitchenQuarter: orders come to a kitchen whose tablet is muted, frozen or cut
// off, whose cook is out, and whose server is killed. Every paid order ends as accepted,
// or the owner's phone was told of it, and the ledger says which.
// DOORBELL_TEST_KITCHEN_S makes it last for so many seconds.
func TestKitchenQuarter(t *testing.T) {
	lasts := time.Duration(transporttest.Size(t, "DOORBELL_TEST_KITCHEN_S", 0)) * time.Second
	if lasts == 0 {
		newKitchen(t, time.Second).once()
		return
	}
	k := newKitchen(t, 20*time.Second)
	k.long(lasts)
}

// once strikes the kitchen with one fault after the other, each until the owner has
// been told of the order that came meanwhile.
func (k *kitchen) once() {
	heard := k.pay()
	eventually(k.t, "the kitchen hears an order", func() bool { return len(k.page.counts().Heard) > 0 })
	eventually(k.t, "the press counts", func() bool {
		k.press()
		return k.page.js(`document.querySelectorAll('#open .alert.pending').length`) == "1"
	})
	of := map[string]string{}
	for _, s := range scenes {
		if s.pays {
			of[s.name] = k.pay()
		}
		s.strike(k)
		if !s.pays {
			of[s.name] = k.pay()
			eventually(k.t, s.name+": the owner is told", func() bool { return k.owner.knows(of[s.name]) })
		}
		s.heal(k)
		eventually(k.t, s.name+": the owner is told", func() bool { return k.owner.knows(of[s.name]) })
		eventually(k.t, "the accept has reached the server", func() bool { // it can be undone for 5 s
			_, open := k.call("GET", "api/v1/alerts?shop=1&state=open", k.service, nil)
			return !strings.Contains(toJSON(k.t, open), heard)
		})
	}
	lines := k.check()
	if line := lines[heard]; line["sounded"] == "" || line["why"] != "" {
		k.t.Errorf("the order that was heard: %v", line)
	}
	for name, number := range of {
		if line := lines[number]; line["end"] != "" || !strings.Contains(line["told"], "owner:delivered") {
			k.t.Errorf("%s: %v", name, line)
		}
	}
}

// long plays scenes by chance for so long, with a cook who is in most of the time,
// and then for as long as somebody has to be told.
func (k *kitchen) long(lasts time.Duration) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seen, accepted := map[string]int{}, 0
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		s := scenes[k.rng.IntN(len(scenes))]
		calm, fault := 5+k.rng.IntN(25), 5+k.rng.IntN(40)
		cook := k.rng.IntN(4) > 0
		seen[s.name]++
		for i := range calm + fault {
			<-tick.C
			if i == calm {
				if s.pays {
					k.pay()
				}
				s.strike(k)
			}
			if k.cmd != nil && k.rng.IntN(8) == 0 {
				k.pay()
			}
			if cook && !k.frozen && (i < calm || s.name != "the tablet muted") {
				k.press()
			}
		}
		s.heal(k)
	}
	open := func() (out []string) {
		lines := k.ledger()
		accepted = 0
		for _, number := range k.paid {
			if lines[number]["end"] == "accepted" {
				accepted++
			} else if !k.owner.knows(number) {
				out = append(out, number)
			}
		}
		return out
	}
	for left := 12; len(open()) > 0 && left > 0; left-- { // a minute, and the ladder's first rung is 20 s
		pause(k.t.Context(), 5*time.Second)
	}
	for _, number := range open() {
		k.t.Errorf("%s was paid, and nobody took it or was told: %v", number, k.ledger()[number])
	}
	k.check()
	k.t.Logf("%d orders paid, %d accepted, of %d the owner was told; %v", len(k.paid), accepted, len(k.owner.told), seen)
	if accepted == 0 || len(k.owner.told) == 0 {
		k.t.Error("nothing was accepted, or nobody was told: this shows nothing")
	}
}

// ledger returns today's lines by number, each by the names of its columns.
func (k *kitchen) ledger() map[string]map[string]string {
	k.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(k.run("report", "--shop", "1", "--csv"))).ReadAll()
	if err != nil || len(rows) == 0 {
		k.t.Fatalf("report: %v, %d rows", err, len(rows))
	}
	lines := map[string]map[string]string{}
	for _, row := range rows[1:] {
		line := map[string]string{}
		for i, name := range rows[0] {
			line[name] = row[i]
		}
		lines[line["number"]] = line
	}
	return lines
}

// check holds the ledger against what the test knows, and returns it.
func (k *kitchen) check() map[string]map[string]string {
	k.t.Helper()
	var lines map[string]map[string]string
	says := func(number string) bool { return strings.Contains(lines[number]["told"], "owner:delivered") }
	eventually(k.t, "the ledger says who was told", func() bool {
		lines = k.ledger()
		return !slices.ContainsFunc(k.paid, func(number string) bool { return k.owner.knows(number) && !says(number) })
	})
	if len(lines) != len(k.paid) {
		k.t.Errorf("the ledger has %d orders, want %d", len(lines), len(k.paid))
	}
	for number, line := range lines {
		switch {
		case !slices.Contains(k.paid, number) || line["paid"] != "true":
			k.t.Errorf("the ledger has %v, which nobody paid", line)
		case says(number) && !k.owner.knows(number):
			k.t.Errorf("%s: the ledger says that the owner was told, and he was not: %v", number, line)
		case line["end"] != "accepted" && !says(number):
			k.t.Errorf("%s ended as neither accepted nor told: %v", number, line)
		case line["end"] == "accepted" && !strings.HasPrefix(line["by"], "console:"):
			k.t.Errorf("%s was accepted by %q", number, line["by"])
		}
	}
	k.run("verify")
	return lines
}
