#!/usr/bin/env bash
# Draws the PNG icons of the installed console from static/icon.svg.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for size in 192 512; do
	# A margin, so that a mask cuts nothing off.
	printf '<style>body{margin:0;background:#0a6b3d}img{position:absolute;inset:14%%;width:72%%;height:72%%}</style><img src="file://%s/static/icon.svg">' "$PWD" > "$work/icon.html"
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
		--window-size=$size,$size --screenshot="$PWD/static/icon-$size.png" "file://$work/icon.html" >/dev/null 2>&1
done
