package handlers

import (
	"reflect"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/transport"
	"doorbell/transport/poll"
)

// What the tests outside the package look at.

// RefusalsAMinute is how many refused handshakes a minute the log tells of.
const RefusalsAMinute = refusalsAMinute

// OurName reports whether a Host is this machine's.
func OurName(host string) bool { return ourName(host) }

// Routes are all that there are.
func (s *Server) Routes() gin.RoutesInfo { return s.routes }

// IsStream reports whether a stream opens at this path.
func (s *Server) IsStream(path string) bool { return s.web.isStream(path) }

// CrossOrigin reports whether pages of allowed origins may call this path.
func (s *Server) CrossOrigin(path string) bool { return s.web.crossOrigin(path) }

// Statuses are all error codes with their HTTP status.
func Statuses() map[doorbell.Code]int { return statuses }

// Shapes are the Go types of the schemas of the reference, those that are no type
// left out.
func Shapes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"AlertState": reflect.TypeFor[alertView](), "Told": reflect.TypeFor[toldView](), "LedgerDay": reflect.TypeFor[ledgerView](),
		"LedgerLine": reflect.TypeFor[ledgerLine](), "LedgerSum": reflect.TypeFor[doorbell.LedgerSum](), "LedgerTold": reflect.TypeFor[doorbell.LedgerTold](),
		"InboxLine": reflect.TypeFor[callbackView](), "OutboxMessage": reflect.TypeFor[messageView](), "TokenEntry": reflect.TypeFor[tokenView](), "Session": reflect.TypeFor[sessionView](), "ShopName": reflect.TypeFor[shopView](), "SkyEnvelope": reflect.TypeFor[skyAnswer](),
		"Problem": reflect.TypeFor[problem](), "Readiness": reflect.TypeFor[readiness](), "Order": reflect.TypeFor[doorbell.Order](),
		"Detail": reflect.TypeFor[doorbell.Detail](), "Reached": reflect.TypeFor[doorbell.Reached](), "Receipt": reflect.TypeFor[doorbell.Receipt](),
		"Figures": reflect.TypeFor[doorbell.Figures](), "Spread": reflect.TypeFor[doorbell.Spread](), "Hour": reflect.TypeFor[doorbell.Hour](),
		"ConsoleState": reflect.TypeFor[transport.ConsoleState](), "Attention": reflect.TypeFor[transport.Attention](),
		"ConsoleAttention": reflect.TypeFor[transport.ConsoleAttention](), "PollAnswer": reflect.TypeFor[poll.Answer](),
	}
}
