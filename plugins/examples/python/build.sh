#!/bin/sh
# Builds minimal-python.wasm. Needs Python 3.10 or later; the compiler comes from the Python Package Index, into a folder beside this file.
set -eu
cd "$(dirname "$0")"
tools=${TOOLS:-.tools}
if ! cmp -s requirements.txt "$tools/requirements.txt"; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
    cp requirements.txt "$tools/"
fi
"$tools/bin/componentize-py" --quiet --wit-path "${WIT:-../../../wit/storage.wit}" --world plugin componentize plugin --output minimal-python.wasm
