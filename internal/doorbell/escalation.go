package doorbell

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Rung tells somebody of an alert that has rung for After, and again every Repeat
// until somebody takes care of it; once where Repeat is 0.
type Rung struct {
	After  time.Duration
	Repeat time.Duration
	To     Addressee
}

// Addressee is who is told: a webhook, a channel of the owner's, or PushTo.
type Addressee struct {
	Name string // as the settings and the report have it
	Hook string // of its messages in the outbox
}

const (
	// PushName stands for the devices that take a shop's pushes.
	PushName = "push"
	// channelPrefix begins the outbox's name of a channel: webhooks have none of it.
	channelPrefix = "notify:"
)

// ChannelTo addresses a channel, or the shop's pushes by PushName.
func ChannelTo(name string) Addressee { return Addressee{Name: name, Hook: channelPrefix + name} }

// IsChannel reports whether messages of this hook go to people.
func IsChannel(hook string) bool { return strings.HasPrefix(hook, channelPrefix) }

// HookTo addresses a webhook.
func HookTo(name string) Addressee { return Addressee{Name: name, Hook: name} }

// Ladder is what is done about an alert that nobody takes care of.
type Ladder []Rung

// maxRounds bounds how often one rung tells of one alert: whoever has not come
// after that is not brought by another message.
const maxRounds = 60

// Step is one round of one rung.
type Step struct{ Rung, Round int }

// Rounds are the last round of each rung that was told; a rung that told nothing is
// not in it.
type Rounds map[int]int

// round returns which round of a rung is due when an alert has rung for so long;
// -1 for none.
func (r Rung) round(rung time.Duration) int {
	switch {
	case rung < r.After:
		return -1
	case r.Repeat == 0:
		return 0
	default:
		return int(min((rung-r.After)/r.Repeat, maxRounds-1))
	}
}

// Due returns the steps that are due when an alert has rung for so long. Of the
// rounds that were missed, while no server ran, the last one stands for all.
func (l Ladder) Due(rung time.Duration, done Rounds) (out []Step) {
	for i, r := range l {
		round := r.round(rung)
		if last, told := done[i]; round >= 0 && (!told || round > last) {
			out = append(out, Step{i, round})
		}
	}
	return out
}

// Next returns for how long an alert has rung when the next step is due; false
// when there is none left.
func (l Ladder) Next(done Rounds) (next time.Duration, more bool) {
	for i, r := range l {
		at := r.After
		if last, told := done[i]; told {
			if r.Repeat == 0 || last+1 >= maxRounds {
				continue
			}
			at += time.Duration(last+1) * r.Repeat
		}
		if !more || at < next {
			next, more = at, true
		}
	}
	return next, more
}

// channels returns those who are the owner's own, each once: who
// is told that a shop is unattended. Webhooks choose their events themselves.
func (l Ladder) channels() (out []Addressee) {
	seen := map[Addressee]bool{}
	for _, r := range l {
		if r.To.Hook == r.To.Name || seen[r.To] {
			continue
		}
		seen[r.To] = true
		out = append(out, r.To)
	}
	return out
}

// Ladders are the shops' ladders; 0 is that of all others.
type Ladders map[ShopID]Ladder

// Of returns a shop's ladder; nil for none.
func (l Ladders) Of(shop ShopID) Ladder {
	if own, named := l[shop]; named {
		return own
	}
	return l[0]
}

// Escalation is one step that was told, or was to be.
type Escalation struct {
	Shop ShopID
	Seq  Seq
	Step
	To      string // the addressee's name
	Message string // of the outbox
	State   OutgoingState
	At      time.Time // when it was due and queued
	DoneAt  time.Time // when it was taken, given up or withdrawn; zero while it waits
	Error   string    // why the last attempt failed
}

// EscalationTx keeps what was told of alerts that nobody takes care of.
type EscalationTx interface {
	// Claim keeps a step, under the lock of the shop's head. rings is false, and
	// nothing is kept, where somebody has taken care of the alert; claimed is false
	// where the step stands already.
	Claim(e Escalation) (claimed, rings bool, err error)
}

// escalatedEvent is the data of alert.escalated.
type escalatedEvent struct {
	Alert   Alert  `json:"alert"`
	Shop    ShopID `json:"shopId"`
	Number  string `json:"number"`
	Seconds int64  `json:"seconds"` // since it rang
	Rung    int    `json:"rung"`    // from 1
	Round   int    `json:"round"`   // from 1
	To      string `json:"to"`
}

// OwnerNotice is what a channel is told, in the outbox.
type OwnerNotice struct {
	Event   EventType `json:"type"`
	Shop    ShopID    `json:"shopId"`
	Alert   *Alert    `json:"alert,omitempty"` // of alert.escalated
	Seconds int64     `json:"seconds,omitempty"`
	Test    bool      `json:"test,omitempty"`
}

// ParseOwnerNotice reads what Escalate wrote.
func ParseOwnerNotice(body []byte) (n OwnerNotice, err error) {
	var raw struct {
		OwnerNotice
		Alert *struct {
			Type    Type    `json:"type"`
			OrderID OrderID `json:"orderId"`
			Content string  `json:"content"`
			Shop    ShopID  `json:"shopId"`
			Seq     Seq     `json:"seq"`
			Number  string  `json:"number"`
			Source  Source  `json:"source"`
			Time    string  `json:"time"`
			Test    bool    `json:"test"`
		} `json:"alert"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return n, err
	}
	n = raw.OwnerNotice
	if a := raw.Alert; a != nil {
		at, err := time.Parse(TimeLayout, a.Time)
		if err != nil {
			return n, err
		}
		n.Alert = &Alert{
			Type: a.Type, OrderID: a.OrderID, Content: a.Content, Shop: a.Shop, Seq: a.Seq, Number: a.Number, Source: a.Source, Time: at, Test: a.Test,
		}
	}
	return n, nil
}

// Escalate tells the next one of an alert that has rung for so long, unless the
// step was told before or somebody has taken care of it: in one transaction with
// the step's own row, so that two nodes, or one that was killed, tell it once.
func (s *Service) Escalate(ctx context.Context, a Alert, step Step, rung time.Duration) (claimed, rings bool, err error) {
	to := s.rules.Ladders.Of(a.Shop)[step.Rung].To
	seconds := int64(rung / time.Second)
	err = s.store.WriteUrgent(ctx, func(tx Tx) error {
		e := Escalation{Shop: a.Shop, Seq: a.Seq, Step: step, To: to.Name, Message: newMessage(), At: s.now()}
		if claimed, rings, err = tx.Claim(e); err != nil || !claimed {
			return err
		}
		about := escalatedEvent{a, a.Shop, a.Number, seconds, step.Rung + 1, step.Round + 1, to.Name}
		if err := s.tellAbout(tx, AlertEscalated, a.Shop, about, a.Seq, to.Hook); err != nil {
			return err
		}
		if to.Hook == to.Name {
			return s.enqueueEvent(tx, to.Hook, e.Message, AlertEscalated, a.Shop, about, a.Seq)
		}
		return s.enqueueNotice(tx, to, e.Message, OwnerNotice{Event: AlertEscalated, Shop: a.Shop, Alert: &a, Seconds: seconds, Test: a.Test}, a.Seq)
	})
	if err == nil && claimed {
		s.log.WarnContext(ctx, "alert escalated: nobody has taken care of it", "shop", a.Shop, "seq", a.Seq, "type", a.Type, "number", a.Number,
			"seconds", seconds, "rung", step.Rung+1, "round", step.Round+1, "to", to.Name)
	}
	return claimed, rings, err
}

// enqueueNotice queues what a channel is told.
func (s *Service) enqueueNotice(tx Tx, to Addressee, message string, n OwnerNotice, about Seq) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	now := s.now()
	return tx.Enqueue(Outgoing{Hook: to.Hook, Message: message, Event: n.Event, Shop: n.Shop, About: about, Body: body, NextAt: now, CreatedAt: now})
}

// TestEscalation is a message that says no more than that it arrived.
func TestEscalation(shop ShopID, to Addressee, at time.Time) (Outgoing, error) {
	var data any = OwnerNotice{Event: AlertEscalated, Shop: shop, Test: true}
	if !IsChannel(to.Hook) {
		data = event{AlertEscalated, stamp(at), data}
	}
	body, err := json.Marshal(data)
	return Outgoing{Hook: to.Hook, Message: newMessage(), Event: AlertEscalated, Shop: shop, Body: body}, err
}
