#!/bin/sh
# Builds minimal-js.wasm. Needs Node.js 20 or later; the compiler comes from npm, into a folder beside this file.
set -eu
cd "$(dirname "$0")"
tools=${TOOLS:-.tools}
if ! cmp -s package.json "$tools/package.json" || [ ! -x "$tools/node_modules/.bin/componentize-js" ]; then
    mkdir -p "$tools"
    # Over another package's modules npm leaves some out.
    rm -rf "$tools/node_modules" "$tools/package-lock.json"
    cp package.json "$tools/"
    npm install --silent --no-audit --no-fund --prefix "$tools"
fi
"$tools/node_modules/.bin/componentize-js" plugin.js --wit "${WIT:-../../../wit/storage.wit}" --world-name plugin \
    --disable http --disable fetch-event --out minimal-js.wasm
