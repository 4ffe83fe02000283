#!/bin/sh
# Speaks the user's lines of agent/rehearsal/script.py into this directory. Needs Debian's espeak-ng and sox.
set -eu
cd "$(dirname "$0")"

speak() {
    espeak-ng -v en-us -s 165 -p 45 --stdout "$2" |
        sox -t wav - -r 16000 -c 1 -b 16 "$1.wav" norm -6 silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse
}

speak question "Hello! What time is it in Paris?"
speak story "Tell me how this page knows what we say."
speak interruption "Wait, that is enough for now."
speak goodbye "Thank you, goodbye."
