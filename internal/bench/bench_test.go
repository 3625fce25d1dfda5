//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func alertFrame(seq int) []byte {
	return fmt.Appendf(nil, `{"type":1,"orderId":%d,"content":"%s","shopId":900000001,"seq":%d}`, seq, strings.Repeat("x", 120), seq)
}

// TestConsolesCountFaults: the load tool must notice lost, doubled and reordered
// alerts, otherwise it proves nothing.
func TestConsolesCountFaults(t *testing.T) {
	hello := []byte(`{"event":"hello","console":"c1","cursor":"e1.900000001:4"}`)
	for _, c := range []struct {
		name string
		seqs []int
		want faults
		got  int64
	}{
		{"as sent", []int{5, 6, 7}, faults{}, 3},
		{"one twice", []int{5, 6, 6, 7}, faults{doubled: 1}, 3},
		{"one missing", []int{5, 7}, faults{reordered: 1, missed: 1}, 2},
		{"two changed places", []int{5, 7, 6}, faults{reordered: 1, missed: 1, doubled: 1}, 2},
		{"the first ones missing", []int{8}, faults{reordered: 1, missed: 3}, 1},
	} {
		for _, transport := range []string{"ws", "sse"} {
			t.Run(c.name+" "+transport, func(t *testing.T) {
				wire := func(data []byte) []byte {
					if transport == "ws" {
						return webSocketFrame(data)
					}
					return eventChunk("e1.900000001:1", data)
				}
				stream := []byte{0x81, byte(len(hello))}
				stream = append(stream, hello...)
				if transport == "sse" {
					stream = eventChunk("e1.900000001:4", hello)
				}
				for _, seq := range c.seqs {
					stream = append(stream, wire(alertFrame(seq))...)
				}
				// Cut at any byte: in a head, in a payload, in a chunk's size.
				for _, piece := range []int{1, 7, 100, len(stream)} {
					f := &fleet{transport: transport, base: 1, byFD: map[int32]*console{}}
					one := &console{shop: firstShop}
					for b := range slices.Chunk(stream, piece) {
						f.take(one, b)
					}
					if f.wrong != c.want || f.received.Load() != c.got {
						t.Errorf("in pieces of %d: %+v and %d received, want %+v and %d", piece, f.wrong, f.received.Load(), c.want, c.got)
					}
					if one.epoch != "e1" {
						t.Errorf("epoch %q, want e1", one.epoch)
					}
				}
			})
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond} {
		if got := h.quantile(q); got < want*95/100 || got > want*106/100 {
			t.Errorf("quantile %v: %v, want %v within a step", q, got, want)
		}
	}
	if got := spreadOf([]float64{3, 1, 2, 10}); got != (spread{1, 2.5, 10}) {
		t.Errorf("spread %v, want 1 2.5 10", got)
	}
}

// TestFigureLine checks the line that scripts parse.
func TestFigureLine(t *testing.T) {
	b, err := json.Marshal(Figure{Run: 1, Scenario: "flat", Transport: "ws", Consoles: 10, Shops: 1, Name: "x", Unit: "µs", Value: 2, Floor: 4, Ratio: 0.5})
	want := `{"run":1,"scenario":"flat","transport":"ws","consoles":10,"shops":1,"figure":"x","unit":"µs","value":2,"floor":4,"ratio":0.5}`
	if err != nil || string(b) != want {
		t.Errorf("%s %v, want %s", b, err, want)
	}
}

// TestRefusedConsoles: if the server refuses the consoles, the error says why, at
// once.
func TestRefusedConsoles(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"turned away", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such shop", http.StatusForbidden)
		}, "refused: HTTP/1.1 403 Forbidden: no such shop"},
		{"hung up on", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "hung up on a new console"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			f, err := newFleet(Target{URL: server.URL + "/", Console: "t"}, "ws")
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			err = f.connect(t.Context(), 2*maxDialing, func(int) int64 { return firstShop })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("connect: %v, want %s", err, c.want)
			}
		})
	}
}
