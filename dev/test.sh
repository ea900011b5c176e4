#!/usr/bin/env bash
# Runs the tiers of `make test` in order and stops at the first that fails. The Go programs, most of which only later
# tiers need, are built meanwhile with what processor time is left: on a new machine that is the longest part.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p build
.venv/bin/python -m dev.tools packages
# A session is an autogroup of its own to the scheduler, where niceness counts among its members only.
setsid bash -c 'echo 19 2>/dev/null > /proc/self/autogroup; exec nice -n 19 .venv/bin/python -m dev.tools build' > build/tools.log 2>&1 &
builder=$!
trap 'kill -TERM -- -$builder 2>/dev/null || true' EXIT

started=$SECONDS
for tier in "$@"; do
  printf '\n\033[1m── make %s\033[0m (after %s s)\n' "$tier" $((SECONDS - started))
  make --no-print-directory "$tier" || { echo "make test: $tier failed after $((SECONDS - started)) s"; exit 1; }
done
printf '\nmake test: all tiers passed in %s s\n' $((SECONDS - started))
