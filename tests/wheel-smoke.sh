#!/usr/bin/env bash
# Build the wheel, install it in a fresh venv outside the checkout, and run it there.
set -euo pipefail
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --wheel --no-isolation --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$work"/dist/*.whl
cp tests/wheel_smoke.py "$work/smoke.py"
cd "$work"
"$work/venv/bin/python" -I -W error "$work/smoke.py"
