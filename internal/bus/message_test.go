package bus

import (
	"bytes"
	"testing"
)

// FuzzOpen: random bytes and changed messages are refused, and a genuine one is
// read as it was sealed.
func FuzzOpen(f *testing.F) {
	s := newSealer(testKey)
	f.Add([]byte{byte(alertKind)}, 0, byte(1))
	f.Add(s.seal(alert(1, 7)).Data, 5, byte(0))
	f.Add(append([]byte{byte(alertKind), 1, 'n', 1, 'e', 2, 2, 2, 2, 2, 0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, sealLen)...), 1, byte(9))
	f.Fuzz(func(t *testing.T, data []byte, at int, with byte) {
		if m, err := s.open(data); err == nil && len(m.alert.Data) > maxData {
			t.Errorf("accepted %d bytes of data", len(m.alert.Data))
		}
		// With a valid seal, so that the reader itself is tested.
		m, err := s.open(append(bytes.Clone(data), s.sum(data)...))
		if err == nil && m.kind == alertKind && (m.alert.Shop < 1 || m.alert.Seq < 1 || len(m.alert.Data) > maxData) {
			t.Errorf("accepted %+v", m)
		}
		genuine := s.seal(alert(1, 7)).Data
		if at < 0 || at >= len(genuine) || genuine[at] == with {
			return
		}
		genuine[at] = with
		if _, err := s.open(genuine); err == nil {
			t.Errorf("a changed message is accepted: byte %d is %d", at, with)
		}
	})
}

func TestSeal(t *testing.T) {
	s, other := newSealer(testKey), newSealer(testKey)
	a := alert(9007199254740991, 1<<52)
	m, err := other.open(s.seal(a).Data)
	n := m.alert
	if err != nil || m.kind != alertKind || m.node != s.node || n.Shop != a.Shop || n.Seq != a.Seq || n.Type != a.Type || n.Link != a.Link || !bytes.Equal(n.Data, a.Encode()) {
		t.Errorf("read %+v (%v), want %+v", m, err, a)
	}
	q, err := other.open(s.sealBody(s.everybody(), questionKind, "id", []byte("body")).Data)
	if err != nil || q.kind != questionKind || q.node != s.node || q.id != "id" || string(q.body) != "body" {
		t.Errorf("read %+v (%v), want the question", q, err)
	}
	if _, err := other.open(s.sealBody(s.everybody(), hereKind+1, "", nil).Data); err == nil {
		t.Error("an unknown kind is accepted")
	}
	if foreign := newSealer([]byte("another installation")); foreign.subject(1) == s.subject(1) {
		t.Error("two installations share a subject")
	}
}

// BenchmarkSeal measures what an alert costs the sending node, without the broker.
func BenchmarkSeal(b *testing.B) {
	s := newSealer(testKey)
	a := alert(1, 7)
	b.ReportAllocs()
	for b.Loop() {
		s.seal(a)
	}
}

// BenchmarkOpen measures what it costs each node that follows its shop.
func BenchmarkOpen(b *testing.B) {
	data := newSealer(testKey).seal(alert(1, 7)).Data
	s := newSealer(testKey)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.open(data); err != nil {
			b.Fatal(err)
		}
	}
}
