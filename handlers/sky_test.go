package handlers_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// The secrets as the tutorial publishes them.
const (
	skyAdminSecret = "itcast"
	skyUserSecret  = "itheima"
)

// withSky admits by their tokens.
func withSky(c *config.Config) {
	c.Sky.Secret = config.SkySecrets{Admin: skyAdminSecret, User: skyUserSecret}
}

// skyToken is one as their backend makes it, good for so long.
func skyToken(t testing.TB, secret, claim string, id int64, lasts time.Duration) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{claim: id, "exp": time.Now().Add(lasts).Unix()})
	delete(token.Header, "typ")
	text, err := token.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func employeeToken(t testing.TB, lasts time.Duration) string {
	t.Helper()
	return skyToken(t, skyAdminSecret, "empId", 1, lasts)
}

// page is their admin page's connection: no subprotocol, the Host that their nginx
// passes on, and what the browser sends along.
func (s *testServer) page(headers ...string) (*websocket.Conn, int) {
	s.t.Helper()
	h := http.Header{"Host": {"webservers"}, "Origin": {"http://localhost"}}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			h.Del(headers[i])
			continue
		}
		h.Set(headers[i], headers[i+1])
	}
	sid := strconv.FormatInt(time.Now().UnixNano(), 36)
	c, res, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1)+"ws/0."+sid, h)
	if res == nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing in it
	if err == nil {
		s.t.Cleanup(func() { _ = c.Close() }) // the test's end
	}
	return c, res.StatusCode
}

// nextAlert reads one alert off a plain connection.
func nextAlert(t testing.TB, c *websocket.Conn) (content string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, text, err := c.ReadMessage()
	if err != nil {
		t.Fatalf("no alert: %v", err)
	}
	_, content, _ = strings.Cut(string(text), `"content":"`)
	content, _, _ = strings.Cut(content, `"`)
	return content
}

// TestSkyAdmission: their cookie or header opens a plain stream of shop 1 behind
// their nginx, without a line of auth.origins; what else the browser sends along
// neither refuses it nor leads it elsewhere.
func TestSkyAdmission(t *testing.T) {
	s := newServer(t, withSky)
	good := employeeToken(t, time.Hour)
	session := func(shop int64) string {
		r := s.do("POST", "login", `{"token":"`+s.token(doorbell.RoleConsole, "till", shop)+`"}`)
		return cookieOf(t, r)
	}
	second := session(2)
	for _, c := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"the cookie", []string{"Cookie", "token=" + good}, 101},
		{"the header", []string{"token", good}, 101},
		{"beside a session that has ended", []string{"Cookie", "token=" + good + "; " + handlers.Cookie + "=gone"}, 101},
		{"beside another shop's session", []string{"Cookie", "token=" + good + "; " + second}, 101},
		{"beside a stray Authorization", []string{"Cookie", "token=" + good, "Authorization", "Bearer nonsense"}, 101},
		{"beside another shop's token", []string{"Cookie", "token=" + good, "Authorization", "Bearer " + s.token(doorbell.RoleConsole, "x", 2)}, 101},
		{"behind another program's cookie", []string{"Cookie", "token=other; token=" + good}, 101},
		{"from the proxy's own port", []string{"Cookie", "token=" + good, "Origin", "http://localhost:8081"}, 101},
		{"no cookie", nil, 403},
		{"over", []string{"Cookie", "token=" + employeeToken(t, -time.Minute)}, 403},
		{"a customer's", []string{"Cookie", "token=" + skyToken(t, skyUserSecret, "userId", 1, time.Hour)}, 403},
		{"from another page", []string{"Cookie", "token=" + good, "Origin", "https://evil.example"}, 403},
		{"over, no page", []string{"Cookie", "token=" + employeeToken(t, -time.Minute), "Origin", ""}, 401},
	} {
		conn, status := s.page(c.headers...)
		if status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
			continue
		}
		if status != 101 {
			continue
		}
		testrun.Eventually(t, c.name+" connected", func() bool { return s.streams() == 1 })
		s.raise(2, doorbell.NewOrder, 1, "shop 2")
		s.raise(1, doorbell.NewOrder, 1, c.name)
		if got := nextAlert(t, conn); got != c.name {
			t.Errorf("%s: heard %q", c.name, got)
		}
		s.raise(1, doorbell.TakenCare, 1, "")
		_ = conn.Close() // the next one is alone
		testrun.Eventually(t, c.name+" left", func() bool { return s.streams() == 0 })
	}
	s.do("GET", "api/v1/alerts?shop=1", "", "token", good).want(t, "the API by their header", 200, "")
	s.do("GET", "api/v1/alerts?shop=2", "", "token", good).want(t, "another shop", 403, "forbidden")
	s.do("POST", "api/v1/alerts/1/1/accept", "", "Cookie", "token="+good).want(t, "a form's post by cookie", 401, "token_missing")
	s.do("GET", "metrics", "", "token", good).want(t, "the figures", 403, "forbidden")
}

// TestSkyOutlivesItsToken: their page never reconnects, so neither the end of its
// token nor that of a session beside it ends the stream.
func TestSkyOutlivesItsToken(t *testing.T) {
	s := newServer(t, withSky)
	login := s.do("POST", "login", `{"token":"`+s.token(doorbell.RoleConsole, "till", 1)+`"}`)
	session := cookieOf(t, login)
	conn, status := s.page("Cookie", "token="+employeeToken(t, 2*time.Second)+"; "+session)
	if status != 101 {
		t.Fatal(status)
	}
	s.do("POST", "logout", `{}`, "Cookie", session, "Content-Type", "application/json").want(t, "logout", 204, "")
	g := doorbell.Grant{Subject: "till", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}, Expires: time.Now().Add(3 * time.Second)}
	later, err := s.Tokens.Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	ours, status := s.page("Origin", "", "Authorization", "Bearer "+later)
	if status != 101 {
		t.Fatal(status)
	}
	// A stream of our own token, which is good for longer, ends with it: by then the
	// other was looked at as well.
	if code := endOf(ours); code != 4401 {
		t.Fatalf("a stream of ours ended with %d, want 4401", code)
	}
	s.raise(1, doorbell.NewOrder, 1, "still there")
	if got := nextAlert(t, conn); got != "still there" {
		t.Errorf("heard %q", got)
	}
}

// TestRefusedSocketsSayWhatToSet in the log.
func TestRefusedSocketsSayWhatToSet(t *testing.T) {
	bare := newServer(t)
	for _, c := range []struct {
		name    string
		s       *testServer
		headers []string
		want    []string
	}{
		{"their page without sky", bare, nil, []string{"websocket refused", "code=origin_not_allowed", `origin=http://localhost`, "host=webservers", `auth: {origins: [\"http://localhost\"]}`}},
		{"their token without sky", bare, []string{"Origin", ""}, []string{"code=token_missing", "sky: {secret: {admin: …}}", "sky: {open: true}"}},
		{"another secret", newServer(t, withSky), []string{"Origin", "", "token", skyToken(t, "changed", "empId", 1, time.Hour)}, []string{"code=token_unknown_key", "sky.jwt.admin-secret-key"}},
		{"no cookie", newServer(t, withSky), []string{"Origin", ""}, []string{"code=token_missing", "http://localhost, whose cookie token"}},
		{"over", newServer(t, withSky), []string{"Origin", "", "token", employeeToken(t, -time.Minute)}, []string{"code=token_expired", "signs in again"}},
	} {
		if _, status := c.s.page(c.headers...); status == 101 {
			t.Errorf("%s: admitted", c.name)
		}
		for _, want := range c.want {
			if logs := c.s.Log.String(); !strings.Contains(logs, want) {
				t.Errorf("%s: the log does not say %s:\n%s", c.name, want, logs)
			}
		}
	}
	for range 2 * handlers.RefusalsAMinute {
		bare.page()
	}
	if n := strings.Count(bare.Log.String(), "websocket refused"); n > handlers.RefusalsAMinute {
		t.Errorf("%d lines in a minute, want at most %d", n, handlers.RefusalsAMinute)
	}
}

// TestSkyReminderTakesTheirToken, and its header by the configured name.
func TestSkyReminderTakesTheirToken(t *testing.T) {
	s := newServer(t, withSky, func(c *config.Config) { c.Sky.TokenNames.User = "user-token" })
	service := s.token(doorbell.RoleService, "backend", 1)
	s.as(service, "POST", "api/v1/orders", `{"id":5,"number":"A-1","shopId":1,"userId":77,"amount":1}`).want(t, "create", 201, "")
	s.pay("A-1", 1)
	for _, c := range []struct{ name, header, token, want string }{
		{"somebody else", "user-token", skyToken(t, skyUserSecret, "userId", 78, time.Hour), `{"code":0,"msg":"订单不存在","data":null}`},
		{"theirs", "user-token", skyToken(t, skyUserSecret, "userId", 77, time.Hour), `{"code":1,"msg":null,"data":null}`},
		{"ours", "user-token", s.token(doorbell.RoleCustomer, "77"), `{"code":1,"msg":null,"data":null}`},
		{"an employee's", "user-token", employeeToken(t, time.Hour), ""},
		{"by the other name", "authentication", skyToken(t, skyUserSecret, "userId", 77, time.Hour), ""},
	} {
		got := s.do("GET", "user/order/reminder/5", "", c.header, c.token)
		if got.body != c.want || (c.want == "") != (got.status == 401) {
			t.Errorf("%s: %d %s, want %s", c.name, got.status, got.body, c.want)
		}
	}
}

// TestSkyPageLoadedAnew over real sockets: the pings behind the alerts are answered,
// and the page goes on from there.
func TestSkyPageLoadedAnew(t *testing.T) {
	s := newServer(t, withSky)
	cookie := "token=" + employeeToken(t, time.Hour)
	load := func() *websocket.Conn {
		t.Helper()
		n := s.streams()
		conn, status := s.page("Cookie", cookie)
		if status != 101 {
			t.Fatal(status)
		}
		testrun.Eventually(t, "connected", func() bool { return s.streams() == n+1 })
		return conn
	}
	closeTab := func(c *websocket.Conn) {
		t.Helper()
		going := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
		if err := c.WriteControl(websocket.CloseMessage, going, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		testrun.Eventually(t, "left", func() bool { return s.streams() == 0 })
	}
	s.raise(1, doorbell.NewOrder, 1, "before anybody")
	s.raise(1, doorbell.TakenCare, 1, "")
	page := load()
	s.raise(1, doorbell.NewOrder, 2, "live")
	if got := nextAlert(t, page); got != "live" {
		t.Fatalf("heard %q", got)
	}
	closeTab(page)
	s.raise(1, doorbell.NewOrder, 3, "in the gap")
	s.raise(1, doorbell.NewOrder, 4, "in the gap and accepted")
	s.raise(1, doorbell.TakenCare, 4, "")
	page = load()
	for _, want := range []string{"live", "in the gap"} { // the first within the overlap
		if got := nextAlert(t, page); got != want {
			t.Fatalf("after loading anew: %q, want %q", got, want)
		}
	}
	s.raise(1, doorbell.NewOrder, 5, "live again")
	if got := nextAlert(t, page); got != "live again" {
		t.Errorf("heard %q", got)
	}
	go func() { _, _, _ = page.ReadMessage() }() // a browser reads on, and answers
	console := s.token(doorbell.RoleConsole, "till", 1)
	testrun.Eventually(t, "its browser's receipt", func() bool {
		last := s.as(console, "GET", "api/v1/alerts?shop=1&limit=1", "").body
		return strings.Contains(last, `"seq":7`) && strings.Contains(last, `"stage":"shown","reason":"plain"`)
	})
}

// TestPlainClientsGetNoMarkup: their page runs what the content holds.
func TestPlainClientsGetNoMarkup(t *testing.T) {
	s := newServer(t, withSky)
	page, status := s.page("Cookie", "token="+employeeToken(t, time.Hour))
	if status != 101 {
		t.Fatal(status)
	}
	console, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: s.token(doorbell.RoleConsole, "till", 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(console.Close)
	if _, err := console.Next(); err != nil {
		t.Fatal(err)
	}
	testrun.Eventually(t, "connected", func() bool { return s.streams() == 2 })
	s.raise(1, doorbell.NewOrder, 1, "<img src=x onerror=alert(1)>2 < 3")
	if got, want := nextAlert(t, page), "\uff1cimg src=x onerror=alert(1)>2 \uff1c 3"; got != want {
		t.Errorf("a plain client got %q, want %q", got, want)
	}
	if m, err := console.Next(); err != nil || !strings.Contains(m.Raw, "<img src=x") {
		t.Errorf("a console of ours got %s, %v; it shows text as text", m.Raw, err)
	}
}
