#!/usr/bin/env bash
# Write the hashed lock files from pyproject.toml. No index address goes into them.
set -euo pipefail
python=$1
"$python" -m pip install --quiet --disable-pip-version-check pip-tools
common=(--quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-index-url
        --no-emit-find-links --no-emit-trusted-host --resolver=backtracking)
"$python" -m piptools compile "${common[@]}" --extra metrics --output-file requirements/run.txt pyproject.toml
"$python" -m piptools compile "${common[@]}" --extra dev --constraint requirements/run.txt \
    --output-file requirements/dev.txt pyproject.toml requirements/build.in
"$python" -m piptools compile "${common[@]}" --output-file requirements/sbom.txt requirements/sbom.in
"$python" -m piptools compile "${common[@]}" --output-file requirements/fuzz.txt requirements/fuzz.in
