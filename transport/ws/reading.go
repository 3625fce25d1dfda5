package ws

import (
	"encoding/binary"
	"time"

	"github.com/gorilla/websocket"
)

// What was written is not read: it may stand in a socket that closes in the same
// moment (9 of 82 alerts that a page had lost). A ping whose payload is the number
// of messages before it goes out with them, and comes back when the browser has
// read so far.

// asking is that ping as a frame: final, unmasked, of eight bytes.
func asking(total uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{0x80 | websocket.PingMessage, 8}, total)
}

// answered runs at the first pong of a client that is asked, in melody's reader, and
// takes the place of melody's own handler, which does not tell the payload.
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
