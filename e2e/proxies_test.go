package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doorbell/transport/transporttest"
)

// startProxy runs a proxy with the lines of docs/deploy.md: two of the nodes they
// name are dead, the third is the server. What belongs to the place alone is
// changed: addresses, and the certificate: without one the scheme is http.
func startProxy(t *testing.T, kind, upstream string) string {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	conf := block(t, "docs/deploy.md", kind)
	replace := func(old, with string) {
		if !strings.Contains(conf, old) {
			t.Fatalf("the %s lines have no %q", kind, old)
		}
		conf = strings.ReplaceAll(conf, old, with)
	}
	replace("10.0.0.1:8080", freeAddr(t))
	replace("10.0.0.2:8080", upstream)
	replace("10.0.0.3:8080", freeAddr(t))
	file := filepath.Join(dir, kind)
	var cmd *exec.Cmd
	switch kind {
	case "haproxy":
		replace(":443 ssl crt /etc/haproxy/bell.pem alpn h2,http/1.1", addr)
		replace("X-Forwarded-Proto https", "X-Forwarded-Proto http")
		cmd = exec.Command(need(t, "haproxy"), "-db", "-f", file)
	case "nginx":
		replace("443 ssl", addr)
		replace("    ssl_certificate     /etc/nginx/bell.pem;\n    ssl_certificate_key /etc/nginx/bell.key;\n", "")
		conf = fmt.Sprintf("daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;\nevents { worker_connections 256; }\nhttp {\naccess_log off;\nclient_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s}\n", dir, conf)
		replace("X-Forwarded-Proto https", "X-Forwarded-Proto http")
		cmd = exec.Command(need(t, "nginx"), "-c", file, "-p", dir)
	case "caddy":
		replace("bell.example.com", "http://"+addr)
		replace("\tgrace_period 5s", "\tadmin off\n\tstorage file_system "+dir+"\n\tgrace_period 1s")
		cmd = exec.Command(need(t, "caddy"), "run", "--config", file, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	}
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startGateway(t, cmd)
	eventually(t, kind+" passes on", func() bool {
		res, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()               //nolint:errcheck // read
		_, _ = io.Copy(io.Discard, res.Body) // the status says it
		return res.StatusCode == http.StatusOK
	})
	return "http://" + addr + "/"
}

// TestProxiesOfTheDocs: through each proxy with the lines of docs/deploy.md, where
// two of three nodes are dead, a signed callback and all transports get through,
// and the server knows the client's address.
func TestProxiesOfTheDocs(t *testing.T) {
	for _, kind := range []string{"haproxy", "nginx", "caddy"} {
		t.Run(kind, func(t *testing.T) {
			s := startServer(t, "DOORBELL_SERVER_TRUSTED_PROXIES=127.0.0.1", "DOORBELL_PAY_TRIAL=true")
			front := startProxy(t, kind, s.addr)
			s.run("simulate", "--url", front, "--orders", "3", "--pause", "0s")
			token := s.token("console", "--shops", "1")
			for _, transport := range transporttest.Transports() {
				stream, err := transport.Dial(front, transporttest.Dial{Token: token, Query: "after=0"})
				if err != nil {
					t.Fatal(err)
				}
				for seq := int64(0); seq < 3; {
					m, err := stream.Next()
					if err != nil {
						t.Fatalf("after %d alerts: %v", seq, err)
					}
					if m.Event == "" {
						seq++
						if m.Seq != seq {
							t.Errorf("seq %d, want %d", m.Seq, seq)
						}
					}
				}
				stream.Close()
			}
			p := openPage(t, strings.Replace(s.link(), s.base, front, 1))
			p.waitLink("websocket")
		})
	}
}
