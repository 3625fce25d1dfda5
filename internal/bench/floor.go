//go:build linux

package bench

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 says so
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Floor returns a server with the least work that any server must do: it receives
// an alert by HTTP, encodes the bytes once and does one write for each console of
// the shop. It stores nothing, checks no credentials and waits for a console that
// does not read.
func Floor() http.Handler {
	f := &floor{shops: map[string]*floorShop{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", f.webSocket)
	mux.HandleFunc("GET /events", f.events)
	mux.HandleFunc("POST /api/v1/alerts", f.alert)
	return mux
}

type floor struct {
	mu    sync.Mutex
	shops map[string]*floorShop
}

type floorShop struct {
	mu       sync.Mutex
	seq      int64
	consoles []net.Conn
	events   bool // Server-Sent Events, else WebSocket
}

func (f *floor) shop(id string) *floorShop {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shops[id]
	if s == nil {
		s = &floorShop{}
		f.shops[id] = s
	}
	return s
}

func (f *floor) webSocket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	f.attach(w, r, false, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
}

func (f *floor) events(w http.ResponseWriter, r *http.Request) {
	f.attach(w, r, true, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
}

func (f *floor) attach(w http.ResponseWriter, r *http.Request, events bool, head string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s := f.shop(r.URL.Query().Get("shops"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	s.events = events
	s.consoles = append(s.consoles, conn)
}

func (f *floor) alert(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	shop, _ := number(body, []byte(`"shopId":`))
	order, _ := number(body, []byte(`"orderId":`))
	id := strconv.FormatInt(shop, 10)
	s := f.shop(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	data := wireAlert(shop, s.seq, order)
	frame := webSocketFrame(data)
	if s.events {
		frame = eventChunk(fmt.Sprintf("floor.%d:%d", shop, s.seq), data)
	}
	for _, c := range s.consoles {
		_, _ = c.Write(frame) // errors are ignored: a console may have left
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(data)
}

// wireAlert returns the alert that doorbell sends for appendAlert's body.
func wireAlert(shop, seq, order int64) []byte {
	return fmt.Appendf(nil, `{"type":1,"orderId":%d,"content":"您有新的外卖订单，请及时处理","shopId":%d,"seq":%d,"number":"","source":"external","time":%q}`,
		order, shop, seq, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
}

func webSocketFrame(data []byte) []byte {
	frame := []byte{0x81, 126, 0, 0}
	binary.BigEndian.PutUint16(frame[2:], uint16(len(data)))
	return append(frame, data...)
}

func eventChunk(id string, data []byte) []byte {
	event := fmt.Appendf(nil, "id: %s\ndata: %s\n\n", id, data)
	return fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
}
