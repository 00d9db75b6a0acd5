#!/usr/bin/env bash
# Photograph the Dagster UI of a running installation (viral demo, then viral up) into docs/images.
# Needs chromium and npm on the machine; playwright-core is installed into a folder that goes away.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
chromium="$(command -v chromium || command -v chromium-browser)" || { echo "install chromium first" >&2; exit 2; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$here/take.mjs" "$work/"
npm install --silent --no-audit --no-fund --prefix "$work" playwright-core
CHROMIUM="$chromium" UI="${UI:-http://127.0.0.1:${DAGSTER_WEBSERVER_PORT:-3000}}" \
  OUT="$here/../images" node "$work/take.mjs"
