package logqueue

import (
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"reflect"
)

// Format is how a line looks: the setting log.format.
type Format string

// The formats.
const (
	Text Format = "text" // key=value
	JSON Format = "json" // one object a line
)

// handler returns a handler that writes lines of this format; text unless it is JSON.
func (f Format) handler(w io.Writer) slog.Handler {
	if f == JSON {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: asText})
	}
	return slog.NewTextHandler(w, nil)
}

// asText gives a value in JSON the words that it has in text. encoding/json would
// print what a type's String method hides, a secret say, and a duration as a number
// of nanoseconds that names no unit. Numbers, texts, times and lists of integers stay
// as JSON has them.
func asText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	v := a.Value.Any()
	switch v := v.(type) {
	case *slog.Source, slog.Level:
		return a
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return slog.String(a.Key, string(text))
		}
	}
	if plainInts(v) {
		return a
	}
	return slog.String(a.Key, fmt.Sprintf("%+v", v))
}

// plainInts reports whether v is an integer, or a list of integers, that has no words of its own.
func plainInts(v any) bool {
	if v == nil {
		return true
	}
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 && !t.Implements(reflect.TypeFor[fmt.Stringer]()) && t.Kind() != reflect.Uint8
}
