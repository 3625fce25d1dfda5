package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
)

// fact is what the test knows of one alert that rang, or payment.
type fact struct {
	shop                       doorbell.ShopID
	seq                        doorbell.Seq
	order                      doorbell.OrderID
	number                     string
	at                         time.Time
	paid                       int64
	external, reminder         bool
	delivered, sounded, silent bool
	shown                      bool
	end                        doorbell.Progress
	told                       []string
}

// String is a fact as render has an entry.
func (f *fact) String() string {
	lacks := ""
	switch {
	case f.end == doorbell.WasCancelled:
	case f.sounded:
	case !f.delivered && !f.shown && !f.silent:
		lacks = " not_delivered"
	case f.silent:
		lacks = " silent"
	case !f.shown:
		lacks = " not_shown"
	default:
		lacks = " not_sounded"
	}
	if f.end == doorbell.HasExpired {
		lacks += " expired"
	}
	return fmt.Sprintf("%d %s %d %s told%v%s", f.seq, f.number, f.paid, f.end, f.told, lacks)
}

func render(e doorbell.LedgerEntry) string {
	lacks := ""
	for _, w := range e.Why {
		lacks += " " + string(w)
	}
	var told []string
	for _, t := range e.Told {
		told = append(told, t.To+":"+t.State)
	}
	return fmt.Sprintf("%d %s %d %s told%v%s", e.Seq, e.Number, e.Amount, e.End(), told, lacks)
}

// history is a few days of shops in two zones, by chance, and the test's own ledger.
type history struct {
	t       *testing.T
	r       *rand.Rand
	file    string
	store   *store.Store
	service *doorbell.Service
	zones   Zones
	facts   []*fact
	orders  int
}

const days = 3

// play runs a history and seals it, in virtual time.
func play(t *testing.T, seed uint64, check func(h *history)) (h *history) {
	t.Helper()
	dir := t.TempDir()
	testrun.Bubble(t, func(t *testing.T) {
		h = &history{t: t, r: rand.New(rand.NewPCG(seed, 1)), file: filepath.Join(dir, "d.db"), zones: Zones{}}
		for shop, zone := range map[doorbell.ShopID]string{0: "Asia/Shanghai", 2: "America/New_York"} {
			var err error
			if h.zones[shop], err = time.LoadLocation(zone); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if h.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + h.file}); err != nil {
			t.Fatal(err)
		}
		texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "{{.Number}}", 2: "{{.Number}}", 3: "{{.Number}}", 4: "{{.Number}}"})
		if err != nil {
			t.Fatal(err)
		}
		h.service = doorbell.NewService(h.store, doorbell.Rules{
			Texts: texts, Accounts: doorbell.NewAccounts([]doorbell.Account{{Provider: "wechat"}}),
			Reminders: doorbell.ReminderRules{Interval: time.Minute, Statuses: []doorbell.Status{2, 3, 4}},
			Ladders:   doorbell.Ladders{0: {{To: doorbell.ChannelTo("owner")}, {After: time.Minute, To: doorbell.ChannelTo("chef"), Repeat: time.Minute}}},
		}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.store.Run(ctx) }()
		defer func() {
			stop()
			if err := errors.Join(<-ended, h.store.Close()); err != nil {
				t.Error(err)
			}
		}()
		sealer := h.sealer()
		for end := time.Now().Add(days * 24 * time.Hour); time.Now().Before(end); {
			time.Sleep(time.Duration(h.r.IntN(40*60)) * time.Second)
			h.step()
			if h.r.IntN(10) == 0 {
				h.must(sealer.look(ctx))
			}
		}
		h.expire()
		time.Sleep(2*24*time.Hour + 2*Grace)
		h.must(sealer.look(ctx))
		check(h)
	})
	return h
}

func (h *history) sealer() *Sealer {
	return New(Options{Store: h.store, Zones: h.zones, Log: slog.New(slog.DiscardHandler), Node: "n"})
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// some is one of the latest facts that fit; nil where none does.
func (h *history) some(fits func(*fact) bool) *fact {
	for range 10 {
		if n := len(h.facts); n > 0 {
			if f := h.facts[n-1-h.r.IntN(min(n, 12))]; fits(f) {
				return f
			}
		}
	}
	return nil
}

func rings(f *fact) bool { return f.end == "" && time.Since(f.at) < doorbell.ExpiresAfter-time.Hour }

// sealable reports whether what is said of it still comes into its day.
func fresh(f *fact) bool { return time.Since(f.at) < 30*time.Minute }

func (h *history) step() {
	switch h.r.IntN(12) {
	case 0, 1, 2:
		h.pay()
	case 3:
		h.raise()
	case 4:
		h.remind()
	case 5, 6:
		h.receive()
	case 7:
		h.deliver()
	case 8, 9:
		h.accept()
	case 10:
		h.cancel()
	default:
		h.escalate()
	}
}

func (h *history) pay() {
	h.orders++
	shop := doorbell.ShopID(1 + h.r.IntN(2))
	o, _, err := h.service.CreateOrder(h.t.Context(), doorbell.Order{Number: fmt.Sprint("N", h.orders), Shop: shop, User: 7, Money: doorbell.Money{Minor: int64(1 + h.r.IntN(9999)), Currency: "CNY"}})
	h.must(err)
	if h.r.IntN(8) == 0 {
		return // never paid
	}
	time.Sleep(time.Duration(h.r.IntN(100)) * time.Second)
	_, err = h.service.TakeNotice(h.t.Context(), doorbell.Notice{
		Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "T" + o.Number, Number: o.Number, Money: o.Money, CheckAmount: true, BodyHash: "x",
	})
	h.must(err)
	h.note(&fact{shop: shop, order: o.ID, number: o.Number, paid: o.Minor})
}

// note adds a fact about the shop's newest alert.
func (h *history) note(f *fact) {
	_, at, err := h.store.Positions(h.t.Context(), []doorbell.ShopID{f.shop})
	h.must(err)
	f.seq, f.at = at[f.shop].Head, doorbell.Instant(time.Now())
	h.facts = append(h.facts, f)
}

func (h *history) raise() {
	h.orders++
	f := &fact{shop: doorbell.ShopID(1 + h.r.IntN(2)), order: doorbell.OrderID(1_000_000 + h.orders), number: fmt.Sprint("E", h.orders), external: true}
	_, _, err := h.service.RaiseAlert(h.t.Context(), doorbell.Raise{Type: doorbell.NewOrder, Shop: f.shop, Number: f.number, OrderID: f.order}, doorbell.Key{Subject: "till"})
	h.must(err)
	h.note(f)
}

func (h *history) remind() {
	f := h.some(func(f *fact) bool { return f.paid > 0 && !f.reminder })
	if f == nil {
		return
	}
	if _, err := h.service.Remind(h.t.Context(), f.order, "customer:7"); err == nil {
		h.note(&fact{shop: f.shop, order: f.order, number: f.number, reminder: true})
	}
}

func (h *history) receive() {
	f := h.some(fresh)
	if f == nil {
		return
	}
	stage := []doorbell.Stage{doorbell.Shown, doorbell.Sounded, doorbell.Silent}[h.r.IntN(3)]
	h.must(h.service.Receive(h.t.Context(), doorbell.Receipt{Shop: f.shop, Seq: f.seq, Console: fmt.Sprint("c", h.r.IntN(3)), Stage: stage, Reason: "muted", By: "tab"}))
	f.shown, f.sounded, f.silent = f.shown || stage == doorbell.Shown, f.sounded || stage == doorbell.Sounded, f.silent || stage == doorbell.Silent
}

// deliver marks what the test delivers beyond what it delivered before.
func (h *history) deliver() {
	f := h.some(fresh)
	if f == nil {
		return
	}
	for _, other := range h.facts {
		if other.shop == f.shop && other.seq >= f.seq && other.delivered {
			return // the first word stays
		}
	}
	h.must(h.store.SaveDeliveries(h.t.Context(), []doorbell.Delivery{{Shop: f.shop, From: f.seq, Upto: f.seq, Console: "c1", By: "tab", At: doorbell.Instant(time.Now())}}))
	f.delivered = true
}

// close ends all that rings of an order.
func (h *history) close(of *fact, as doorbell.Progress) {
	for _, f := range h.facts {
		if f.shop == of.shop && f.order == of.order && f.end == "" {
			f.end = as
		}
	}
}

func (h *history) accept() {
	f := h.some(rings)
	if f == nil {
		return
	}
	by, as := "console:cook", doorbell.WasAccepted
	if h.r.IntN(4) == 0 {
		by, as = "service:till", doorbell.WasHandled
	}
	_, err := h.service.AcceptAlert(h.t.Context(), f.shop, f.seq, by)
	h.must(err)
	h.close(f, as)
}

func (h *history) cancel() {
	f := h.some(func(f *fact) bool { return rings(f) && f.paid > 0 })
	if f == nil {
		return
	}
	_, err := h.service.CancelOrder(h.t.Context(), f.order, "service:till")
	h.must(err)
	h.close(f, doorbell.WasCancelled)
}

func (h *history) escalate() {
	f := h.some(func(f *fact) bool { return rings(f) && len(f.told) < 2 })
	if f == nil {
		return
	}
	step := doorbell.Step{Rung: len(f.told)}
	page, err := h.store.Alerts(h.t.Context(), doorbell.AlertQuery{Shop: f.shop, After: f.seq - 1, Before: f.seq + 1, Limit: 1})
	h.must(err)
	claimed, _, err := h.service.Escalate(h.t.Context(), page.Alerts[0].Alert, step, time.Minute)
	h.must(err)
	if !claimed {
		h.t.Fatal("not claimed")
	}
	to := []string{"owner", "chef"}[step.Rung]
	due, err := h.store.Due(h.t.Context(), "notify:"+to, time.Now(), 1000)
	h.must(err)
	state := "waiting"
	for _, o := range due {
		if o.Shop == f.shop && o.About == f.seq {
			o.State, o.Attempts = []doorbell.OutgoingState{doorbell.Delivered, doorbell.GivenUp, doorbell.Waiting}[h.r.IntN(3)], 1
			state = o.State.String()
			h.must(h.store.SaveAttempt(h.t.Context(), o))
		}
	}
	f.told = append(f.told, to+":"+state)
}

// expire notes what nobody will take any more.
func (h *history) expire() {
	for _, f := range h.facts {
		if f.end == "" {
			f.end = doorbell.HasExpired
		}
	}
}

// sealed lists the days that are sealed, with the test's own entries of each.
func (h *history) sealed() map[doorbell.ShopID][]string {
	out := map[doorbell.ShopID][]string{}
	for _, f := range h.facts {
		day := f.at.In(h.zones.Of(f.shop)).Format(time.DateOnly)
		if !slices.Contains(out[f.shop], day) {
			out[f.shop] = append(out[f.shop], day)
		}
	}
	return out
}
