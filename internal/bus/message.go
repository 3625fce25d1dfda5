package bus

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"

	"doorbell/internal/doorbell"
)

// A message consists of its kind, the node's id, the kind's fields, and a seal of
// 16 bytes over all of that. A text is preceded by its length.
//
//	alert     the log's epoch; shop, seq, type, nonce and the nonce before, as
//	          varints; the alert's bytes
//	question  its id, its body
//	answer    the question's id, its body
//	here      nothing: the node is there
//
// An unknown kind is refused; a newer node may send one.
type kind byte

const (
	alertKind kind = 1 + iota
	questionKind
	answerKind
	hereKind
)

const (
	sealLen = 16
	// maxText bounds an id and an epoch.
	maxText = 64
	// maxData bounds the alert's bytes: 500 characters of content fit, even if each
	// is escaped. For a longer alert the message carries only shop and seq.
	maxData = 4096
	// maxBody bounds a question and an answer; NATS takes 1 MiB.
	maxBody = 512 << 10
	// maxMessage is an upper bound for a message.
	maxMessage = maxBody + 512
)

// message is a message that was read. Its fields share the received bytes.
type message struct {
	kind  kind
	node  string
	alert doorbell.PeerAlert // where kind is alertKind
	id    string             // of a question
	body  []byte
}

// sealer writes and reads the messages of one node of one installation.
type sealer struct {
	node   string
	key    []byte
	prefix string // of subjects
}

// everybody returns the subject that all nodes listen to.
func (s sealer) everybody() string { return s.prefix + "all" }

// inbox returns the subject that one node listens to.
func (s sealer) inbox(node string) string { return s.prefix + "node." + node }

func newSealer(key []byte) sealer {
	name := sha256.Sum256(append([]byte("doorbell subject "), key...))
	return sealer{node: rand.Text()[:13], key: key, prefix: "doorbell." + hex.EncodeToString(name[:8]) + "."}
}

// subject returns the subject of a shop's alerts. It differs between installations
// on one broker, although each may have a shop 1.
func (s sealer) subject(shop doorbell.ShopID) string {
	return s.prefix + "shop." + strconv.FormatInt(int64(shop), 10)
}

func (s sealer) seal(a doorbell.Alert) Outgoing {
	data := a.Encode()
	if len(data) > maxData {
		data = nil
	}
	b := make([]byte, 0, 128+len(data))
	b = s.begin(b, alertKind)
	b = appendBytes(b, a.Epoch)
	for _, v := range []int64{int64(a.Shop), int64(a.Seq), int64(a.Type), int64(a.Nonce), int64(a.Prev)} {
		b = binary.AppendVarint(b, v)
	}
	b = appendBytes(b, string(data))
	return Outgoing{Subject: s.subject(a.Shop), Data: append(b, s.sum(b)...)}
}

// sealBody returns a sealed question, answer or announcement.
func (s sealer) sealBody(subject string, k kind, id string, body []byte) Outgoing {
	b := s.begin(make([]byte, 0, 128+len(body)), k)
	b = appendBytes(b, id)
	b = appendBytes(b, string(body))
	return Outgoing{Subject: subject, Data: append(b, s.sum(b)...)}
}

func (s sealer) begin(b []byte, k kind) []byte { return appendBytes(append(b, byte(k)), s.node) }

func (s sealer) sum(b []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(b)
	return mac.Sum(nil)[:sealLen]
}

func appendBytes(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

var errForeign = errors.New("not a message of this installation")

// open reads and checks a message.
func (s sealer) open(b []byte) (m message, err error) {
	if len(b) < sealLen+2 || len(b) > maxMessage {
		return m, errForeign
	}
	body, seal := b[:len(b)-sealLen], b[len(b)-sealLen:]
	if !hmac.Equal(seal, s.sum(body)) {
		return m, errForeign
	}
	r := reader{left: body[1:]}
	m.kind, m.node = kind(body[0]), string(r.bytes(maxText))
	switch m.kind {
	case alertKind:
		m.alert = r.alert()
	case questionKind, answerKind, hereKind:
		m.id, m.body = string(r.bytes(maxText)), r.bytes(maxBody)
	default:
		return message{}, errForeign
	}
	if r.bad || len(r.left) > 0 {
		return message{}, errForeign
	}
	return m, nil
}

func (r *reader) alert() (n doorbell.PeerAlert) {
	n.Epoch = string(r.bytes(maxText))
	n.Shop, n.Seq, n.Type = doorbell.ShopID(r.int()), doorbell.Seq(r.int()), doorbell.Type(r.int())
	n.Nonce, n.Prev = doorbell.Nonce(r.int()), doorbell.Nonce(r.int())
	n.Data = r.bytes(maxData)
	r.bad = r.bad || n.Shop < 1 || n.Seq < 1 || n.Type < doorbell.NewOrder || n.Type > doorbell.CalledOff
	return n
}

// reader reads the fields of a message; bad is set once a field is missing.
type reader struct {
	left []byte
	bad  bool
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.left)
	if n <= 0 {
		r.bad, r.left = true, nil
		return 0
	}
	r.left = r.left[n:]
	return v
}

func (r *reader) bytes(most uint64) []byte {
	size, n := binary.Uvarint(r.left)
	if n <= 0 || size > most || size > uint64(len(r.left)-n) {
		r.bad, r.left = true, nil
		return nil
	}
	out := r.left[n : n+int(size)]
	r.left = r.left[n+int(size):]
	return out
}
