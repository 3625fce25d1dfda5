package transport

import (
	"encoding/json"
	"time"

	"doorbell/internal/doorbell"
)

// encode encodes values that can always be encoded.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

type helloEvent struct {
	Event     string  `json:"event"`
	Console   string  `json:"console"`
	SID       string  `json:"sid"`
	Cursor    string  `json:"cursor"`
	Epoch     string  `json:"epoch"`
	Version   string  `json:"version"`
	Heartbeat float64 `json:"heartbeat"` // seconds
}

type resetEvent struct {
	Event  string            `json:"event"`
	Cursor string            `json:"cursor"`
	Shops  []doorbell.ShopID `json:"shops"`
	Reason ResetReason       `json:"reason"`
}

// ResetReason says why a stream can't continue from the client's cursor.
type ResetReason string

// The reasons of a reset.
const (
	EpochChanged ResetReason = "epoch"
	AboveHead    ResetReason = "above_head"
	Pruned       ResetReason = "pruned"
	BadCursor    ResetReason = "bad_cursor"
)

// resetReasons are all of them.
var resetReasons = []ResetReason{BadCursor, EpochChanged, AboveHead, Pruned}

type pingEvent struct {
	Event string `json:"event"`
	Time  string `json:"time"`
}

type byeEvent struct {
	Event   string `json:"event"`
	Reason  string `json:"reason"`
	RetryMs int64  `json:"retryMs"`
}

// Bye returns the event that tells a client of a temporary refusal.
func Bye(reason string, retryMs int64) []byte {
	return encode(byeEvent{Event: "bye", Reason: reason, RetryMs: retryMs})
}

type announceEvent struct {
	Event string `json:"event"`
	Text  string `json:"text"`
	Time  string `json:"time"`
}

type receivedEvent struct {
	Event string `json:"event"`
	Bytes int    `json:"bytes"`
}

func stamp(t time.Time) string { return t.UTC().Format(doorbell.TimeLayout) }
