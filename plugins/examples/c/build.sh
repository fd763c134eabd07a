#!/bin/sh
# Builds minimal-c.wasm. Needs clang with the C library of WASI. wit-bindgen and wasm-tools are taken from the path, or else come from the
# Rust package registry, into a folder beside this file.
set -eu
cd "$(dirname "$0")"
tools=${TOOLS:-.tools}
PATH=$(mkdir -p "$tools" && cd "$tools" && pwd)/bin:$PATH

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

# compile ARGUMENT...: for the first version of WASI, which wasi-sdk calls wasm32-wasip1, and Debian's C library wasm32-wasi.
compile() {
    "$clang" "--target=$target" -mexec-model=reactor -Wno-deprecated "$@"
}
found=
for clang in "${CLANG:-clang}" "${WASI_SDK_PATH:-/opt/wasi-sdk}/bin/clang" clang-22; do
    for target in wasm32-wasip1 wasm32-wasi; do
        if echo '#include <stdlib.h>' | compile -x c - -o /dev/null 2>/dev/null; then
            found=yes
            break 2
        fi
    done
done
if [ -z "$found" ]; then
    echo "There is no clang that compiles C for WASI. https://github.com/WebAssembly/wasi-sdk/releases has one: set WASI_SDK_PATH to its" \
        "folder. In Debian: clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc" >&2
    exit 1
fi

# Short names: exports_reader_find, and not exports_larder_storage_reader_find.
short() { echo "--rename larder:storage/$1@0.2.0=$1"; }
# shellcheck disable=SC2046 # an option and its value each
wit-bindgen c --world plugin $(short types) $(short lifecycle) $(short writer) $(short reader) --out-dir bindings \
    "${WIT:-../../../wit/storage.wit}"
compile -O2 -Wall -Wextra -Wno-unused-parameter plugin.c bindings/plugin.c bindings/plugin_component_type.o -o bindings/core.wasm
wasm-tools component new bindings/core.wasm -o minimal-c.wasm
