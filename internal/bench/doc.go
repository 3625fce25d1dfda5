// Package bench loads a doorbell server as shops and consoles do, and measures
// what that costs the server's process. The same run puts the same load on a
// floor: a minimal server that encodes the bytes once and does one write per
// console. Read the figures as ratios to it: unlike absolute times, they are valid
// on a machine with other load.
//
// The clients are light: thousands in this process on one epoll, each a few bytes
// of state, each checking that every alert comes once and in order.
//
// It needs Linux: epoll, and /proc for the server's CPU and memory.
package bench
