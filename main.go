// Command doorbell makes the kitchen ring: it takes payment callbacks and
// reminders, writes each as an alert that cannot be lost, and pushes it to the
// shop's consoles.
package main

import (
	"os"

	"doorbell/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
