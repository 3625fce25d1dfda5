#!/bin/sh
# Makes the shipped clips: static/sounds/TYPE.LANG.mp3. Needs espeak-ng and sox
# with its mp3 format (Debian: espeak-ng sox libsox-fmt-mp3). Chinese is given
# in pinyin with tone numbers: espeak-ng misreads some Hanzi.
set -eu
cd "$(dirname "$0")/../static/sounds"
say() { # FILE VOICE TEXT
	espeak-ng -v "$2" -s 150 -p 55 -w "$1.wav" "$3"
	sox "$1.wav" -r 24000 -c 1 -C 40.2 "$1.mp3" norm -1
	rm "$1.wav"
}
say 1.zh cmn-latn-pinyin "lai2 dan1 ti2 xing3, nin2 you3 xin1 de5 wai4 mai4 ding4 dan1, qing3 ji2 shi2 chu3 li3"
say 2.zh cmn-latn-pinyin "ke4 hu4 cui1 dan1, qing3 jin3 kuai4 chu3 li3"
say 1.en en-us "New order. You have a new order."
say 2.en en-us "Customer is asking. A customer is asking for an order."
