//go:build !linux

package cli

import (
	"context"
	"errors"
	"io"
)

// benchmark needs epoll and /proc.
func benchmark(context.Context, []string, io.Writer) error {
	return errors.New("bench runs on Linux only; --url may name a server elsewhere")
}
