// Package static holds the console and the other pages, as they are served.
package static

import "embed"

// Files are the pages, their modules and their sounds: client is what other sites
// import as client.js, shared what all pages use, and each page has a folder.
//
//go:embed *.js *.svg *.png *.webmanifest admin client console demo doctor ledger shared sounds
var Files embed.FS
