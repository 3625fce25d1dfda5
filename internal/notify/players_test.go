package notify

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// player plays the services: it takes what theirs take, answers as they do, and
// refuses a key or a signature that is wrong.
type player struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	got    []string // SERVICE TITLE TEXT
	status int      // 0: as it should be
}

func newPlayer(t *testing.T) *player {
	p := &player{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cgi-bin/webhook/send", p.wecom)
	mux.HandleFunc("POST /robot/send", p.dingtalk)
	mux.HandleFunc("POST /open-apis/bot/v2/hook/{token}", p.feishu)
	mux.HandleFunc("POST /bot123456:SECRET-TOKEN/sendMessage", p.telegram)
	mux.HandleFunc("POST /push", p.bark)
	mux.HandleFunc("POST /{$}", p.ntfy)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		status := p.status
		p.mu.Unlock()
		switch status {
		case 0:
			mux.ServeHTTP(w, r)
		case http.StatusFound:
			http.Redirect(w, r, "/elsewhere", status)
		default:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>SECRET-TOKEN is down</html>")
		}
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *player) note(parts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, strings.Join(parts, " | "))
}

func (p *player) read(r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		p.t.Errorf("%s: %v", r.URL.Path, err)
	}
}

func answer(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

func (p *player) wecom(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Msgtype string
		Text    struct{ Content string }
	}
	p.read(r, &body)
	if r.URL.Query().Get("key") != "SECRET-KEY" || body.Msgtype != "text" {
		answer(w, `{"errcode":93000,"errmsg":"invalid webhook url `+r.URL.Query().Get("key")+`"}`)
		return
	}
	p.note("wecom", body.Text.Content)
	answer(w, `{"errcode":0,"errmsg":"ok"}`)
}

func (p *player) dingtalk(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Msgtype string
		Text    struct{ Content string }
	}
	p.read(r, &body)
	q := r.URL.Query()
	// The value that the service's own documentation computes of these two.
	if q.Get("access_token") != "SECRET-TOKEN" || q.Get("timestamp") != "1790000000000" || q.Get("sign") != dingtalkSign {
		answer(w, `{"errcode":310000,"errmsg":"sign not match"}`)
		return
	}
	p.note("dingtalk", body.Text.Content)
	answer(w, `{"errcode":0,"errmsg":"ok"}`)
}

func (p *player) feishu(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Timestamp, Sign string
		MsgType         string `json:"msg_type"`
		Content         struct{ Text string }
	}
	p.read(r, &body)
	if r.PathValue("token") != "SECRET-TOKEN" || body.Timestamp != "1790000000" || body.Sign != feishuSign || body.MsgType != "text" {
		answer(w, `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`)
		return
	}
	p.note("feishu", body.Content.Text)
	answer(w, `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`)
}

func (p *player) telegram(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ChatID string `json:"chat_id"`
		Text   string
	}
	p.read(r, &body)
	if body.ChatID != "-100200" {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`)
		return
	}
	p.note("telegram", body.Text)
	answer(w, `{"ok":true,"result":{}}`)
}

func (p *player) bark(w http.ResponseWriter, r *http.Request) {
	var body struct {
		DeviceKey   string `json:"device_key"`
		Title, Body string
	}
	p.read(r, &body)
	if body.DeviceKey != "SECRET-KEY" {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, `{"code":400,"message":"failed to get device token","timestamp":1}`)
		return
	}
	p.note("bark", body.Title, body.Body)
	answer(w, `{"code":200,"message":"success","timestamp":1}`)
}

func (p *player) ntfy(w http.ResponseWriter, r *http.Request) {
	var body struct{ Topic, Title, Message string }
	p.read(r, &body)
	if r.Header.Get("Authorization") != "Bearer SECRET-TOKEN" || body.Topic != "kitchen" {
		w.WriteHeader(http.StatusForbidden)
		answer(w, `{"code":40301,"http":403,"error":"forbidden"}`)
		return
	}
	p.note("ntfy", body.Title, body.Message)
	answer(w, `{"id":"x","event":"message"}`)
}

// mailbox plays a mail server: it takes one letter after another.
type mailbox struct {
	addr    string
	letters chan string
}

func newMailbox(t *testing.T, refuses bool) *mailbox {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailbox{addr: ln.Addr().String(), letters: make(chan string, 8)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { m.serve(conn, refuses) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); running.Wait() })
	return m
}

func (m *mailbox) serve(conn net.Conn, refuses bool) {
	defer conn.Close() //nolint:errcheck // a test's
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 mail.example.com")
	var letter strings.Builder
	data := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		word, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch {
		case data && line == ".":
			data = false
			m.letters <- letter.String()
			letter.Reset()
			say("250 taken")
		case data:
			letter.WriteString(line + "\n")
		case word == "DATA":
			data = true
			say("354 go on")
		case word == "QUIT":
			say("221 bye")
			return
		case word == "RCPT" && refuses:
			say("550 SECRET-WORD is no mailbox here")
		default:
			say("250 ok")
		}
	}
}
