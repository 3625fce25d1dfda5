package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// startGateway runs a program until the test ends, and logs what it said if the test
// failed.
func startGateway(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", filepath.Base(cmd.Path), &said)
		}
	})
}

// startNginx runs nginx in front of upstream; location holds its directives.
func startNginx(t *testing.T, upstream, location string) string {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[2]s; %[4]s }
  upstream doorbell { server %[3]s; }
}`, dir, addr, upstream, location)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(need(t, "nginx"), "-c", file, "-p", dir)
	startGateway(t, cmd)
	eventually(t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return "http://" + addr + "/"
}

// startHolding starts a gateway that scans for viruses: it reads each answer to
// its end before it forwards a byte, and supports no upgrades.
func startHolding(t *testing.T, upstream string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { hold(c, upstream) })
		}
	})
	return "http://" + ln.Addr().String() + "/"
}

// hold forwards one request and its complete answer.
func hold(c net.Conn, upstream string) {
	defer c.Close() //nolint:errcheck // over
	in := bufio.NewReader(c)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	up, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer up.Close() //nolint:errcheck // over
	req.Header.Del("Upgrade")
	req.Header.Set("Connection", "close")
	req.Close = true
	if req.Write(up) != nil {
		return
	}
	go func() { // the client leaves: so does the request
		_, _ = in.ReadByte()
		_ = up.Close()
	}()
	res, err := http.ReadResponse(bufio.NewReader(up), req)
	if err != nil {
		return
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return
	}
	res.Body, res.ContentLength, res.TransferEncoding, res.Close = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil, true
	_ = res.Write(c) // the client may be gone
}

// startHAProxy runs HAProxy with its defaults, without http-no-delay.
func startHAProxy(t *testing.T, upstream string) string {
	t.Helper()
	return runHAProxy(t, "timeout connect 5s", "server doorbell "+upstream)
}

// runHAProxy runs HAProxy with further lines of its defaults and of its backend.
func runHAProxy(t *testing.T, defaults, backend string) string {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	conf := fmt.Sprintf("defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  %s\nfrontend in\n  bind %s\n  default_backend doorbell\nbackend doorbell\n  %s\n", defaults, addr, backend)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(need(t, "haproxy"), "-db", "-f", file)
	startGateway(t, cmd)
	eventually(t, "haproxy listens", func() bool {
		c, err := net.Dial("tcp", addr)
		return err == nil && c.Close() == nil
	})
	return "http://" + addr + "/"
}
