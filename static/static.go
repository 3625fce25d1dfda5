// Package static holds the console and the other pages, as they are served.
package static

import "embed"

// Files are the pages, their modules and their sounds.
//
//go:embed *.html *.js *.css *.svg *.png *.webmanifest sounds
var Files embed.FS
