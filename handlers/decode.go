package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

const (
	// maxBody bounds a request's body.
	maxBody = 64 << 10
	// bodyWait is how long a client may take to send it.
	bodyWait = 10 * time.Second
	// answerWait is how long a client may take to read an answer that is
	// larger than its socket's buffers.
	answerWait = 10 * time.Second
)

// detachedKey marks a request whose connection was taken over from net/http.
const detachedKey = "detached"

// bounded limits how long a client that neither sends nor reads can hold its
// handler. Streams set their own deadlines once they run, and so does readBody;
// the handler may take its time between the two.
func bounded(c *gin.Context) {
	rc := http.NewResponseController(c.Writer)
	if c.Request.ContentLength != 0 {
		// net/http reads the rest of a body that the handler did not read, and clears
		// the deadline at the next request.
		_ = rc.SetReadDeadline(time.Now().Add(bodyWait)) // a test's recorder does not support it
	}
	_ = rc.SetWriteDeadline(time.Now().Add(answerWait))
	c.Next()
	if !c.GetBool(detachedKey) {
		_ = rc.SetWriteDeadline(time.Now().Add(answerWait)) // a small answer is sent after the handler returns
	}
}

// readBody reads a body up to a limit within bodyWait.
func readBody(c *gin.Context, limit int64) ([]byte, error) {
	rc := http.NewResponseController(c.Writer)
	deadline := time.Now().Add(bodyWait)
	if err := rc.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fmt.Errorf("bound the body's time: %w", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, doorbell.Refuse(TooLarge, "The body is larger than %d bytes.", "请求体超过 %d 字节。", limit)
	}
	if err != nil {
		return nil, doorbell.Refuse(doorbell.Invalid, "The body could not be read to its end.", "请求体读取不完整。").Because(err)
	}
	// The time for the answer starts here.
	if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Now().Add(answerWait))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fmt.Errorf("lift the body's bound: %w", err)
	}
	return body, nil
}

// decode reads a JSON object into v. Its error names the wrong field.
func decode(c *gin.Context, v any) error {
	body, err := readBody(c, maxBody)
	if err != nil {
		return err
	}
	if err := checkText(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	err = dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return doorbell.InvalidField(orBody(te.Field), "can't be a "+te.Value, "类型不对："+te.Value)
	}
	if err != nil {
		return doorbell.Refuse(doorbell.Invalid, "The body is not a JSON object: %v.", "请求体不是有效的 JSON：%v。", err)
	}
	return nil
}

// orBody returns the field's name as the caller knows it: encoding/json prefixes
// the fields of an embedded struct with the Go type.
func orBody(field string) string {
	field = strings.TrimPrefix(field, "Detail.")
	if field == "" {
		return "body"
	}
	return field
}

// id parses a positive id that a browser can represent exactly.
func id(field, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > doorbell.MaxID || strings.HasPrefix(text, "+") {
		return 0, doorbell.InvalidField(field, "must be a whole number from 1 to 9007199254740991", "必须是 1 到 9007199254740991 的整数")
	}
	return n, nil
}

// number parses an optional whole number within bounds.
func number(c *gin.Context, field string, fallback, low, high int64) (int64, error) {
	text, given := c.GetQuery(field)
	if !given {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, doorbell.InvalidField(field, fmt.Sprintf("must be a whole number from %d to %d", low, high), fmt.Sprintf("必须是 %d 到 %d 的整数", low, high))
	}
	return n, nil
}

// shopList is a JSON list of shop ids, or ["*"].
type shopList struct {
	Given bool
	Set   doorbell.ShopSet
}

// UnmarshalJSON accepts numbers and quoted digits.
func (s *shopList) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	s.Given = true
	for _, r := range raw {
		text := string(r)
		if u, err := strconv.Unquote(text); err == nil {
			text = u
		}
		if text == "*" {
			s.Set = doorbell.ShopSet{All: true}
			return nil
		}
		n, err := id("shops", text)
		if err != nil {
			return errors.New("shops must be a list of positive whole numbers, or [\"*\"]")
		}
		if !s.Set.Has(doorbell.ShopID(n)) {
			s.Set.List = append(s.Set.List, doorbell.ShopID(n))
		}
	}
	return nil
}

// lifetime is a duration as "12h", or a number of seconds.
type lifetime time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (l *lifetime) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if text, err := strconv.Unquote(string(b)); err == nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New(`a time such as "12h" or a number of seconds is wanted`)
		}
		*l = lifetime(d)
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 32)
	if err != nil {
		return errors.New(`a time such as "12h" or a number of seconds is wanted`)
	}
	*l = lifetime(time.Duration(n) * time.Second)
	return nil
}
