package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// curl runs curl, which trusts what a tablet is told to trust.
func (s *server) curl(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, need(s.t, "curl"), append([]string{"-sS", "--cacert", filepath.Join(s.dir, "data", "tls", "ca.pem")}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return err.Error() + ": " + errs.String()
	}
	return out.String()
}

// TestTLS: with the certificate of one command the program's own commands, curl by HTTP/2 and a browser reach the
// server, and the browser's session is bound to https.
func TestTLS(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	s := &server{t: t, bin: binary, addr: addr, base: "https://" + addr + "/", dir: t.TempDir()}
	says := s.run("certificate", "--names", "127.0.0.1,kitchen.local")
	for _, name := range []string{"cert", "key"} {
		_, file, ok := strings.Cut(says, name+": ")
		if file, _, _ = strings.Cut(file, "\n"); !ok {
			t.Fatalf("certificate names no %s:\n%s", name, says)
		}
		s.env = append(s.env, "DOORBELL_SERVER_TLS_"+strings.ToUpper(name)+"="+file)
	}
	s.launch()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	eventually(t, "curl finds the server ready, by HTTP/2", func() bool {
		return strings.HasSuffix(s.curl("-w", "%{http_version}", s.base+"readyz"), `"reasons":[]}2`)
	})
	token := s.token("console", "--shops", "1")
	events := &output{}
	stream := exec.CommandContext(t.Context(), need(t, "curl"), "-sSN", "--cacert", filepath.Join(s.dir, "data", "tls", "ca.pem"),
		"-H", "Authorization: Bearer "+token, s.base+"events?after=0")
	stream.Stdout, stream.Stderr = events, events
	if err := stream.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Process.Kill(); _ = stream.Wait() }() // it ends by this alone
	s.run("simulate", "--pause", "0s")
	eventually(t, "curl hears the order", func() bool { return strings.Contains(events.String(), `data: {"type":1`) })
	for _, transport := range []string{"ws", "sse", "poll"} {
		watched := &output{}
		watch := exec.CommandContext(t.Context(), s.bin, "watch", "--shop", "1", "--after", "0", "--json", "--transport", transport)
		watch.Dir, watch.Env, watch.Stdout, watch.Stderr = s.dir, s.environ(), watched, watched
		if err := watch.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "doorbell watch hears the order by "+transport, func() bool { return strings.Contains(watched.String(), `"type":1`) })
		_ = watch.Process.Kill() // it ends by this alone
		_ = watch.Wait()
	}

	all := openBrowser(t)
	if err := all.IgnoreCertErrors(true); err != nil { // its certificates are those of the machine
		t.Fatal(err)
	}
	p := openPage(t, s.link())
	p.waitLink("websocket")
	if got := p.js(`performance.getEntriesByType('navigation')[0].nextHopProtocol`); got != "h2" {
		t.Errorf("the page came by %s, want h2", got)
	}
	cookies, err := p.profile.GetCookies()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range cookies {
		found = found || c.Name == "__Host-doorbell_session" && c.Secure && c.HTTPOnly
		if c.Name == "doorbell_session" {
			t.Error("the session's cookie has the name of plain HTTP")
		}
	}
	if !found {
		t.Errorf("no __Host- cookie among %v", cookies)
	}
	if err := all.IgnoreCertErrors(false); err != nil {
		t.Fatal(err)
	}
}
