package doorbell

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCursor(t *testing.T) {
	c, err := ParseCursor("k3f9.7:9,1:42")
	if err != nil || c.String() != "k3f9.1:42,7:9" {
		t.Errorf("got %s, %v; want k3f9.1:42,7:9", c, err)
	}
	if c, err := ParseCursor("k3f9."); err != nil || len(c.Seqs) != 0 {
		t.Errorf("a cursor of no shop: %v, %v", c, err)
	}
	for _, bad := range []string{
		"", "0", "k", ".1:1", "K.1:1", "k.1", "k.1:", "k.:1", "k.0:1", "k.1:-1", "k.+1:1", "k.1:1,", "k.1:1,1:2", "k.1:1 ", "k.9007199254740992:1",
		"k.1:99999999999999999999", strings.Repeat("k", 33) + ".1:1", "k." + strings.Repeat("1:1,", 2000),
	} {
		if _, err := ParseCursor(bad); !errors.Is(err, ErrBadCursor) {
			t.Errorf("%.40q: %v, want ErrBadCursor", bad, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("k3f9.1:42,7:9")
	f.Add("k.")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(text)
		if err != nil {
			return
		}
		again, err := ParseCursor(c.String())
		if err != nil || cmp.Diff(c, again) != "" {
			t.Errorf("%q became %s, which reads as %v, %v", text, c, again, err)
		}
	})
}

// TestAlertBytes holds the shape of the contract, byte for byte.
func TestAlertBytes(t *testing.T) {
	a := Alert{
		Type: 1, OrderID: 123, Content: "订单号: <1653904906519>", Shop: 1, Seq: 42, Number: "1653904906519", Source: FromOrder,
		Time: time.Date(2026, 11, 22, 12, 0, 0, 120_000_000, time.UTC),
	}
	want := `{"type":1,"orderId":123,"content":"订单号: <1653904906519>","shopId":1,"seq":42,"number":"1653904906519","source":"order","time":"2026-11-22T12:00:00.120Z"}`
	if got := string(a.Encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.Test = true
	if got := string(a.Encode()); got != strings.TrimSuffix(want, "}")+`,"test":true}` {
		t.Errorf("on trial: %s", got)
	}
}

func TestPay(t *testing.T) {
	now := time.Now()
	notice := Notice{Provider: "wechat", Transaction: "T1", Money: Money{100, "CNY"}, CheckAmount: true}
	unpaid := Order{Status: ToBePaid, Money: Money{100, "CNY"}}
	paid, verdict := unpaid.Pay(notice, now)
	if verdict != Settled || paid.Status != ToBeAccepted || paid.PayStatus != Paid || paid.Transaction != "T1" {
		t.Fatalf("paid: %+v, %s", paid, verdict)
	}
	edit := func(f func(*Notice)) Notice { n := notice; f(&n); return n }
	for _, c := range []struct {
		name    string
		order   Order
		notice  Notice
		verdict Verdict
		changed bool
	}{
		{"the same again", paid, notice, Repeated, false},
		{"another transaction", paid, edit(func(n *Notice) { n.Transaction = "T2" }), OtherTransaction, false},
		{"another provider's", paid, edit(func(n *Notice) { n.Provider = "alipay" }), OtherTransaction, false},
		{"another amount", unpaid, edit(func(n *Notice) { n.Minor = 1 }), AmountDiffers, false},
		{"another currency", unpaid, edit(func(n *Notice) { n.Currency = "USD" }), AmountDiffers, false},
		{"another amount, unchecked", unpaid, edit(func(n *Notice) { n.Minor, n.CheckAmount = 1, false }), Settled, true},
		{"cancelled before", Order{Status: Cancelled, Money: unpaid.Money}, notice, PaidAfterCancel, true},
		{"another one was given back", Order{Status: Accepted, PayStatus: Refunded, Transaction: "T0", Money: unpaid.Money}, notice, Settled, true},
		{"it was given back", Order{Status: ToBeAccepted, PayStatus: Refunded, Provider: "wechat", Transaction: "T1", Money: unpaid.Money}, notice, Repeated, false},
	} {
		got, verdict := c.order.Pay(c.notice, now)
		changed := !cmp.Equal(got, c.order)
		if verdict != c.verdict || changed != c.changed {
			t.Errorf("%s: %s (changed %v), want %s (%v)", c.name, verdict, changed, c.verdict, c.changed)
		}
		if c.order.Status == Cancelled && got.Status != Cancelled {
			t.Errorf("%s: revived", c.name)
		}
	}
}

func TestRemind(t *testing.T) {
	rules := ReminderRules{Interval: time.Minute, Statuses: []Status{ToBeAccepted, Accepted}}
	now := time.Now()
	paid := Order{Status: ToBeAccepted, PayStatus: Paid}
	edit := func(f func(*Order)) Order { o := paid; f(&o); return o }
	for _, c := range []struct {
		name  string
		order Order
		code  Code
	}{
		{"the first", paid, ""},
		{"unpaid", edit(func(o *Order) { o.PayStatus = Unpaid }), Conflict},
		{"refunded", edit(func(o *Order) { o.PayStatus = Refunded }), Conflict},
		{"done", edit(func(o *Order) { o.Status = Done }), Conflict},
		{"a minute ago", edit(func(o *Order) { o.RemindedAt = now.Add(-time.Minute) }), ""},
		{"just now", edit(func(o *Order) { o.RemindedAt = now.Add(-59 * time.Second) }), TooSoon},
		{"in the future, after the clock was set back", edit(func(o *Order) { o.RemindedAt = now.Add(time.Hour) }), ""},
		{"after it was set back by less than the interval", edit(func(o *Order) { o.RemindedAt = now.Add(6 * time.Second) }), ""},
		{"by a node whose clock is ahead", edit(func(o *Order) { o.RemindedAt = now.Add(4 * time.Second) }), TooSoon},
	} {
		got, err := c.order.Remind(rules, now)
		if _, again := got.Remind(rules, now); err == nil && CodeOf(again) != TooSoon {
			t.Errorf("%s: twice at once: %v", c.name, again)
		}
		if CodeOf(err) != c.code || err == nil && got.RemindedAt != now {
			t.Errorf("%s: %v, %v; want %q", c.name, got.RemindedAt, err, c.code)
		}
		if e, ok := errors.AsType[*Error](err); ok && c.code == TooSoon && (e.RetryAfter <= 0 || e.RetryAfter > time.Minute) {
			t.Errorf("%s: again after %v, want at most a minute", c.name, e.RetryAfter)
		}
	}
}

func TestDerivedOrderIDs(t *testing.T) {
	a := Raise{Shop: 1, Number: "X"}.orderID()
	if b := (Raise{Shop: 1, Number: "X"}).orderID(); a != b {
		t.Errorf("%d and %d for the same number", a, b)
	}
	if b := (Raise{Shop: 2, Number: "X"}).orderID(); a == b {
		t.Error("two shops share an id")
	}
	if a < 1<<52 || a > MaxID {
		t.Errorf("%d is not from 2^52 to 2^53-1", a)
	}
}
