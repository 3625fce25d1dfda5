package handlers_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// TestReferenceMessages: every message of every transport is as the AsyncAPI document
// says, and each that it names was sent, with every field.
func TestReferenceMessages(t *testing.T) {
	for _, tr := range transporttest.Transports() {
		t.Run(tr.Name, func(t *testing.T) {
			s := newServer(t, func(c *config.Config) { c.Stream.Heartbeat = time.Second })
			d := s.spec(t, "asyncapi.json")
			seen := map[string]bool{}
			stream, err := tr.Dial(s.url, transporttest.Dial{Token: s.token(doorbell.RoleConsole, "till", 1), Query: "after=k3f9.1:42", SID: "till"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stream.Close)
			note := func(m transporttest.Message) {
				name := "alert"
				if m.Event != "" && m.Event != "message" {
					name = m.Event
				}
				seen[name] = true
				if name == "hello" && tr.Name == "poll" {
					return // the client's own, of the answer
				}
				message := object(d.doc, "components", "messages", name)
				if message == nil {
					t.Fatalf("%s: no message of the reference: %s", name, m.Raw)
				}
				schema := strings.TrimPrefix(fmt.Sprint(object(message["payload"])["$ref"]), "#/components/schemas/")
				d.valid(t, name, m.Raw, "components", "schemas", schema)
			}
			want := func(name string) {
				t.Helper()
				for !seen[name] {
					m, err := stream.Next()
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					note(m)
				}
			}
			want("hello")
			want("reset")
			for _, typ := range doorbell.Types {
				s.raise(1, typ, 7, "订单号: \"<7>\" \u2028")
			}
			want("alert")
			if tr.Name == "poll" {
				return // between two polls an announcement is missed, and nothing pings one
			}
			s.as(s.token(doorbell.RoleService, "backend", 1), "POST", "api/v1/announcements", `{"text":"x"}`).want(t, "announce", 202, "")
			want("announce")
			if ws, ok := stream.(*transporttest.WebSocket); ok {
				if err := ws.Conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
					t.Fatal(err)
				}
				want("received")
			}
			want("ping")
			ended := make(chan struct{})
			go func() { defer close(ended); s.endSessions() }()
			want("bye")
			stream.Close()
			<-ended
			channel := map[string]string{"websocket": "webSocket", "sse": "events"}[tr.Name]
			var named []string
			for name := range object(d.doc, "channels", channel, "messages") {
				if name != "text" { // the client's
					named = append(named, name)
				}
			}
			slices.Sort(named)
			if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, named) {
				t.Errorf("sent %v, the reference has %v", got, named)
			}
		})
	}
}
