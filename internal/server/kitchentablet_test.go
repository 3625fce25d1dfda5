package server

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"doorbell/transport/transporttest"
)

// tablet is a kitchen's console, and the cook before it.
type tablet struct {
	*kitchens
	shop int64
	rng  *rand.Rand
	ctx  context.Context //nolint:containedctx // its life

	mu      sync.Mutex // guards all below
	token   string
	console string // its id, from hello
	cursor  string
	conn    *simConn
	muted   bool
	frozen  bool // the browser runs nothing of the page
	cut     bool // the network
	away    bool // the cook
}

func (b *tablet) have(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// suffer strikes the tablet now and then, for some minutes.
func (b *tablet) suffer(rng *rand.Rand) {
	for wait(b.ctx, between(rng, 2*time.Minute, 25*time.Minute)) {
		var on *bool
		name := []string{"muted", "frozen", "cut", "away"}[rng.IntN(4)]
		b.have(func() {
			on = map[string]*bool{"muted": &b.muted, "frozen": &b.frozen, "cut": &b.cut, "away": &b.away}[name]
			if *on = true; name == "cut" && b.conn != nil {
				b.conn.cut()
			}
		})
		b.set(func() { b.faulty[name]++ })
		wait(b.ctx, between(rng, 30*time.Second, 8*time.Minute))
		b.have(func() { *on = false })
	}
}

// live connects again for ever, and says every 20 s whether it can be heard.
func (b *tablet) live() {
	b.token = b.credentialsOf(fmt.Sprint("tablet ", b.shop), b.shop)
	b.cursor = "0"
	var speaking sync.WaitGroup
	speaking.Go(func() {
		for wait(b.ctx, 20*time.Second) {
			b.speak()
		}
	})
	defer speaking.Wait()
	for b.ctx.Err() == nil {
		b.connect()
		wait(b.ctx, between(b.rng, 100*time.Millisecond, 2*time.Second))
	}
}

// speak says whether the page can be heard.
func (b *tablet) speak() {
	var id string
	var muted bool
	b.have(func() { id, muted = b.console, b.muted })
	b.send(http.MethodPut, "api/v1/consoles/"+id, map[string]any{"audible": !muted, "reason": "sound_not_unlocked"})
}

// send is a call of the page: a frozen one makes none, and none gets through a cut.
func (b *tablet) send(method, path string, body any) (status int) {
	for {
		var frozen, cut bool
		b.have(func() { frozen, cut = b.frozen, b.cut })
		if cut {
			return 0
		}
		if !frozen {
			break
		}
		if !wait(b.ctx, time.Second) {
			return 0
		}
	}
	status, _ = b.as(b.token, method, path, body)
	return status
}

// connect follows the stream over one connection.
func (b *tablet) connect() {
	d := transporttest.Dial{Token: b.token, Query: fmt.Sprintf("shops=%d&after=%s", b.shop, b.cursor), Patience: simPatience, Connect: func() (net.Conn, error) {
		var cut bool
		if b.have(func() { cut = b.cut }); cut {
			return nil, net.ErrClosed
		}
		conn, err := b.net.dial(between(b.rng, time.Millisecond, 100*time.Millisecond))
		if err != nil {
			return nil, err
		}
		b.have(func() { b.conn = conn })
		return conn, nil
	}}
	stream, err := transporttest.Transports()[b.rng.IntN(2)].Dial("http://127.0.0.1:8080/", d)
	if err != nil {
		return
	}
	leave := context.AfterFunc(b.ctx, stream.Close)
	defer leave()
	defer stream.Close()
	for b.ctx.Err() == nil {
		m, err := stream.Next()
		if err != nil {
			return
		}
		frozen := true
		for frozen { // what came waits in the browser
			if b.have(func() { frozen = b.frozen }); frozen && !wait(b.ctx, time.Second) {
				return
			}
		}
		b.take(m)
	}
}

func (b *tablet) take(m transporttest.Message) {
	switch {
	case m.Event == "hello":
		var hello struct{ Console, Epoch string }
		if err := json.Unmarshal([]byte(m.Raw), &hello); err != nil {
			b.t.Error(err)
		}
		b.have(func() { b.console = hello.Console })
		if b.cursor == "0" {
			b.cursor = m.Cursor
		}
		b.speak()
	case m.Event == "" && m.Shop == b.shop:
		from, _, _ := strings.Cut(b.cursor, ".")
		b.cursor = fmt.Sprintf("%s.%d:%d", from, b.shop, m.Seq)
		if m.Type <= 2 {
			b.ring(m)
		}
	case m.Event == "reset":
		b.cursor = m.Cursor
	}
}

// ring shows and sounds an alert; the cook takes it, if he hears it, or looks.
func (b *tablet) ring(m transporttest.Message) {
	var alert struct{ Number string }
	if err := json.Unmarshal([]byte(m.Raw), &alert); err != nil {
		b.t.Error(err)
	}
	var muted, away bool
	var id string
	b.have(func() { muted, away, id = b.muted, b.away, b.console })
	path, key := fmt.Sprintf("api/v1/alerts/%d/%d/", b.shop, m.Seq), fmt.Sprintf("%d/%d", b.shop, m.Seq)
	b.send(http.MethodPost, path+"receipts", map[string]any{"console": id, "stage": "shown"})
	if muted {
		b.send(http.MethodPost, path+"receipts", map[string]any{"console": id, "stage": "silent", "reason": "sound_not_unlocked"})
	} else {
		b.set(func() { b.rang[key] = true })
		if b.send(http.MethodPost, path+"receipts", map[string]any{"console": id, "stage": "sounded"}) == http.StatusNoContent {
			b.set(func() { b.sounded[key] = true })
		}
	}
	chance, after := 9, between(b.rng, 3*time.Second, 35*time.Second)
	if muted || away {
		chance, after = 2, between(b.rng, time.Minute, 4*time.Minute)
	}
	if b.rng.IntN(10) < chance && !unwanted(alert.Number) {
		time.AfterFunc(after, func() { b.press(path, alert.Number) })
	}
}

// press takes an order in hand; one that is not taken is pressed again.
func (b *tablet) press(path, number string) {
	for range 6 {
		b.set(func() { b.pressed[number] = true })
		if status := b.send(http.MethodPost, path+"accept", map[string]any{}); status == http.StatusOK {
			b.set(func() { b.accepted[number] = time.Now() })
			return
		}
		if !wait(b.ctx, 5*time.Second) {
			return
		}
	}
}

// takeByOwner: he looks which alerts of an order ring, and takes the last.
func (k *kitchens) takeByOwner(number string) {
	var shop int64
	if _, err := fmt.Sscanf(number, "D%d-", &shop); err != nil {
		k.t.Error(err)
	}
	token := k.credentialsOf("owner", shop)
	status, answer := k.as(token, http.MethodGet, fmt.Sprintf("api/v1/alerts?shop=%d&state=open&search=%s", shop, number), nil)
	var page struct {
		Alerts []struct {
			Seq    int64
			Number string
		}
	}
	if status != http.StatusOK || json.Unmarshal(answer, &page) != nil {
		return
	}
	for _, a := range page.Alerts {
		if a.Number != number {
			continue
		}
		k.set(func() { k.pressed[number] = true })
		if status, _ := k.as(token, http.MethodPost, fmt.Sprintf("api/v1/alerts/%d/%d/accept", shop, a.Seq), map[string]any{}); status == http.StatusOK {
			k.set(func() { k.accepted[number] = time.Now() })
		}
		return
	}
}
