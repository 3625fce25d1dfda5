package e2e

import (
	"strings"
	"testing"
)

// TestAdminPage: who has no admin's token sees the sign-in alone; an admin sees
// shops, devices, open orders, sessions and tokens, live, and revokes a token by a
// second press.
func TestAdminPage(t *testing.T) {
	s := startServer(t)
	kitchen := openPage(t, s.link())
	kitchen.waitLink("websocket")
	backend := s.token("service", "--shops", "1", "--sub", "backend")
	if status, _ := s.call("GET", "api/v1/me", backend, nil); status != 200 {
		t.Fatalf("the token: %d", status)
	}
	p := openPage(t, s.base+"admin?lang=en")
	text := func(id string) string { return p.js(`document.getElementById('` + id + `').innerText`) }
	signIn := func(token string) {
		p.js(`document.getElementById('token').value = '` + token + `'`)
		p.click("#sign-in-button")
	}
	eventually(t, "it asks for a token", func() bool { return p.js(`document.getElementById('sign-in').hidden`) == "false" })
	signIn(s.token("console", "--shops", "1"))
	eventually(t, "a console's token is not enough", func() bool { return strings.Contains(text("trouble"), "admin") })
	if p.js(`document.getElementById('panels').hidden`) != "true" {
		t.Error("a console sees the panels")
	}
	signIn(s.run("token", "--role", "admin", "--shops", "*", "--sub", "boss"))
	eventually(t, "the kitchen's device", func() bool { return strings.Contains(text("consoles"), "WebSocket") })
	eventually(t, "it knows its own stream", func() bool { return p.js(`document.querySelectorAll('#consoles .row').length`) == "1" })
	eventually(t, "it counts the kitchen's device alone", func() bool { return strings.Contains(text("shops"), "0 of 1 devices") })
	s.run("simulate", "--pause", "0")
	eventually(t, "the order comes live", func() bool { return strings.Contains(text("alerts"), "New order") })
	eventually(t, "the payment", func() bool { return strings.Contains(text("callbacks"), "settled") && text("messages") != "" })
	eventually(t, "the tokens", func() bool {
		return strings.Contains(text("tokens"), "backend") && strings.Contains(text("sessions"), "boss (this one)")
	})
	p.size(1280, 900)
	p.shot("admin")
	p.size(390, 844)
	if wide := p.js(`Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)`); wide != "0" {
		t.Errorf("a phone's page is %s px too wide", wide)
	}
	p.shot("admin-phone")
	const button = `#tokens button[aria-label$=" backend"]`
	p.click(button)
	eventually(t, "it asks whether one is sure", func() bool {
		return strings.HasPrefix(p.js(`document.querySelector('`+button+`').textContent`), "Sure?")
	})
	if status, _ := s.call("GET", "api/v1/me", backend, nil); status != 200 {
		t.Errorf("after one press: %d, want 200", status)
	}
	p.click(button)
	eventually(t, "it is shown as revoked", func() bool { return strings.Contains(text("tokens"), "by boss") })
	if status, got := s.call("GET", "api/v1/me", backend, nil); status != 401 || got["code"] != "token_revoked" {
		t.Errorf("after the second press: %d %v, want 401 token_revoked", status, got)
	}
	if errs := p.counts().Errors; len(errs) != 0 {
		t.Errorf("errors on the page: %v", errs)
	}
}
