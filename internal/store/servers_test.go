package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// onServers runs a test on every database server.
func onServers(t *testing.T, test func(t *testing.T, db database)) {
	t.Helper()
	for _, db := range servers() {
		t.Run(db.name, func(t *testing.T) { test(t, db) })
	}
}

// rawDB opens a database with its driver alone.
func rawDB(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	v, err := serverOf(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db := v.pool(false, 2)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestAwkwardTexts: keys compare byte by byte, searches ignore case, and texts
// that can't be stored are refused, the same on every database.
func TestAwkwardTexts(t *testing.T) { onAll(t, testAwkwardTexts) }

func testAwkwardTexts(t *testing.T, db database) {
	s := db.open(t, nil)
	for _, number := range []string{"a1", "A1", "Á1", "a1 ", "ａ1"} {
		if _, err := newOrder(t, s, 0, number); err != nil {
			t.Errorf("%q: %v", number, err)
		}
	}
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		for i, subject := range []string{"till", "Till", "till "} {
			k := doorbell.Key{Subject: subject, Shop: 1, Value: "k"}
			if _, _, found, err := tx.Key(k); err != nil || found {
				t.Errorf("the key of %q is known: %v, %v", subject, found, err)
			}
			if err := tx.SaveKey(k, "h", doorbell.Seq(i+1), now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, content := range []string{"Kung Pao 100% 🍜", "kung_pao", "KUNGXPAO", `back\slash !`} {
		a := alertOf(1, 1, doorbell.NewOrder)
		a.Content, a.Number = content, "N"
		appendOne(t, s, a)
	}
	for search, want := range map[string]int{"kung": 3, "g_p": 1, "%": 1, `\`: 1, "!": 1, "🍜": 1, "none": 0} {
		page, err := s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, Search: search, Limit: 10})
		if err != nil || len(page.Alerts) != want {
			t.Errorf("searching %q finds %d, %v; want %d", search, len(page.Alerts), err, want)
		}
	}
	if db.name == "sqlite" {
		return // SQLite stores any bytes
	}
	a := alertOf(1, 9, doorbell.NewOrder)
	for _, text := range []string{"a\x00b", "a\xffb"} {
		a.Actor = text
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			_, err := tx.Append(a)
			return err
		})
		if doorbell.CodeOf(err) != doorbell.Invalid {
			t.Errorf("%q: %v, want invalid", text, err)
		}
		if _, err := s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, Search: text, Limit: 10}); doorbell.CodeOf(err) != doorbell.Invalid {
			t.Errorf("searching %q: %v, want invalid", text, err)
		}
	}
}

// TestSameNoticeAtOnce: several nodes receive the same payment many times at once
// while its order is created: one order, one alert, and one row of the inbox that
// counts all calls.
func TestSameNoticeAtOnce(t *testing.T) { onAll(t, testSameNoticeAtOnce) }

func testSameNoticeAtOnce(t *testing.T, db database) {
	at := db.url(t)
	nodes := []*doorbell.Service{service(t, at)}
	if db.name != "sqlite" {
		nodes = append(nodes, service(t, at))
	}
	money := doorbell.Money{Minor: 100, Currency: "CNY"}
	const rounds, calls = 5, 8
	for round := range rounds {
		number := fmt.Sprint("N-", round)
		var calling sync.WaitGroup
		var settled atomic.Int64
		for i := range calls {
			node := nodes[i%len(nodes)]
			calling.Go(func() {
				n := doorbell.Notice{Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "T" + number, Number: number, Money: money, CheckAmount: true}
				if verdict, err := node.TakeNotice(context.WithoutCancel(t.Context()), n); err != nil {
					t.Error(err)
				} else if verdict == doorbell.Settled {
					settled.Add(1)
				}
			})
			calling.Go(func() {
				if i > 2 {
					return
				}
				o := doorbell.Order{Number: number, Shop: 1, User: 1, Money: money}
				if _, _, err := node.CreateOrder(context.WithoutCancel(t.Context()), o); err != nil {
					t.Error(err)
				}
			})
		}
		calling.Wait()
		if settled.Load() > 1 {
			t.Errorf("%s was settled %d times", number, settled.Load())
		}
	}
	if findings, err := Verify(t.Context(), at); err != nil || len(findings) > 0 {
		t.Errorf("findings %q, %v", findings, err)
	}
	s := openURL(t, at, nil)
	alerts, err := s.AlertsAfter(t.Context(), 1, 0, 100)
	if err != nil || len(alerts) != rounds {
		t.Errorf("%d alerts, %v; want one for each order", len(alerts), err)
	}
	lines, err := s.Inbox(t.Context(), InboxQuery{Limit: 100})
	if err != nil || len(lines) != rounds {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	for _, l := range lines {
		if l.Times != calls || l.Verdict != doorbell.Settled {
			t.Errorf("%s was counted %d times as %s, want %d as settled", l.Number, l.Times, l.Verdict, calls)
		}
	}
}

// service returns a node that uses the database.
func service(t *testing.T, at string) *doorbell.Service {
	t.Helper()
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "{{.Number}}", 2: "{{.Number}}", 3: "{{.Number}}", 4: "{{.Number}}"})
	if err != nil {
		t.Fatal(err)
	}
	return doorbell.NewService(openURL(t, at, nil), doorbell.Rules{Texts: texts}, slog.New(slog.DiscardHandler))
}

// TestNodesAtOnce: two nodes write to the same shops; the log has no gap, and the
// server reports no deadlock.
func TestNodesAtOnce(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		var mu sync.Mutex
		published := map[string]int{}
		publish := func(alerts []doorbell.Alert) {
			mu.Lock()
			defer mu.Unlock()
			for _, a := range alerts {
				published[fmt.Sprint(a.Shop, "/", a.Seq)]++
			}
		}
		nodes := []*Store{openURL(t, at, publish), openURL(t, at, publish)}
		var writing sync.WaitGroup
		for i := range 64 { // the first alerts of new shops, concurrently
			writing.Go(func() {
				for k := range 4 {
					appendOne(t, nodes[i%2], alertOf(doorbell.ShopID(k%2+1), doorbell.OrderID(i), doorbell.NewOrder))
				}
			})
		}
		writing.Wait()
		for shop := doorbell.ShopID(1); shop <= 2; shop++ {
			alerts, err := nodes[0].AlertsAfter(t.Context(), shop, 0, 200)
			if err != nil || len(alerts) != 128 || alerts[127].Seq != 128 {
				t.Errorf("shop %d has %d alerts, %v; want 128 without a gap", shop, len(alerts), err)
			}
		}
		if len(published) != 256 {
			t.Errorf("%d alerts were published, want 256", len(published))
		}
		for _, n := range nodes {
			w := n.writer.(*poolWriter)
			if d := w.deadlocks.Load(); d != 0 {
				t.Errorf("%d deadlocks", d)
			}
			t.Logf("%d repeated runs", w.again.Load())
		}
	})
}

// TestMoneyOnABusyServer: payments, presses and calls are written while every
// other lane is full of changes that wait for a lock, and so are receipts.
func TestMoneyOnABusyServer(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		s := db.open(t, nil)
		hold, held := make(chan struct{}), make(chan struct{}, 1000)
		var busy sync.WaitGroup
		blocked := func(how func(context.Context, func(doorbell.Tx) error) error) {
			busy.Go(func() {
				_ = how(context.Background(), func(doorbell.Tx) error {
					held <- struct{}{}
					<-hold
					return nil
				})
			})
		}
		for range 40 {
			blocked(s.Write)
			blocked(s.WritePress)
		}
		for range 10 { // the ten connections that serve calls and presses
			<-held
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		err := s.WriteUrgent(ctx, func(tx doorbell.Tx) error {
			_, err := tx.Append(alertOf(1, 1, doorbell.NewOrder))
			return err
		})
		if err != nil {
			t.Errorf("a payment while calls and presses use all their connections: %v", err)
		}
		if err := s.SaveReceipt(ctx, doorbell.Receipt{Shop: 1, Seq: 1, Console: "c", Stage: doorbell.Shown}); err != nil {
			t.Errorf("a receipt meanwhile: %v", err)
		}
		close(hold)
		busy.Wait()
	})
}
