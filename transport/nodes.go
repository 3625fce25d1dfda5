package transport

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"doorbell/internal/doorbell"
)

// ErrNodesSilent says that another node may know the answer and could not be
// asked.
var ErrNodesSilent = errors.New("not every node has answered")

// question is a question to the other nodes. One of its fields is set.
type question struct {
	Consoles doorbell.ShopID `json:"consoles,omitempty"` // which consoles follow the shop?
	Announce *announcement   `json:"announce,omitempty"` // send this to your consoles
	Hearing  *hearingWord    `json:"hearing,omitempty"`  // if the console is yours, store its report
	Sends    *sendsQuestion  `json:"sends,omitempty"`    // is the console yours?
	Receipt  *receiptWord    `json:"receipt,omitempty"`  // store the receipt
	Poll     *pollQuestion   `json:"poll,omitempty"`     // if the console is yours, hand it over
	// Attention: which of the shop's consoles can ring now?
	Attention doorbell.ShopID `json:"attention,omitempty"`
}

type announcement struct {
	Text  string            `json:"text"`
	Shops []doorbell.ShopID `json:"shops"` // null: all
	Plain bool              `json:"plain"`
}

// holder is the part of a grant that decides whose a console is.
type holder struct {
	Subject string `json:"subject"`
	Session string `json:"session"`
}

func holderOf(g doorbell.Grant) holder { return holder{g.Subject, g.Session} }

func (o holder) grant() doorbell.Grant { return doorbell.Grant{Subject: o.Subject, Session: o.Session} }

type hearingWord struct {
	Console string  `json:"console"`
	By      holder  `json:"by"`
	Word    Hearing `json:"word"`
}

type sendsQuestion struct {
	Console string          `json:"console"`
	By      holder          `json:"by"`
	Shop    doorbell.ShopID `json:"shop"`
}

type receiptWord struct {
	Console string         `json:"console"`
	Stage   doorbell.Stage `json:"stage"`
	At      time.Time      `json:"at"`
}

type pollQuestion struct {
	Console string `json:"console"`
	Subject string `json:"subject"`
}

// answer is a node's answer to a question.
type answer struct {
	Yes      bool           `json:"yes,omitempty"`
	Count    int            `json:"count,omitempty"`
	Consoles []ConsoleState `json:"consoles,omitempty"`
	Poll     *handedOver    `json:"poll,omitempty"`

	Attention *Attention `json:"attention,omitempty"`
}

// handedOver is a polling console that continues at another node.
type handedOver struct {
	SID         string            `json:"sid"`
	Label       string            `json:"label"`
	Login       string            `json:"login"`
	Shops       []doorbell.ShopID `json:"shops"`
	Since       time.Time         `json:"since"`
	Audible     *bool             `json:"audible"`
	Reason      string            `json:"reason"`
	HeardAt     time.Time         `json:"heardAt"`
	LastReceipt time.Time         `json:"lastReceipt"`
	LastSounded time.Time         `json:"lastSounded"`
}

// maxTold bounds the consoles that a node lists for another.
const maxTold = 1000

// Answer answers another node's question; nil for an unknown question. It never
// blocks.
func (h *Hub) Answer(asked []byte) []byte {
	var q question
	if err := json.Unmarshal(asked, &q); err != nil {
		return nil
	}
	var a answer
	switch {
	case q.Consoles != 0:
		a.Consoles = h.Consoles(q.Consoles)
		a.Consoles = a.Consoles[:min(len(a.Consoles), maxTold)]
	case q.Attention != 0:
		at := h.Attention(q.Attention)
		at.Consoles = at.Consoles[:min(len(at.Consoles), maxTold)]
		a.Attention = &at
	case q.Announce != nil:
		a.Count = h.Announce(q.Announce.Text, q.Announce.Shops, q.Announce.Plain)
	case q.Hearing != nil:
		a.Yes = h.SetHearing(q.Hearing.Console, q.Hearing.By.grant(), q.Hearing.Word)
	case q.Sends != nil:
		a.Yes = h.Sends(q.Sends.Console, q.Sends.By.grant(), q.Sends.Shop)
	case q.Receipt != nil:
		h.NoteReceipt(q.Receipt.Console, q.Receipt.Stage, q.Receipt.At)
	case q.Poll != nil:
		a.Poll = h.handOver(q.Poll.Console, q.Poll.Subject)
	default:
		return nil
	}
	return encode(a)
}

// ask sends a question to the other nodes.
func (h *Hub) ask(ctx context.Context, q question) (answers []answer, whole bool) {
	if h.bus == nil {
		return nil, true
	}
	told, whole := h.bus.Ask(ctx, encode(q))
	for _, b := range told {
		var a answer
		if err := json.Unmarshal(b, &a); err != nil {
			whole = false
			continue
		}
		answers = append(answers, a)
	}
	return answers, whole
}

// askWhether asks a question that at most one node answers with yes.
func (h *Hub) askWhether(ctx context.Context, q question) (bool, error) {
	answers, whole := h.ask(ctx, q)
	if slices.ContainsFunc(answers, func(a answer) bool { return a.Yes }) {
		return true, nil
	}
	if !whole {
		return false, ErrNodesSilent
	}
	return false, nil
}

// ConsolesOfAll returns Consoles of all nodes that can be asked.
func (h *Hub) ConsolesOfAll(ctx context.Context, shop doorbell.ShopID) []ConsoleState {
	out := h.Consoles(shop)
	answers, _ := h.ask(ctx, question{Consoles: shop})
	for _, a := range answers {
		out = append(out, a.Consoles...)
	}
	slices.SortFunc(out, func(a, b ConsoleState) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Console, b.Console))
	})
	return out
}

// AttentionOfAll is Attention of all nodes that can be asked.
func (h *Hub) AttentionOfAll(ctx context.Context, shop doorbell.ShopID) Attention {
	out := h.Attention(shop)
	answers, _ := h.ask(ctx, question{Attention: shop})
	for _, a := range answers {
		other := a.Attention
		if other == nil { // a node of an older version
			continue
		}
		switch {
		case out.Attentive > 0 && other.Attentive == 0:
		case out.Attentive == 0 && other.Attentive > 0:
			out.Since = other.Since
		case out.Attentive > 0 && other.Since.Before(out.Since), out.Attentive == 0 && other.Since.After(out.Since):
			out.Since = other.Since // attended since the first came, unattended since the last went
		}
		out.Attentive += other.Attentive
		out.Consoles = append(out.Consoles, other.Consoles...)
	}
	return out
}

// AnnounceToAll runs Announce on all nodes that can be asked; each console counts
// once.
func (h *Hub) AnnounceToAll(ctx context.Context, text string, shops []doorbell.ShopID, plain bool) int {
	n := h.Announce(text, shops, plain)
	answers, _ := h.ask(ctx, question{Announce: &announcement{text, shops, plain}})
	for _, a := range answers {
		n += a.Count
	}
	return n
}

// SetHearingOfAny runs SetHearing on the node that has the console. It returns
// ErrNodesSilent if that could not be found out.
func (h *Hub) SetHearingOfAny(ctx context.Context, console string, by doorbell.Grant, v Hearing) (bool, error) {
	if h.SetHearing(console, by, v) {
		return true, nil
	}
	return h.askWhether(ctx, question{Hearing: &hearingWord{console, holderOf(by), v}})
}

// SendsAny runs Sends on the node that has the console. It fails as
// SetHearingOfAny does.
func (h *Hub) SendsAny(ctx context.Context, console string, by doorbell.Grant, shop doorbell.ShopID) (bool, error) {
	if h.Sends(console, by, shop) {
		return true, nil
	}
	return h.askWhether(ctx, question{Sends: &sendsQuestion{console, holderOf(by), shop}})
}

// NoteReceiptOfAny runs NoteReceipt on the node that has the console.
func (h *Hub) NoteReceiptOfAny(ctx context.Context, console string, stage doorbell.Stage, at time.Time) {
	h.NoteReceipt(console, stage, at)
	if !h.knows(console) {
		h.ask(ctx, question{Receipt: &receiptWord{console, stage, at}})
	}
}

func (h *Hub) knows(console string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.console(console) != nil
}

// handOver takes a console between two polls off the list and returns what another
// node needs to continue with it; nil if the console is not here or not the
// subject's.
func (h *Hub) handOver(console, subject string) *handedOver {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.consoles[console]
	if c == nil || c.Transport != Poll || c.Subject != subject || c.session != nil {
		return nil
	}
	delete(h.consoles, console)
	h.lingers--
	return &handedOver{
		SID: c.SID, Label: c.Label, Login: c.Login, Shops: c.Shops, Since: c.Since, Audible: c.Audible, Reason: c.AudibleReason,
		HeardAt: c.heardAt, LastReceipt: c.LastReceipt, LastSounded: c.lastSounded,
	}
}

// fetchPoll fetches the console of a poll from the node that it used before: the
// console keeps its id and its report.
func (h *Hub) fetchPoll(ctx context.Context, sub Subscription) {
	if sub.Transport != Poll || sub.Console == "" || sub.Unlisted || h.bus == nil || h.knows(sub.Console) {
		return
	}
	answers, _ := h.ask(ctx, question{Poll: &pollQuestion{sub.Console, sub.Grant.Subject}})
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range answers {
		if p := a.Poll; p != nil && h.consoles[sub.Console] == nil {
			c := &Console{
				ID: sub.Console, SID: p.SID, Label: p.Label, Transport: Poll, Remote: sub.Remote, Subject: sub.Grant.Subject, Login: p.Login,
				Shops: p.Shops, Since: p.Since, Audible: p.Audible, AudibleReason: p.Reason, LastReceipt: p.LastReceipt,
				heardAt: p.HeardAt, lastSounded: p.LastSounded, seen: time.Now(),
			}
			if c.deaf(time.Now()) == "" {
				c.attentiveSince = c.heardAt
			}
			h.consoles[c.ID] = c
			h.lingers++
		}
	}
}
