package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// simConsole follows all shops from its own cursor.
type simConsole struct {
	sim  *simulation
	ctx  context.Context //nolint:containedctx // its life
	name string
	kind int // 0 the archivist, then what follow says
	rng  *rand.Rand

	token   string
	cookie  string
	expires time.Time // of the token

	epoch string
	at    map[int64]int64 // the last seq shown, by shop
	conn  *simConn
	sound time.Time // since when its line is sound and it has what came before
	upset bool      // a fault has struck this connection

	resetDue bool // the cursor that it came with is of another epoch
}

// transportName of the next connection: three are true to one, others hop.
func (c *simConsole) transport() transporttest.Transport {
	all := transporttest.Transports()
	switch {
	case c.epoch == "" || c.kind <= 1: // the first hello tells where it starts
		return all[0]
	case c.kind <= 3:
		return all[c.kind-1]
	default:
		return all[c.rng.IntN(3)]
	}
}

// live connects again for ever. The archivist has no faults and no nights.
func (c *simConsole) live() {
	for c.ctx.Err() == nil {
		if c.kind != 0 && !isOpen(time.Now()) && !c.sim.over() {
			time.Sleep(10 * time.Minute)
			continue
		}
		if c.kind == 6 && c.rng.IntN(10) == 0 { // a tablet that was away too long
			time.Sleep(between(c.rng, 5*time.Hour, 9*time.Hour))
		}
		if c.credentials() {
			c.connect()
		}
		time.Sleep(between(c.rng, 50*time.Millisecond, 2*time.Second))
	}
}

// credentials gets a token where there is none that is good; one console has a
// session cookie instead.
func (c *simConsole) credentials() bool {
	if time.Now().Before(c.expires.Add(-time.Second)) {
		return true
	}
	ttl := between(c.rng, 20*time.Minute, 5*time.Hour)
	if c.kind == 0 || c.kind == 4 {
		ttl = 700 * time.Hour
	}
	var got struct {
		Token   string
		Expires time.Time
	}
	body := map[string]any{"sub": c.name, "shops": []int{1, 2, 3}, "ttl": ttl.String()}
	if status := c.sim.call("POST", "api/v1/tokens", body, &got); status != http.StatusOK {
		if status != 0 && status != http.StatusServiceUnavailable {
			c.sim.model.fail("%s: a token: %d", c.name, status)
		}
		return false
	}
	c.token, c.expires = got.Token, got.Expires
	if c.kind == 4 {
		return c.login()
	}
	return true
}

func (c *simConsole) login() bool {
	c.expires = time.Time{}
	body := strings.NewReader(`{"token":"` + c.token + `"}`)
	res, err := c.sim.client.Post("http://127.0.0.1:8080/login", "application/json", body)
	if err != nil {
		return false
	}
	defer res.Body.Close() //nolint:errcheck // not read
	for _, k := range res.Cookies() {
		c.cookie, c.expires = k.Name+"="+k.Value, time.Now().Add(700*time.Hour)
	}
	return c.cookie != ""
}

func (c *simConsole) query() string {
	if c.epoch == "" {
		return "shops=1,2,3&after=0"
	}
	return fmt.Sprintf("shops=1,2,3&after=%s.1:%d,2:%d,3:%d", c.epoch, c.at[1], c.at[2], c.at[3])
}

// connect follows the stream over one connection, with the faults that hit it.
func (c *simConsole) connect() {
	d := transporttest.Dial{Token: c.token, Query: c.query(), Patience: simPatience, Connect: func() (net.Conn, error) {
		latency := time.Millisecond
		if c.kind != 0 {
			latency = between(c.rng, time.Millisecond, 300*time.Millisecond)
		}
		conn, err := c.sim.net.dial(latency)
		if err != nil {
			return nil, err
		}
		c.conn = conn
		return conn, nil
	}}
	if c.cookie != "" {
		d.Token, d.Cookie = "", c.cookie
	}
	tr := c.transport()
	asked := time.Now()
	stream, err := tr.Dial("http://127.0.0.1:8080/", d)
	if refused, ok := errors.AsType[*transporttest.Refused](err); ok {
		if refused.Status != http.StatusServiceUnavailable {
			c.sim.model.fail("%s: refused by %v", c.name, err)
		}
		return
	}
	if err != nil {
		return
	}
	c.sim.model.count(&c.sim.model.dials)
	c.sound, c.upset = time.Now(), false
	leave := context.AfterFunc(c.ctx, stream.Close)
	defer leave()
	defer stream.Close()
	var strike *time.Timer
	if c.kind != 0 {
		strike = time.AfterFunc(between(c.rng, time.Second, 3*time.Hour), func() { c.strike() })
		defer strike.Stop()
	}
	for c.ctx.Err() == nil {
		m, err := stream.Next()
		if err != nil {
			if time.Since(c.sound) > simPatience && !c.struck() && c.ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
				c.sim.model.fail("%s over %s: nothing for %v on a sound line", c.name, tr.Name, simPatience)
			}
			return
		}
		if !c.take(m, tr.Name, asked) {
			return
		}
		if c.kind != 0 && c.rng.IntN(3000) == 0 { // a page that hangs
			c.noteStrike()
			time.Sleep(between(c.rng, time.Second, 2*time.Minute))
		}
	}
}

func (c *simConsole) struck() bool {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	return c.upset
}

func (c *simConsole) noteStrike() {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.upset = true
}

// strike cuts the line, or swallows all of it for a while.
func (c *simConsole) strike() {
	c.noteStrike()
	c.sim.mu.Lock()
	hole, hold := c.sim.faults.IntN(2) == 0, between(c.sim.faults, time.Second, 3*time.Minute)
	c.sim.mu.Unlock()
	conn := c.conn
	if !hole {
		conn.cut()
		return
	}
	conn.swallow(true)
	time.AfterFunc(hold, func() { conn.swallow(false) })
}

// take checks one message; false ends the connection.
func (c *simConsole) take(m transporttest.Message, over string, asked time.Time) bool {
	model := c.sim.model
	if c.cookie == "" && time.Now().After(c.expires.Add(simLate)) && !c.struck() && over != "poll" {
		model.fail("%s over %s: %s came %v after its token's end", c.name, over, m.Raw, time.Since(c.expires))
	}
	switch m.Event {
	case "hello":
		if !model.goodEpoch(m.Epoch) {
			model.fail("%s: hello of epoch %s", c.name, m.Epoch)
		}
		c.resetDue = c.epoch != "" && m.Epoch != c.epoch
		if c.epoch == "" {
			c.begin(m)
		}
	case "":
		if c.resetDue {
			model.fail("%s over %s: got %s with a cursor of another epoch, and no reset", c.name, over, m.Raw)
		}
		return c.alert(m, over)
	case "reset":
		c.resetDue = false
		return c.reset(m)
	case "bye":
		if m.Reason == "auth" {
			model.count(&model.ended)
			if c.cookie != "" || time.Now().Before(c.expires.Add(-time.Second)) {
				model.fail("%s: ended as if its token were over, %v before", c.name, time.Until(c.expires))
			}
			c.expires = time.Time{}
		}
		return over == "poll" && m.Reason != "auth"
	case "ping", "announce":
	default:
		model.fail("%s: got %s", c.name, m.Raw)
	}
	return true
}

// begin starts from the oldest alert kept, as the first hello tells.
func (c *simConsole) begin(hello transporttest.Message) {
	from, err := doorbell.ParseCursor(hello.Cursor)
	if err != nil {
		c.sim.model.fail("%s: %v", c.name, err)
		return
	}
	c.epoch = hello.Epoch
	for shop, seq := range from.Seqs {
		if c.at[int64(shop)] = int64(seq); seq > 0 && !c.sim.model.mayBePruned(int64(shop), int64(seq)) {
			c.sim.model.fail("%s: begins after alert %d of shop %d", c.name, seq, shop)
		}
	}
}

func (c *simConsole) alert(m transporttest.Message, over string) bool {
	model := c.sim.model
	if last := c.at[m.Shop]; m.Seq != last+1 {
		model.fail("%s over %s: got %s after seq %d", c.name, over, m.Raw, last)
		return false
	}
	c.at[m.Shop] = m.Seq
	shown := model.show(c.name, m)
	switch late := time.Since(shown.at); {
	case late <= simLate || c.struck():
	case shown.at.Before(c.sound.Add(simLate)):
		c.sound = time.Now() // still reading what came before, as quick as its line is
	default:
		model.fail("%s over %s: %s came %v late on a sound line", c.name, over, m.Raw, late)
	}
	if m.Type <= 2 && c.kind != 0 && c.rng.IntN(3) == 0 {
		c.accept(m.Shop, m.Seq)
	}
	return true
}

// accept presses the button some time later.
func (c *simConsole) accept(shop, seq int64) {
	wait := between(c.rng, time.Second, 4*time.Minute)
	time.AfterFunc(wait, func() {
		var closing struct {
			Alert struct {
				Type int
				Seq  int64
			}
		}
		req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:8080/api/v1/alerts/%d/%d/accept", shop, seq), nil)
		if err != nil {
			c.sim.model.fail("%v", err)
			return
		}
		token, err := c.sim.tokens.Issue(doorbell.Grant{
			Subject: c.name, Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1, 2, 3}}, Expires: time.Now().Add(time.Hour),
		})
		if err != nil {
			c.sim.model.fail("%v", err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := c.sim.client.Do(req)
		if err != nil {
			return // the server is away; somebody else accepts
		}
		defer res.Body.Close() //nolint:errcheck // read
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode == http.StatusServiceUnavailable {
			return
		}
		if err := json.Unmarshal(text, &closing); err != nil || res.StatusCode != http.StatusOK || closing.Alert.Type < 3 || closing.Alert.Seq <= seq {
			if res.StatusCode != http.StatusNotFound || !c.sim.model.mayBePruned(shop, seq) {
				c.sim.model.fail("%s: accept %d of shop %d: %d %s", c.name, seq, shop, res.StatusCode, text)
			}
		}
		c.sim.model.count(&c.sim.model.accepts)
	})
}

// reset is right only where the cursor can't be honoured; the snapshot taken
// then must be the log's.
func (c *simConsole) reset(m transporttest.Message) bool {
	model := c.sim.model
	model.count(&model.resets)
	to, err := doorbell.ParseCursor(m.Cursor)
	if err != nil {
		model.fail("%s: %v", c.name, err)
		return false
	}
	for _, shop := range m.Shops {
		switch m.Reason {
		case "epoch":
			if !model.changedSince(c.epoch) && c.epoch == to.Epoch {
				model.fail("%s: reset by epoch, and it is the same: %s", c.name, m.Raw)
			}
		case "pruned":
			if at := c.at[shop]; !model.mayBePruned(shop, at+1) {
				model.fail("%s: reset as pruned at %d of shop %d, which is kept", c.name, at, shop)
			}
		default:
			model.fail("%s: %s", c.name, m.Raw)
		}
		c.at[shop] = int64(to.Seqs[doorbell.ShopID(shop)])
	}
	c.epoch = to.Epoch
	return true
}
