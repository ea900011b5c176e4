#!/usr/bin/env bash
# Runs tests/conformance: the clients of the server's protocols, in an environment of their own (.venv-conformance, made
# from the hash-pinned lock), against the server of the main environment. Arguments go to pytest.
#   UV               the uv that makes the environment (default: that of .venv)
#   MMM_TEST_PYTHON  the Python that serves (default: that of .venv)
set -euo pipefail
cd "$(dirname "$0")/.."

export MMM_TEST_PYTHON=${MMM_TEST_PYTHON:-$PWD/.venv/bin/python}
uv=${UV:-$PWD/.venv/bin/uv}
stamp=.venv-conformance/.stamp
wanted=$(cat requirements/conformance.lock dev/conformance.sh | sha256sum)
if ! { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; }; then
  echo "conformance: making .venv-conformance"
  "$uv" venv --quiet --clear --python "$MMM_TEST_PYTHON" .venv-conformance
  VIRTUAL_ENV=$PWD/.venv-conformance "$uv" pip sync --quiet --compile-bytecode --require-hashes requirements/conformance.lock
  printf '%s' "$wanted" > "$stamp"
fi
exec .venv-conformance/bin/python -m pytest -rs --durations=5 "${@:-tests/conformance}"
