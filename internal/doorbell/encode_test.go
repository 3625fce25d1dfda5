package doorbell

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// alertFields is how an alert stands in the contract.
type alertFields struct {
	Type    Type    `json:"type"`
	OrderID OrderID `json:"orderId"`
	Content string  `json:"content"`
	Shop    ShopID  `json:"shopId"`
	Seq     Seq     `json:"seq"`
	Number  string  `json:"number"`
	Source  Source  `json:"source"`
	Time    string  `json:"time"`
	Test    bool    `json:"test,omitempty"`
}

// FuzzEncode holds the encoder against encoding/json, byte for byte.
func FuzzEncode(f *testing.F) {
	f.Add(1, int64(7), "订单号：1001", int64(1), int64(3), "1001", "order", int64(1_700_000_000_123), true)
	f.Add(4, int64(1<<53-1), "a\"b\\c\td\u2028<&>\x7f\xff\u0000 \U0001f514", int64(-1), int64(0), "", "external", int64(-1), false)
	f.Fuzz(func(t *testing.T, typ int, order int64, content string, shop, seq int64, number, source string, ms int64, test bool) {
		a := Alert{
			Type: Type(typ), OrderID: OrderID(order), Content: content, Shop: ShopID(shop), Seq: Seq(seq), Number: number,
			Source: Source(source), Time: time.UnixMilli(ms % (1 << 45)), Test: test, Actor: "never sent",
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		err := enc.Encode(alertFields{a.Type, a.OrderID, a.Content, a.Shop, a.Seq, a.Number, a.Source, a.Time.UTC().Format(TimeLayout), a.Test})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Encode(); !bytes.Equal(got, bytes.TrimSuffix(want.Bytes(), []byte("\n"))) {
			t.Errorf("got  %q\nwant %q", got, want.Bytes())
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	a := Alert{
		Type: NewOrder, OrderID: 42, Content: "您有新的外卖订单，请及时处理。订单号：1732345678901", Shop: 1, Seq: 12345,
		Number: "1732345678901", Source: FromOrder, Time: time.Now(),
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Encode()
	}
}

// BenchmarkCursor measures what a console's cursor costs, in one shop and in many.
func BenchmarkCursor(b *testing.B) {
	for name, shops := range map[string]int{"shops=1": 1, "shops=64": 64} {
		c := Cursor{Epoch: "abcdefghij", Seqs: map[ShopID]Seq{}}
		for i := range shops {
			c.Seqs[ShopID(i+1)] = Seq(1000 + i)
		}
		text := c.String()
		b.Run("String/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = c.String()
			}
		})
		b.Run("Parse/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseCursor(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
