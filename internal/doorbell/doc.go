// Package doorbell is the domain: orders, the alerts that tell a shop about
// them, cursors over a shop's log, and the rules that join these. It imports
// the standard library only.
package doorbell
