#!/bin/sh
# Builds minimal-js.wasm. Needs Node.js 20 or later; the compiler comes from npm, as package-lock.json pins it, into a folder
# beside this file.
set -eu
cd "$(dirname "$0")"
tools=${TOOLS:-.tools}
if ! cmp -s package-lock.json "$tools/package-lock.json" || [ ! -x "$tools/node_modules/.bin/componentize-js" ]; then
    mkdir -p "$tools"
    cp package.json package-lock.json "$tools/"
    npm ci --loglevel=error --no-audit --no-fund --prefix "$tools"
fi
"$tools/node_modules/.bin/componentize-js" plugin.js --wit "${WIT:-../../../wit/storage.wit}" --world-name plugin \
    --disable http --disable fetch-event --out minimal-js.wasm
