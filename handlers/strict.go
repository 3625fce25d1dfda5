package handlers

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// maxFieldName bounds a client's field name in an error.
const maxFieldName = 64

// wholeQuery refuses a query that can't be fully parsed, or that repeats a field.
// net/url drops bad pairs: after=%zz would follow from now and lose missed alerts,
// and shops=%zz would follow all shops. Of a repeated field only the first would
// count: nobody would hear shop 2 of shops=1&shops=2.
func (h *web) wholeQuery(c *gin.Context) {
	query := c.Request.URL.RawQuery
	if field := badQuery(query); field != "" {
		h.refuse(c, badQueryField(field))
	} else if field := twice(query); field != "" {
		h.refuse(c, doorbell.InvalidField(field, "stands twice; give a list by comma", "出现了两次；多个值请用逗号分隔"))
	}
}

func badQueryField(field string) error {
	return doorbell.InvalidField(field, "can't be read: the query must be percent-encoded UTF-8, its pairs parted by &", "无法解析：查询参数须为百分号编码的 UTF-8，以 & 分隔")
}

// badQuery returns the first unreadable field of a query, or "".
func badQuery(raw string) string {
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		text, err1 := url.QueryUnescape(value)
		key, err2 := url.QueryUnescape(name)
		if err1 == nil && err2 == nil && !strings.Contains(pair, ";") && utf8.ValidString(text) && utf8.ValidString(key) {
			continue
		}
		if err2 != nil || !plainLabel(key) {
			return "query"
		}
		return key
	}
	return ""
}

// twice returns the first repeated field of a query, or "". The query must be
// readable.
func twice(raw string) string {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(name)
		switch {
		case err != nil || pair == "":
			continue
		case !seen[key]:
			seen[key] = true
		case plainLabel(key):
			return key
		default:
			return "query"
		}
	}
	return ""
}

// withoutField returns the query without a field.
func withoutField(raw, field string) string {
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(name); err != nil || key != field {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// checkText refuses a body whose text encoding/json would silently change: it
// replaces invalid UTF-8 and half surrogate pairs by U+FFFD. A kitchen must not
// read 不要辣 as question marks.
func checkText(body []byte) error {
	valid := utf8.Valid(body)
	if valid && !bytes.Contains(body, []byte(`\u`)) {
		return nil
	}
	field, bad := badText(body)
	switch {
	case bad:
		return doorbell.InvalidField(field, "is not UTF-8 text", "不是有效的 UTF-8 文本")
	case !valid: // outside of the JSON value
		return doorbell.InvalidField("body", "is not UTF-8 text", "不是有效的 UTF-8 文本")
	default:
		return nil
	}
}

// level is an object or array around badText's position.
type level struct {
	array bool
	key   string // in an object: the key of the next value; empty: a key comes next
	keyed bool
	index int
}

// badText returns the field of the first text that is not Unicode. It stops at the
// first syntax error, which the decoder reports.
func badText(body []byte) (field string, bad bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	var in []level
	for from := int64(0); ; from = dec.InputOffset() {
		token, err := dec.Token()
		if err != nil {
			return "", false
		}
		text, isText := token.(string)
		wrong := isText && !wellFormed(body[from:dec.InputOffset()])
		delim, isDelim := token.(json.Delim)
		closes := isDelim && (delim == '}' || delim == ']')
		if n := len(in); n > 0 && !closes && !in[n-1].array && !in[n-1].keyed {
			if wrong {
				return pathOf(in[:n-1]), true // the key itself
			}
			in[n-1].key, in[n-1].keyed = text, true
			continue
		}
		if wrong {
			return pathOf(in), true
		}
		switch {
		case closes:
			in = in[:len(in)-1]
		case isDelim:
			in = append(in, level{array: delim == '['})
			continue
		}
		if n := len(in); n > 0 { // a value is complete
			in[n-1].index++
			in[n-1].keyed = false
		}
	}
}

// pathOf returns the path of the next value, such as lines[2] or keys.auth.
func pathOf(in []level) string {
	var b strings.Builder
	for _, l := range in {
		switch {
		case l.array:
			b.WriteString("[" + strconv.Itoa(l.index) + "]")
		case b.Len() == 0:
			b.WriteString(l.key)
		default:
			b.WriteString("." + l.key)
		}
		if b.Len() > maxFieldName {
			break
		}
	}
	if b.Len() == 0 || b.Len() > maxFieldName {
		return "body"
	}
	return b.String()
}

// wellFormed reports whether a JSON text in the body is Unicode: UTF-8, and each
// \uD800 to \uDFFF is half of a pair.
func wellFormed(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		first, ok := unit(raw[i:])
		if !ok {
			continue // another escape
		}
		i += 4
		switch {
		case first >= 0xdc00 && first <= 0xdfff:
			return false
		case first >= 0xd800 && first <= 0xdbff:
			if i+2 > len(raw) || raw[i+1] != '\\' {
				return false
			}
			if second, ok := unit(raw[i+2:]); !ok || second < 0xdc00 || second > 0xdfff {
				return false
			}
			i += 6
		}
	}
	return true
}

// unit parses uXXXX.
func unit(b []byte) (uint16, bool) {
	if len(b) < 5 || b[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[1:5]), 16, 16)
	return uint16(n), err == nil
}
