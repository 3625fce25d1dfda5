package doorbell

import (
	"errors"
	"fmt"
	"time"
)

// Code says what the caller of a refused call does next. It is the `code` of
// the problem document and decides the HTTP status.
type Code string

// The codes of this package. Others (token_missing, origin_not_allowed …) are
// added by the HTTP edge.
const (
	Invalid     Code = "invalid"     // can never succeed: do not retry
	Forbidden   Code = "forbidden"   // not this caller's: do not retry
	NotFound    Code = "not_found"   // or not visible to this caller
	Conflict    Code = "conflict"    // the state moved on: read again, then decide
	TooSoon     Code = "too_soon"    // again after RetryAfter
	Unavailable Code = "unavailable" // nothing was changed: retry later
	Internal    Code = "internal"    // ours to fix: retry later
)

// Field names one bad field of a request.
type Field struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is a refusal that a person may read, in both languages, and a program
// may act on. Cause is for the log and never reaches the client.
type Error struct {
	Code       Code
	English    string
	Chinese    string
	Fields     []Field
	RetryAfter time.Duration
	Cause      error
}

// Refuse makes an Error; args fill the verbs of both texts.
func Refuse(code Code, english, chinese string, args ...any) *Error {
	return &Error{Code: code, English: fmt.Sprintf(english, args...), Chinese: fmt.Sprintf(chinese, args...)}
}

// InvalidField returns an Invalid that names one field.
func InvalidField(field, english, chinese string) *Error {
	return &Error{
		Code: Invalid, English: field + " " + english, Chinese: field + " " + chinese,
		Fields: []Field{{Field: field, Message: english}},
	}
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.English + ": " + e.Cause.Error()
	}
	return e.English
}

func (e *Error) Unwrap() error { return e.Cause }

// Because adds the cause.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// CodeOf returns the code of the first Error in err's chain, Internal when there is
// none, and empty for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
