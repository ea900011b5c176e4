#!/usr/bin/env bash
# Makes .venv from the hash-pinned lock; quick when nothing changed. Nothing outside .venv and uv's cache is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup: %s\n' "$*" >&2; exit 69; }

find_python() {
  local name
  for name in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$name"; return
    fi
  done
  fail "Python 3.11 or newer is needed; install it, or name one: make setup PYTHON=/path/to/python3"
}

stamp=.venv/.stamp
wanted=$(cat requirements/dev.lock requirements/uv.lock pyproject.toml dev/setup.sh | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

started=$SECONDS
python=$(find_python)
echo "setup: making .venv with $("$python" --version)"
if ! "$python" -m venv .venv 2>/dev/null; then
  # Debian splits venv off Python.
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv >/dev/null
    "$python" -m venv .venv
  else
    fail "cannot make a virtual environment; install your system's python3-venv package"
  fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
echo "setup: installing the pinned packages (PyTorch is several GB on a cold cache)"
# Compiled here once: where Python may not write bytecode, every start of the server would compile torch again.
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes requirements/uv.lock requirements/dev.lock
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
printf '%s' "$wanted" > "$stamp"
echo "setup: ready after $((SECONDS - started)) s"
