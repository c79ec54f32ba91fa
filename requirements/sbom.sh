#!/usr/bin/env bash
# Write dist/ivd-edge-agent-VERSION.cdx.json: what the wheel and requirements/run.txt install, as CycloneDX 1.6.
# The tool has an environment of its own, locked by hash as the agent's is.
set -euo pipefail
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=(-m pip install --quiet --disable-pip-version-check)
version=$("$python" -c 'from edge_agent.version import __version__ as v; print(v)')
"$python" -m build --wheel --no-isolation --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$python" -m venv "$work/agent"
"$python" -m venv "$work/tool"
"$work/agent/bin/python" "${pip[@]}" --force-reinstall --require-hashes --report "$work/report.json" -r requirements/run.txt
"$work/agent/bin/python" "${pip[@]}" --no-deps "$work"/dist/*.whl
"$work/agent/bin/python" -m pip --disable-pip-version-check uninstall --quiet --yes setuptools wheel 2>/dev/null || true
"$work/tool/bin/python" "${pip[@]}" --require-hashes -r requirements/sbom.txt
"$work/tool/bin/cyclonedx-py" environment --spec-version 1.6 --output-reproducible --pyproject pyproject.toml \
    --mc-type application --output-file "$work/bom.json" "$work/agent/bin/python"
mkdir -p dist
"$work/tool/bin/python" requirements/sbom.py "$work/bom.json" "$work/report.json" "$work"/dist/*.whl \
    requirements/run.txt "dist/ivd-edge-agent-$version.cdx.json"
