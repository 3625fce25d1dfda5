package server

import "golang.org/x/sys/windows"

// addrInUse is what the system says of an address where somebody listens.
const addrInUse = windows.WSAEADDRINUSE
