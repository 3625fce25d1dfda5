package handlers

import "github.com/gin-gonic/gin"

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
