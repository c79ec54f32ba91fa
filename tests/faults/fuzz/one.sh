#!/usr/bin/env bash
# PYTHON TARGET SECONDS: one reader of bytes under atheris; its last words when it fails, else a line.
set -euo pipefail
log="build/fuzz-$2.log"
if "$1" -m faults.fuzz.long "$2" "$3" >"$log" 2>&1; then
    echo "$2: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$log")s, $(grep -oE 'peak_rss_mb: +[0-9]+' "$log" | tr -s ' ')"
else
    tail -40 "$log"
    echo "$2: FAILED, see $log"
    exit 1
fi
