package ws

import (
	"encoding/binary"
	"time"

	"github.com/gorilla/websocket"
)

// A written message is not yet read: it may be in a socket that closes at that
// moment (9 of 82 alerts that a page had lost). So a ping follows the messages, with
// their number as its payload; its pong comes when the browser has read that far.

// asking returns that ping as a frame: final, unmasked, eight bytes.
func asking(total uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{0x80 | websocket.PingMessage, 8}, total)
}

// answered runs in melody's reader at the first pong of a client that gets such
// pings. It replaces melody's own handler, which does not pass the payload on.
func (c *conn) answered(wait time.Duration) {
	if !c.line.asks {
		return
	}
	c.raw.SetPongHandler(func(payload string) error {
		if len(payload) == 8 {
			c.session.Read(binary.BigEndian.Uint64([]byte(payload)))
		}
		return c.raw.SetReadDeadline(time.Now().Add(wait))
	})
}
