// Package bench loads a doorbell server as shops and consoles do, and measures
// what that costs the server's process. The same load goes to a floor in the
// same run: a server that makes the bytes once and does one write per console,
// and nothing else. Figures are read as ratios to it: they hold where absolute
// times, of a machine that others use too, do not.
//
// The clients are light: thousands in this process on one epoll, each a few
// bytes of state, each checking that every alert comes once and in order.
//
// It needs Linux: epoll, and /proc for the server's CPU and memory.
package bench
