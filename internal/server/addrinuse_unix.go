//go:build unix

package server

import "syscall"

// addrInUse is what the system says of an address where somebody listens.
const addrInUse = syscall.EADDRINUSE
