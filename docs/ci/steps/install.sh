#!/bin/sh
# Install the reconciler of INSTALL_VERSION, unless it is here already.
# From INSTALL_FROM, a wheel or a git URL: the bare name belongs to another project on the public index.
set -eu

version=${INSTALL_VERSION:?"say which version of reconciler to install"}
if [ "$(reconciler --version 2>/dev/null || true)" = "reconciler $version" ]; then
    exit 0
fi
source=${INSTALL_FROM:?"say where to install reconciler $version from: a wheel or a git URL"}
if [ -n "${GITHUB_PATH:-}" ]; then
    # -I: a file of the checkout can't stand in for a module of Python's.
    python3 -I -m venv "$RUNNER_TEMP/reconciler"
    "$RUNNER_TEMP/reconciler/bin/pip" install --quiet --disable-pip-version-check "$source"
    echo "$RUNNER_TEMP/reconciler/bin" >> "$GITHUB_PATH"
else
    pip install --quiet --disable-pip-version-check "$source"
fi
