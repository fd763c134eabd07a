#!/bin/sh
# Builds minimal-go.wasm. Needs Go 1.26 or later. wit-bindgen and wasm-tools are taken from the path, or else come from the Rust package
# registry, into a folder beside this file.
set -eu
cd "$(dirname "$0")"
tools=${TOOLS:-.tools}
PATH=$(mkdir -p "$tools" && cd "$tools" && pwd)/bin:$PATH

if ! command -v go >/dev/null; then
    echo "go is not on the path: https://go.dev/dl has it" >&2
    exit 1
fi
# tool COMMAND CRATE VERSION FEATURES
tool() {
    case $("$1" --version 2>/dev/null) in *" $3"*) return ;; esac
    if ! command -v cargo >/dev/null; then
        echo "$1 $3 is not on the path, and no \`cargo\` that could build it: https://github.com/bytecodealliance/$1/releases has it," \
            "and https://rustup.rs cargo" >&2
        exit 1
    fi
    echo "Building $1 $3" >&2
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" \
        --no-default-features --features "$4" "$2@$3"
}
tool wit-bindgen wit-bindgen-cli 0.63.0 c,go
tool wasm-tools wasm-tools 1.262.0 component
rm -rf "$tools/build"

wit=${WIT:-../../../wit/storage.wit}
wit-bindgen go --world plugin --pkg-name example.com/minimal-go/bindings --out-dir bindings "$wit"
# All that is exported is in the one package of this folder, where wit-bindgen would have one for each interface.
exports=bindings/exports/wit_exports/wit_exports.go
sed 's|"example.com/minimal-go/bindings/exports/\(export_[a-z_]*\)"|\1 "example.com/minimal-go"|' "$exports" >bindings/exports.go
mv bindings/exports.go "$exports"
mkdir -p bindings/main
printf 'package main\n\nimport _ "example.com/minimal-go/bindings/exports/wit_exports"\n\nfunc main() {}\n' >bindings/main/main.go
# The linker has to be told that pkg/wit/runtime may call the allocator of Go's runtime.
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags=-checklinkname=0 -o bindings/core.wasm ./bindings/main

mkdir -p bindings/adapter/deps
cp "$wit" bindings/adapter/deps/
printf 'package minimal:adapter;\nworld adapter { import larder:storage/log@0.2.0; }\n' >bindings/adapter/adapter.wit
wasm-tools component embed --world adapter bindings/adapter adapter.wat -o bindings/adapter.wasm
wasm-tools component embed --world plugin "$wit" bindings/core.wasm -o bindings/plugin.wasm
wasm-tools component new bindings/plugin.wasm --adapt wasi_snapshot_preview1=bindings/adapter.wasm -o minimal-go.wasm
