package testservers

import (
	"strings"
	"testing"
)

// NATS prepares a nats-server; more are further arguments.
func NATS(t testing.TB, more ...string) *Server {
	t.Helper()
	return Prepare(t, "nats-server", append([]string{"-a", "127.0.0.1", "-p", "{port}"}, more...)...)
}

// Redis prepares a redis-server that stores nothing on disk.
func Redis(t testing.TB, more ...string) *Server {
	t.Helper()
	return Prepare(t, "redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", "{port}", "--dir", "{dir}", "--save", "", "--appendonly", "no",
	}, more...)...)
}

func fill(text string, values map[string]string) string {
	for name, v := range values {
		text = strings.ReplaceAll(text, name, v)
	}
	return text
}
