#!/bin/sh
# Makes /opt/venv from LOCK inside an image build: `sh install.sh LOCK "MODULES THAT MUST IMPORT"`.
# One step of the build runs all of this, so nothing that is removed here ever becomes part of a layer.
set -eu
lock=$1 modules=$2
packages=/opt/venv/lib/python3.11/site-packages

set -a
if [ -s /run/secrets/wheels ]; then . /run/secrets/wheels; fi
if [ -s /run/secrets/certificates ]; then
    PIP_CERT=/run/secrets/certificates SSL_CERT_FILE=/run/secrets/certificates
fi
UV_LINK_MODE=copy UV_PYTHON=/opt/venv UV_CACHE_DIR=${UV_CACHE_DIR:-/var/cache/uv}
if [ "${ACCELERATOR:-}" = cpu ]; then UV_EXCLUDE=slim/gpu-only.txt; fi
set +a

python3 -m venv /tmp/uv
/tmp/uv/bin/python -m pip install --quiet --no-cache-dir --require-hashes -r uv.lock
/tmp/uv/bin/uv venv --quiet --python "$(command -v python3)" /opt/venv
/tmp/uv/bin/uv pip install --quiet --no-deps --require-hashes -r "$lock" ${WHEEL_INDEX:+--index "$WHEEL_INDEX"}
if [ "${ACCELERATOR:-}" = cpu ]; then python3 -B -m slim "$packages"; fi

# Nobody can write bytecode at run time, and sources that cannot change need not be checked against it.
# Some packages bring files for newer Pythons, which do not compile: the import is what decides.
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$packages" >/dev/null || :
/opt/venv/bin/python -B -c "import $modules"

# Nothing that installs software stays: not uv, not the base image's pip, not what could bring pip back.
rm -rf /tmp/uv /usr/share/python-wheels /usr/local/bin/pip* /usr/local/lib/python3.11/site-packages/*
rm -rf /usr/lib/python3.11/ensurepip /usr/local/lib/python3.11/ensurepip
