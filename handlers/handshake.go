package handlers

import (
	"encoding/base64"
	"strings"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// webSocketVersion is the only version (RFC 6455).
const webSocketVersion = "13"

// handshake checks the opening handshake by RFC 6455, 4.2.1, before a ticket is
// spent, because a ticket is valid once.
func handshake(c *gin.Context) error {
	r := c.Request
	if !r.ProtoAtLeast(1, 1) || !transport.HeaderLists(r.Header, "Upgrade", "websocket") || !transport.HeaderLists(r.Header, "Connection", "upgrade") {
		return needsUpgrade(c, doorbell.Refuse(UpgradeNeeded, "This address speaks WebSocket over HTTP/1.1; /events and /poll speak HTTP.", "此地址仅支持基于 HTTP/1.1 的 WebSocket；HTTP 请使用 /events 或 /poll。"))
	}
	if v := r.Header.Values("Sec-Websocket-Version"); len(v) != 1 || strings.TrimSpace(v[0]) != webSocketVersion {
		return needsUpgrade(c, doorbell.Refuse(UpgradeNeeded, "WebSocket version 13 is wanted.", "仅支持 WebSocket 版本 13。"))
	}
	keys := r.Header.Values("Sec-Websocket-Key")
	if len(keys) != 1 {
		return doorbell.InvalidField("Sec-WebSocket-Key", "must be given once", "必须且只能提供一个")
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err != nil || len(key) != 16 {
		return doorbell.InvalidField("Sec-WebSocket-Key", "must be base64 of 16 bytes", "必须是 16 字节的 base64")
	}
	if offers := r.Header.Values("Sec-Websocket-Protocol"); len(offers) > 1 {
		// The upgrader reads only the first line, but RFC 6455, 11.3.4, allows
		// several: a page would get events without the subprotocol, and show them as
		// alerts.
		r.Header.Set("Sec-Websocket-Protocol", strings.Join(offers, ", "))
	}
	if r.ContentLength != 0 {
		c.Header("Connection", "close") // otherwise net/http reads the whole body before it answers
		return doorbell.InvalidField("body", "does not belong to a handshake", "握手请求不能带请求体")
	}
	return nil
}

// needsUpgrade adds the headers of a 426 answer: RFC 9110, 15.5.22, and RFC 6455,
// 4.4.
func needsUpgrade(c *gin.Context, refusal error) error {
	c.Header("Sec-WebSocket-Version", webSocketVersion)
	if c.Request.ProtoMajor == 1 { // HTTP/2 has neither
		c.Header("Upgrade", "websocket")
		c.Header("Connection", "Upgrade")
	}
	return refusal
}
