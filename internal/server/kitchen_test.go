package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// TestKitchenDay runs the whole program through a day in three kitchens, in virtual
// time: tablets are muted, freeze and lose the network, cooks go out, the server is
// replaced, the owner's phone does not answer. Every order ends as accepted, as
// cancelled, or with somebody told; and the sealed ledger says which.
func TestKitchenDay(t *testing.T) {
	if raceDetector {
		t.Skip("make days runs it without the race detector: see TestSimulatedDays")
	}
	seed := transporttest.Seed(t)
	for i := range transporttest.Size(t, "DOORBELL_TEST_KITCHENS", 1) {
		own := seed + uint64(i)
		t.Run(fmt.Sprintf("seed %d", own), func(t *testing.T) {
			testrun.Bubble(t, func(t *testing.T) { newKitchens(t, own).day() })
			if t.Failed() {
				t.Logf("replay with DOORBELL_TEST_SEED=%d", own)
			}
		})
	}
}

// kitchens are three shops, their owner, and what the test knows of their orders.
type kitchens struct {
	*simulation
	t     *testing.T
	phone *simNet
	rng   *rand.Rand

	known    sync.Mutex             // guards all below
	told     map[string][]time.Time // by number: when the phone took a message of it
	accepted map[string]time.Time   // the last that was answered with 200
	pressed  map[string]bool        // also where no answer came
	sounded  map[string]bool        // answered with 204
	rang     map[string]bool        // also where no answer came
	silent   bool                   // the phone does not answer
	faulty   map[string]int
}

func newKitchens(t *testing.T, seed uint64) *kitchens {
	k := &kitchens{
		simulation: &simulation{t: t, cfg: config.Default(), net: &simNet{}, logs: &bytes.Buffer{}}, t: t, phone: &simNet{},
		rng: rand.New(rand.NewPCG(seed, 0)), told: map[string][]time.Time{}, accepted: map[string]time.Time{}, pressed: map[string]bool{},
		sounded: map[string]bool{}, rang: map[string]bool{}, faulty: map[string]int{},
	}
	k.cfg.Database.URL = "sqlite://" + filepath.Join(t.TempDir(), "d.db")
	k.cfg.Shops = []config.Shop{{ID: 1, Name: "总店", Timezone: "UTC"}, {ID: 2, Timezone: "UTC"}, {ID: 3, Timezone: "UTC"}}
	k.cfg.Channels = []config.Channel{{Name: "owner", URL: "ntfy://ntfy.sh/owner?api=http://127.0.0.1:8080"}, {Name: "chef", URL: "ntfy://ntfy.sh/chef?api=http://127.0.0.1:8080"}}
	k.cfg.Escalation = map[string][]config.Rung{
		"default": {{After: 40 * time.Second, To: []string{"owner"}}, {After: 2 * time.Minute, To: []string{"owner", "chef"}, Repeat: 3 * time.Minute}},
	}
	k.model = newModel(simRetention, t.Errorf)
	k.faults = rand.New(rand.NewPCG(seed, 1))
	k.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return k.net.dial(time.Millisecond) },
	}}
	return k
}

// own is one more stream of chance.
func (k *kitchens) own() *rand.Rand { return rand.New(rand.NewPCG(k.rng.Uint64(), 7)) }

// day plays the day, and a quarter of an hour two nights later, when it is sealed.
func (k *kitchens) day() {
	time.Sleep(11 * time.Hour)
	k.until = time.Now().Add(2 * time.Hour)
	if err := k.credentials(); err != nil {
		k.t.Fatal(err)
	}
	stopPhone := k.answerPhone()
	defer stopPhone()
	begun := make(chan struct{})
	var served, shops, tablets sync.WaitGroup
	serving := k.own()
	served.Go(func() { k.serveKitchens(serving, begun) })
	<-begun
	ctx, end := context.WithCancel(context.Background())
	for shop := range int64(3) {
		sales, fate, cook := k.own(), k.own(), k.own()
		shops.Go(func() { k.sell(shop+1, sales) })
		tablet := &tablet{kitchens: k, shop: shop + 1, rng: cook, ctx: ctx}
		tablets.Go(tablet.live)
		tablets.Go(func() { tablet.suffer(fate) })
	}
	phone := k.own()
	tablets.Go(func() { k.switchPhone(ctx, phone) })
	shops.Wait()
	time.Sleep(10 * time.Minute) // what still rings is told once more
	end()
	tablets.Wait()
	k.stopServing()
	served.Wait()
	time.Sleep(37 * time.Hour)
	k.check(k.seal())
	k.client.CloseIdleConnections()
}

func (k *kitchens) stopServing() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closing = true
}

// serveKitchens runs the program and replaces it now and then.
func (k *kitchens) serveKitchens(rng *rand.Rand, begun chan struct{}) {
	for life := 0; !k.isClosing(); life++ {
		k.live(func() {
			if life == 0 {
				close(begun)
			}
			for next := time.Now().Add(between(rng, 10*time.Minute, 90*time.Minute)); time.Now().Before(next) && !k.isClosing(); {
				time.Sleep(10 * time.Second)
			}
		})
		if !k.isClosing() {
			time.Sleep(between(rng, 0, 2*time.Minute))
		}
	}
}

// live is one life of the server.
func (k *kitchens) live(during func()) {
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: k.logs, mu: &k.mu}, &slog.HandlerOptions{Level: slog.LevelError}))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a, err := build(ctx, testOptions(k.cfg, log), faults{log: k.remember, publish: k.publish, dial: func(context.Context, string, string) (net.Conn, error) {
		return k.phone.dial(5 * time.Millisecond)
	}})
	if err != nil {
		k.t.Errorf("build: %v", err)
		return
	}
	ended := make(chan error, 1)
	ln := k.net.listen()
	go func() { ended <- a.Run(ctx, Listeners{Consoles: ln}, io.Discard) }()
	during()
	cancel()
	if err := <-ended; err != nil {
		k.t.Errorf("run: %v", err)
	}
}

// seal runs the server for a quarter of an hour and returns the shops' days.
func (k *kitchens) seal() (days []doorbell.LedgerDay) {
	k.live(func() { time.Sleep(15 * time.Minute) })
	s, err := store.Open(context.Background(), store.Options{URL: k.cfg.Database.URL})
	if err != nil {
		k.t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // it was read only
	for shop := range doorbell.ShopID(3) {
		d, sealed, err := s.SealedDay(context.Background(), shop+1, "2000-01-01")
		if !sealed || err != nil {
			k.t.Errorf("the day of shop %d is not sealed, %v", shop+1, err)
		}
		days = append(days, d)
	}
	if found, err := store.Verify(context.Background(), k.cfg.Database.URL); err != nil || len(found) > 0 {
		k.t.Errorf("verify: %v %v", found, err)
	}
	return days
}

var numbersTold = regexp.MustCompile(`(?:订单|催单) (\S+) 已响`)

// answerPhone is the service that brings messages to the owner. He goes and takes
// most of what he is told of.
func (k *kitchens) answerPhone() (stop func()) {
	rng := k.own()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Message string }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil {
			k.t.Errorf("the phone got %s", body)
		}
		k.known.Lock()
		defer k.known.Unlock()
		if k.silent {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		for _, found := range numbersTold.FindAllStringSubmatch(m.Message, -1) {
			number := found[1]
			if k.told[number] = append(k.told[number], time.Now()); rng.IntN(3) > 0 && !unwanted(number) {
				wait := between(rng, 30*time.Second, 3*time.Minute)
				time.AfterFunc(wait, func() { k.takeByOwner(number) })
			}
		}
		_, _ = io.WriteString(w, `{"id":"1"}`) // to itself
	})}
	ln := k.phone.listen()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ln) })
	return func() { _ = server.Close(); serving.Wait() }
}

// unwanted are the orders that nobody takes, whoever is told.
func unwanted(number string) bool { return strings.HasSuffix(number, "3") }

// switchPhone has the phone's service fail for some minutes now and then.
func (k *kitchens) switchPhone(ctx context.Context, rng *rand.Rand) {
	for wait(ctx, between(rng, 5*time.Minute, time.Hour)) {
		k.set(func() { k.silent = true; k.faulty["phone"]++ })
		wait(ctx, between(rng, 10*time.Second, 6*time.Minute))
		k.set(func() { k.silent = false })
	}
}

func (k *kitchens) set(f func()) {
	k.known.Lock()
	defer k.known.Unlock()
	f()
}

// wait reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// check compares the sealed days with what the test knows.
func (k *kitchens) check(days []doorbell.LedgerDay) {
	ends, paid := map[string]int{}, 0
	for _, d := range days {
		for i, e := range d.Entries {
			what := fmt.Sprintf("shop %d, line %d (%v)", d.Shop, i+1, e)
			told := len(k.told[e.Number]) > 0
			accepted := k.accepted[e.Number].After(e.Time)
			end := string(e.End())
			if e.End() == doorbell.HasExpired {
				end = "told"
			}
			ends[end]++
			if e.Paid {
				paid++
			}
			switch {
			case e.Type == doorbell.NewOrder && (!e.Paid || e.Amount != 1250):
				k.t.Errorf("%s: paid %v, %d", what, e.Paid, e.Amount)
			case e.ToldSomebody() && !told:
				k.t.Errorf("%s: the ledger says that somebody was told, and nobody was", what)
			case e.End() == doorbell.HasExpired && !e.ToldSomebody():
				k.t.Errorf("%s: nobody took it, and nobody was told: %+v", what, e)
			case e.End() == "":
				k.t.Errorf("%s: it has no end in a sealed day", what)
			case e.End() == doorbell.WasAccepted && !k.pressed[e.Number]:
				k.t.Errorf("%s: accepted, and nobody did", what)
			case e.End() == doorbell.HasExpired && accepted && e.Type == doorbell.NewOrder:
				k.t.Errorf("%s: it was accepted at %v, and the ledger does not know", what, k.accepted[e.Number])
			}
			heard := false
			for _, r := range e.Reached {
				heard = heard || r.Progress == doorbell.WasSounded
			}
			if id := fmt.Sprintf("%d/%d", d.Shop, e.Seq); heard != k.sounded[id] && heard != k.rang[id] {
				k.t.Errorf("%s: heard %v; a console has said so: %v, answered %v", what, heard, k.rang[id], k.sounded[id])
			}
		}
	}
	k.checkTold(days)
	k.t.Logf("%d paid; lines that ended as %v; faults %v", paid, ends, k.faulty)
	if paid < 30 || ends["accepted"] == 0 || ends["told"] == 0 {
		k.t.Errorf("the day was too quiet to show anything")
	}
}

// checkTold: nobody is told of what does not ring, but for what was on its way when it
// was taken. A message that waited while no server ran is sent however late: nobody took
// the order, and this may be the only one that tells of it.
func (k *kitchens) checkTold(days []doorbell.LedgerDay) {
	entries := map[string][]doorbell.LedgerEntry{}
	for _, d := range days {
		for _, e := range d.Entries {
			entries[e.Number] = append(entries[e.Number], e)
		}
	}
	for number, all := range k.told {
		for _, at := range all {
			if !slices.ContainsFunc(entries[number], func(e doorbell.LedgerEntry) bool {
				end := e.Reached[len(e.Reached)-1]
				taken := e.End() != "" && e.End() != doorbell.HasExpired
				return !at.Before(e.Time.Add(40*time.Second)) && (!taken || !at.After(end.At.Add(5*time.Second)))
			}) {
				k.t.Errorf("%s was told of at %v, when nothing of it had rung for 40 s: %+v", number, at, entries[number])
			}
		}
	}
}

// credentialsOf is a token of somebody at a shop's console.
func (k *kitchens) credentialsOf(name string, shop int64) string {
	token, err := k.tokens.Issue(doorbell.Grant{
		Subject: name, Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{doorbell.ShopID(shop)}}, Expires: time.Now().Add(100 * time.Hour),
	})
	if err != nil {
		k.t.Error(err)
	}
	return token
}

// as is one call of somebody; 0 where no answer came.
func (k *kitchens) as(token, method, path string, body any) (status int, answer []byte) {
	text, err := json.Marshal(body)
	if err != nil {
		k.t.Error(err)
	}
	req, err := http.NewRequest(method, "http://127.0.0.1:8080/"+path, bytes.NewReader(text))
	if err != nil {
		k.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close() //nolint:errcheck // read
	if answer, err = io.ReadAll(res.Body); err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}
