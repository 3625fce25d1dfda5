// Package transporttest is the suite that every transport passes through the
// real router, with clients of its own: they share no code with the server.
package transporttest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Message is an alert, or an event with its name, as a client received it.
type Message struct {
	Event   string
	Raw     string
	ID      string // SSE's id: line
	Type    int    `json:"type"`
	Shop    int64  `json:"shopId"`
	Seq     int64  `json:"seq"`
	Content string
	Time    string `json:"time"`
	Cursor  string `json:"cursor"`
	Reason  string `json:"reason"`
	Epoch   string `json:"epoch"`
	Shops   []int64
	Bytes   int
}

// Stream is one client's view of a connection.
type Stream interface {
	// Next waits for a message, at most patience.
	Next() (Message, error)
	Close()
}

// patience is how long a client waits for the next message.
const patience = 10 * time.Second

// Dial describes a request for a stream.
type Dial struct {
	Token       string
	Query       string // without ?
	LastEventID string
	Origin      string
	SID         string
	Plain       bool // WebSocket: no subprotocol
	SmallBuffer bool // the client's kernel takes little for it
	Cookie      string
	// Connect replaces the network, Patience how long Next waits.
	Connect  func() (net.Conn, error)
	Patience time.Duration
}

func (d Dial) connect(addr string) (net.Conn, error) {
	if d.Connect != nil {
		return d.Connect()
	}
	return dialTCP(addr, d.SmallBuffer)
}

func (d Dial) patience() time.Duration {
	if d.Patience > 0 {
		return d.Patience
	}
	return patience
}

// Refused is the error for an answer other than a stream.
type Refused struct {
	Status int
	Body   string
}

func (r *Refused) Error() string { return fmt.Sprintf("HTTP %d: %s", r.Status, r.Body) }

// CloseError is the error for a WebSocket that was closed.
func CloseError(err error) int {
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		return ce.Code
	}
	return 0
}

func (d Dial) header() http.Header {
	h := http.Header{}
	if d.Token != "" {
		h.Set("Authorization", "Bearer "+d.Token)
	}
	if d.Cookie != "" {
		h.Set("Cookie", d.Cookie)
	}
	if d.LastEventID != "" {
		h.Set("Last-Event-ID", d.LastEventID)
	}
	if d.Origin != "" {
		h.Set("Origin", d.Origin)
	}
	return h
}

func parse(event, raw, id string) (Message, error) {
	m := Message{}
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		return m, fmt.Errorf("read %q: %w", raw, err)
	}
	m.Event, m.Raw, m.ID = event, raw, id
	return m, nil
}

// eventName returns the name of a message that has no SSE framing.
func eventName(raw string) string {
	var e struct {
		Event string `json:"event"`
	}
	_ = json.Unmarshal([]byte(raw), &e) // parse complains
	return e.Event
}

func dialTCP(addr string, small bool) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil && small {
		err = c.(*net.TCPConn).SetReadBuffer(32 << 10)
	}
	return c, err
}

// WebSocket is a client over WebSocket.
type WebSocket struct {
	Conn     *websocket.Conn
	patience time.Duration
}

// DialWebSocket opens a WebSocket stream.
func DialWebSocket(base string, d Dial) (Stream, error) {
	dialer := websocket.Dialer{
		HandshakeTimeout: d.patience(),
		NetDial:          func(_, addr string) (net.Conn, error) { return d.connect(addr) },
	}
	if !d.Plain {
		dialer.Subprotocols = []string{"doorbell.v1"}
	}
	path := "ws"
	if d.SID != "" {
		path += "/" + d.SID
	}
	c, res, err := dialer.Dial(strings.Replace(base, "http", "ws", 1)+path+"?"+d.Query, d.header())
	if err != nil && res != nil {
		defer res.Body.Close() //nolint:errcheck // read
		text, _ := io.ReadAll(res.Body)
		return nil, &Refused{res.StatusCode, string(text)}
	}
	if err != nil {
		return nil, err
	}
	return &WebSocket{c, d.patience()}, nil
}

// Next implements Stream.
func (w *WebSocket) Next() (Message, error) {
	if err := w.Conn.SetReadDeadline(time.Now().Add(w.patience)); err != nil {
		return Message{}, err
	}
	kind, raw, err := w.Conn.ReadMessage()
	if err != nil {
		return Message{}, err
	}
	if kind != websocket.TextMessage {
		return Message{}, fmt.Errorf("frame of kind %d, want text", kind)
	}
	return parse(eventName(string(raw)), string(raw), "")
}

// Close implements Stream.
func (w *WebSocket) Close() { _ = w.Conn.Close() } // the end of a test

// sseClient reads an event stream from a raw connection.
type sseClient struct {
	conn     net.Conn
	events   *eventReader
	patience time.Duration
}

// DialSSE opens an event stream.
func DialSSE(base string, d Dial) (Stream, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	c, err := d.connect(u.Host)
	if err != nil {
		return nil, err
	}
	path := u.Path + "events"
	if d.SID != "" {
		path += "/" + d.SID
	}
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s?%s HTTP/1.1\r\nHost: %s\r\n", path, d.Query, u.Host)
	for name, values := range d.header() {
		fmt.Fprintf(&head, "%s: %s\r\n", name, values[0])
	}
	if _, err := io.WriteString(c, head.String()+"\r\n"); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer c.Close() //nolint:errcheck // over
		text, err := io.ReadAll(res.Body)
		return nil, errors.Join(&Refused{res.StatusCode, string(text)}, err)
	}
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		return nil, fmt.Errorf("Content-Type %q", kind)
	}
	return &sseClient{conn: c, events: &eventReader{in: bufio.NewReaderSize(res.Body, 512)}, patience: d.patience()}, nil
}

// Next implements Stream.
func (s *sseClient) Next() (Message, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(s.patience)); err != nil {
		return Message{}, err
	}
	e, err := s.events.next()
	if err != nil {
		return Message{}, err
	}
	if e.ID == "" {
		return Message{}, fmt.Errorf("an event without an id: %+v", e)
	}
	if e.Event == "message" {
		e.Event = ""
	}
	return parse(e.Event, e.Data, e.ID)
}

// Close implements Stream.
func (s *sseClient) Close() { _ = s.conn.Close() } // the end of a test

// pollClient polls with the cursor of its last answer.
type pollClient struct {
	base    string
	d       Dial
	cursor  string
	console string
	queue   []Message
	client  *http.Client
}

// DialPoll makes the first poll, which does not wait.
func DialPoll(base string, d Dial) (Stream, error) {
	p := &pollClient{base: base, d: d, client: &http.Client{Timeout: d.patience(), Transport: &http.Transport{
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) { return d.connect(addr) },
	}}}
	return p, p.ask("0")
}

func (p *pollClient) ask(wait string) error {
	q, err := url.ParseQuery(p.d.Query)
	if err != nil {
		return err
	}
	if !q.Has("wait") {
		q.Set("wait", wait)
	}
	if p.d.SID != "" {
		q.Set("sid", p.d.SID)
	}
	header := p.d.header()
	first := p.cursor == ""
	if !first {
		q.Set("after", p.cursor)
		q.Set("console", p.console)
		header.Del("Last-Event-ID")
	}
	req, err := http.NewRequest(http.MethodGet, p.base+"poll?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header = header
	res, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return &Refused{res.StatusCode, string(text)}
	}
	return p.take(text, first)
}

func (p *pollClient) take(text []byte, first bool) error {
	var a struct {
		Cursor, Epoch, Console string
		Alerts, Events         []json.RawMessage
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return err
	}
	if a.Alerts == nil || a.Events == nil || a.Cursor == "" || a.Epoch == "" || a.Console == "" {
		return fmt.Errorf("a poll's answer lacks something: %s", text)
	}
	p.cursor, p.console = a.Cursor, a.Console
	if first { // every answer counts as a hello; the suite wants one
		p.queue = append(p.queue, Message{Event: "hello", Epoch: a.Epoch, Cursor: a.Cursor, Raw: string(text)})
	}
	for _, raw := range append(a.Events, a.Alerts...) {
		m, err := parse(eventName(string(raw)), string(raw), "")
		if err != nil {
			return err
		}
		p.queue = append(p.queue, m)
	}
	return nil
}

// Next implements Stream.
func (p *pollClient) Next() (Message, error) {
	for deadline := time.Now().Add(p.d.patience()); len(p.queue) == 0; {
		if time.Now().After(deadline) {
			return Message{}, errors.New("nothing came")
		}
		if err := p.ask(strconv.Itoa(int(p.d.patience().Seconds()) / 2)); err != nil {
			return Message{}, err
		}
	}
	m := p.queue[0]
	p.queue = p.queue[1:]
	return m, nil
}

// Close implements Stream.
func (p *pollClient) Close() { p.client.CloseIdleConnections() }
