package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
)

// TestTrialKeyEndsWithARealOne: the simulator's signatures are valid during the
// trial only.
func TestTrialKeyEndsWithARealOne(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.run("simulate", "--pause", "0s")
	players, err := providers.LoadPlayers(filepath.Join(s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	simulator := players.WeChat
	genuine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&genuine.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(s.dir, "real.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(n wechat.Notice) int {
		t.Helper()
		n.Content = simulator.Payment("A-1", "T1", 100)
		return s.callback(simulator, n)
	}
	order := map[string]any{"number": "A-1", "shopId": 1, "userId": 1, "amount": 100}
	service := s.token("service", "--shops", "1")
	if status, _ := s.call("POST", "api/v1/orders", service, order); status != http.StatusCreated {
		t.Fatalf("create: %d", status)
	}
	for name, env := range map[string][]string{
		"a real key, for the simulator's own merchant": {
			"DOORBELL_PAY_WECHAT_MCHID=" + simulator.MchID, "DOORBELL_PAY_WECHAT_APPID=" + simulator.AppID,
			"DOORBELL_PAY_WECHAT_API_V3_KEY=" + simulator.APIv3Key, "DOORBELL_PAY_WECHAT_PUBLIC_KEY=" + key,
			"DOORBELL_PAY_WECHAT_PUBLIC_KEY_ID=" + simulator.KeyID,
		},
		"a trusted proxy and no key": {"DOORBELL_SERVER_TRUSTED_PROXIES=127.0.0.1"},
	} {
		s.stop(syscall.SIGTERM)
		s.env = env
		s.start()
		if strings.Contains(s.out.String(), "on trial") {
			t.Errorf("%s: the start screen says trial", name)
		}
		for _, n := range []wechat.Notice{{}, {Serial: fmt.Sprintf("%X", simulator.Certificate.SerialNumber.Bytes())}} {
			if status := send(n); status != http.StatusUnauthorized && status != http.StatusNotFound {
				t.Errorf("%s: the simulator's callback got %d", name, status)
			}
		}
		if _, got := s.call("GET", "api/v1/alerts?shop=1&type=1", service, nil); len(got["alerts"].([]any)) != 1 {
			t.Errorf("%s: it rang: %v", name, got)
		}
	}
	s.stop(syscall.SIGTERM)
	s.env = nil
	s.start()
	if status := send(wechat.Notice{}); status != http.StatusNoContent {
		t.Errorf("on trial again: %d, want 204", status)
	}
}

// callback sends a callback as WeChat Pay does, once, and returns the answer's
// status.
func (s *server) callback(p *wechat.Player, n wechat.Notice) int {
	s.t.Helper()
	c, err := p.Sign(n)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := c.Request(s.base + "pay/wechat")
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req.WithContext(s.t.Context()))
	if err != nil {
		s.t.Fatal(err)
	}
	return statusOf(res)
}

func statusOf(res *http.Response) int {
	_ = res.Body.Close() // only the status counts
	return res.StatusCode
}

// block returns the first fenced block of a language in a document.
func block(t *testing.T, document, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", document))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + kind + "\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no block of %s", document, kind)
	}
	return string(m[1])
}

// TestReadmeGo runs the README's Go program: two runs, one alert.
func TestReadmeGo(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": block(t, "README.md", "go"), "go.mod": "module example\n\ngo 1.26.0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := s.token("service", "--shops", "1")
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*within)
		cmd := exec.CommandContext(ctx, "go", "run", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DOORBELL_URL="+strings.TrimSuffix(s.base, "/"), "DOORBELL_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	_, got := s.call("GET", "api/v1/alerts?shop=1", token, nil)
	if text := toJSON(t, got); strings.Count(text, `"seq":`) != 1 || !strings.Contains(text, `"number":"1653904906519"`) {
		t.Errorf("alerts %s, want the README's, once", text)
	}
}

// TestReadmeNginx serves the console under a path, with the README's nginx lines.
func TestReadmeNginx(t *testing.T) {
	s := startServer(t)
	s.stop(syscall.SIGTERM)
	s.env = []string{"DOORBELL_SERVER_BASE_PATH=/bell/", "DOORBELL_SERVER_TRUSTED_PROXIES=127.0.0.1", "DOORBELL_PAY_TRIAL=true"}
	root := s.base
	s.base = root + "bell/"
	s.start()
	front := startNginx(t, s.addr, strings.Replace(block(t, "README.md", "nginx"), "http://127.0.0.1:8080", "http://doorbell", 1))
	p := openPage(t, strings.Replace(s.link(), root, front, 1))
	p.waitLink("websocket")
	p.soundOn()
	s.run("simulate", "--pause", "0s")
	eventually(t, "the order was heard", func() bool { return len(p.counts().Heard) == 1 })
	if got := p.counts(); strings.HasPrefix(got.Heard[0], "chime") || len(got.Errors) > 0 {
		t.Errorf("counted %+v, want the clip found under the path and no error", got)
	}
}

// TestStopUnderLoad: SIGTERM with consoles on all transports exits with 0, and
// everything acknowledged is in the log.
func TestStopUnderLoad(t *testing.T) {
	s := startServer(t)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	for _, transport := range []string{"sse", "poll"} {
		watch := exec.Command(binary, "watch", "--transport", transport)
		watch.Dir, watch.Env = s.dir, s.environ()
		if err := watch.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = watch.Process.Kill() // the test is over
			_ = watch.Wait()
		})
	}
	eventually(t, "all are connected", func() bool { return strings.Count(s.log.String(), "console connected") >= 3 })
	s.run("simulate", "--orders", "20", "--pause", "0s")
	s.stop(syscall.SIGTERM) // fails the test unless it exits with 0
	log := s.log.String()
	for _, want := range []string{"msg=stopping", "code=1012 reason=shutdown", "transport=sse", "msg=stopped"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "took too long") {
		t.Errorf("a step of the stop took too long:\n%s", log)
	}
	s.start()
	if _, got := s.call("GET", "api/v1/alerts?shop=1&limit=500", s.token("console", "--shops", "1"), nil); len(got["alerts"].([]any)) != 20 {
		t.Errorf("%d alerts after the restart, want 20", len(got["alerts"].([]any)))
	}
}

// TestPayAddr: callbacks have a separate port, which serves nothing else.
func TestPayAddr(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	s := startServer(t, "DOORBELL_PAY_ADDR="+addr)
	players, err := providers.LoadPlayers(s.data())
	if err != nil {
		t.Fatal(err)
	}
	platform := players.WeChat
	status, answer := s.call("POST", "api/v1/orders", s.token("service", "--shops", "1"), map[string]any{"number": "P-1", "shopId": 1, "userId": 1, "amount": 100})
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, answer)
	}
	c, err := platform.Sign(wechat.Notice{Content: platform.Payment("P-1", "T-1", 100)})
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"http://" + addr + "/", s.base} { // the second one is a repeat
		req, err := c.Request(base + "pay/wechat")
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := paysim.Answer(platform, res); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	res, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // not read
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("the console at pay.addr: %d, want 404", res.StatusCode)
	}
	_, got := s.call("GET", "api/v1/alerts?shop=1", s.token("console", "--shops", "1"), nil)
	if n := len(got["alerts"].([]any)); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
}
