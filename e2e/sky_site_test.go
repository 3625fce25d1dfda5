package e2e

import (
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/golang-jwt/jwt/v5"

	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/sky/skytest"
	"doorbell/internal/testservers/databases"
)

// skySite is sky-take-out as it stands, with doorbell put in after its document: their
// nginx in front, their backend behind, their database shared.
type skySite struct {
	*server
	database *databases.Server
	table    *skytest.Table
	backend  *skytest.Backend
	nginx    *exec.Cmd
	conf     string
	front    string // http://localhost:PORT/
	sim      paysim.Player
	client   *http.Client
	next     int
}

// skySettings returns the blocks of the document, with this machine's ports.
func skySettings(t *testing.T, s *skySite, addr, databaseURL string) (yaml, location string) {
	t.Helper()
	blocks := skyBlocks(t, "../docs/sky-take-out.zh-CN.md")
	if english := skyBlocks(t, "../docs/sky-take-out.md"); !maps.EqualFunc(blocks, english, slices.Equal) {
		t.Fatalf("the documents differ in what is to be written: %q and %q", blocks, english)
	}
	if len(blocks["yaml"]) != 2 || len(blocks["nginx"]) != 1 {
		t.Fatalf("the document has %d blocks of settings and %d of nginx", len(blocks["yaml"]), len(blocks["nginx"]))
	}
	_, second, found := strings.Cut(blocks["yaml"][1], "sky:\n") // both are one file
	if !found {
		t.Fatal("the second block has no sky:")
	}
	dsn, _, _ := strings.Cut(blocks["yaml"][1], "sky:\n")
	yaml = strings.NewReplacer("127.0.0.1:8080", addr, "127.0.0.1:8082", s.backend.Addr, "mysql://root:123456@127.0.0.1:3306/sky_take_out", databaseURL).
		Replace(blocks["yaml"][0] + second + dsn)
	return yaml, blocks["nginx"][0]
}

// skyBlocks returns a document's blocks by their language.
func skyBlocks(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for _, b := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks[b[1]] = append(blocks[b[1]], b[2])
	}
	return blocks
}

func newSkySite(t *testing.T) *skySite {
	t.Helper()
	if missing := databases.Missing(databases.MariaDB); missing != "" {
		t.Fatal(missing)
	}
	s := &skySite{client: &http.Client{Timeout: 10 * time.Second}}
	t.Cleanup(s.client.CloseIdleConnections)
	url := s.newTable(t)
	s.backend = &skytest.Backend{Table: s.table, Addr: "127.0.0.1:0"}
	closed(t, s.backend.Start)
	t.Cleanup(func() { closed(t, s.backend.Stop) })

	addr := freeAddr(t)
	yaml, location := skySettings(t, s, addr, url)
	s.server = &server{t: t, bin: binary, addr: addr, base: "http://" + addr + "/", dir: t.TempDir()}
	s.write(filepath.Join(s.dir, "config.yaml"), yaml)
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })

	dir := t.TempDir()
	s.write(filepath.Join(dir, "html", "index.html"), skytest.Page)
	s.write(filepath.Join(dir, "html", "other.html"), "<!doctype html><title>other</title>elsewhere")
	_, port, _ := net.SplitHostPort(freeAddr(t))
	s.front, s.conf = "http://localhost:"+port+"/", filepath.Join(dir, "nginx.conf")
	s.write(s.conf, skytest.Nginx(dir, port, addr, location))
	s.startNginx()
	t.Cleanup(s.stopNginx)
	all, err := providers.LoadPlayers(s.data())
	if err != nil {
		t.Fatal(err)
	}
	s.sim = all.WeChat
	return s
}

// newTable starts their database and makes their table in it.
func (s *skySite) newTable(t *testing.T) (databaseURL string) {
	t.Helper()
	var err error
	if s.database, err = databases.Start(databases.MariaDB, databases.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s.database.Close) })
	url, _, err := s.database.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = databases.User, databases.Password, "tcp", fmt.Sprintf("127.0.0.1:%d", s.database.Port)
	cfg.DBName = url[strings.LastIndexByte(url, '/')+1:]
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { closed(t, db.Close) })
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	if s.table, err = skytest.NewTable(t.Context(), db, shanghai); err != nil {
		t.Fatal(err)
	}
	return url
}

func closed(t *testing.T, end func() error) {
	t.Helper()
	if err := end(); err != nil {
		t.Error(err)
	}
}

func (s *skySite) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { // nginx's worker reads it
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil { // as above
		s.t.Fatal(err)
	}
	for dir := filepath.Dir(name); strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // as above; t.TempDir's parent is for its owner alone
	}
}

func (s *skySite) startNginx() {
	s.t.Helper()
	s.nginx = exec.Command(need(s.t, "nginx"), "-c", s.conf, "-p", filepath.Dir(s.conf))
	if err := s.nginx.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "nginx answers", func() bool {
		res, err := s.client.Get(s.front)
		if err != nil {
			return false
		}
		defer res.Body.Close() //nolint:errcheck // not read
		return res.StatusCode == http.StatusOK
	})
}

func (s *skySite) stopNginx() {
	if s.nginx == nil {
		return
	}
	_ = s.nginx.Process.Signal(syscall.SIGTERM)
	_ = s.nginx.Wait()
	s.nginx = nil
}

// skyOrder is one of the day's orders.
type skyOrder struct {
	id      int64
	number  string
	paid    bool // its money came, and it was not called off before
	closed  bool // accepted, or called off
	hurried bool
}

func (s *skySite) submit() *skyOrder {
	s.t.Helper()
	s.next++
	o := &skyOrder{number: fmt.Sprintf("17%011d", s.next)}
	s.persist("submit", func() (err error) {
		o.id, err = s.table.Submit(s.t.Context(), o.number, 4, "0.01")
		return err
	})
	return o
}

// persist tries until it succeeds, as people and programs do.
func (s *skySite) persist(what string, try func() error) {
	s.t.Helper()
	var err error
	deadline := time.Now().Add(within)
	for time.Now().Before(deadline) {
		if err = try(); err == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.t.Context().Done():
			s.t.Fatal(what, s.t.Context().Err())
		}
	}
	s.t.Fatalf("%s: %v\n%s", what, err, s.log.tail())
}

// put is a call of their page or mini-program, through nginx and doorbell.
func (s *skySite) put(path, body string) {
	s.t.Helper()
	s.persist(path, func() error {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, s.front+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		return s.expect(req, `"code":1`)
	})
}

func (s *skySite) expect(req *http.Request, want string) error {
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(string(text), want)) {
		err = fmt.Errorf("%s: %d %s", req.URL, res.StatusCode, text)
	}
	return err
}

// remind is the mini-program's call, with the headers that it sends.
func (s *skySite) remind(o *skyOrder) {
	s.t.Helper()
	token := s.employee("userId", 4, "itheima")
	s.persist("remind", func() error {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, fmt.Sprintf("%suser/order/reminder/%d", s.front, o.id), http.NoBody)
		if err != nil {
			return err
		}
		for name, value := range map[string]string{"authentication": token, "Accept": "application/json", "Content-Type": "application/json", "Access-Control-Allow-Origin": "*"} {
			req.Header.Set(name, value)
		}
		return s.expect(req, `{"code":1,"msg":null,"data":null}`)
	})
}

// employee is a token as their backend makes it, of an employee or a customer.
func (s *skySite) employee(claim string, id int64, secret string) string {
	s.t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{claim: id, "exp": time.Now().Add(2 * time.Hour).Unix()})
	delete(token.Header, "typ")
	signed, err := token.SignedString([]byte(secret))
	if err != nil {
		s.t.Fatal(err)
	}
	return signed
}

// callback is WeChat's, sent until it is answered as WeChat wants it.
func (s *skySite) callback(o *skyOrder, transaction string, statuses ...int) {
	s.t.Helper()
	if len(statuses) == 0 {
		statuses = []int{http.StatusOK, http.StatusNoContent}
	}
	s.persist("callback", func() error {
		c, err := s.sim.Paid(paysim.Payment{Number: o.number, Transaction: transaction, Minor: 1})
		if err != nil {
			return err
		}
		req, err := c.Request(s.front + "notify/paySuccess")
		if err != nil {
			return err
		}
		res, err := s.client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read
		text, _ := io.ReadAll(res.Body)
		if slices.Contains(statuses, res.StatusCode) {
			return nil
		}
		return fmt.Errorf("the callback got %d %s", res.StatusCode, text)
	})
}
