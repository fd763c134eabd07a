#!/bin/sh
# Builds minimal-rust.wasm. Needs Rust 1.88 or later with the target wasm32-wasip2.
set -eu
cd "$(dirname "$0")"

if ! command -v cargo >/dev/null; then
    echo "cargo is not on the path: https://rustup.rs has it" >&2
    exit 1
fi
if [ ! -d "$(rustc --print target-libdir --target wasm32-wasip2)" ]; then
    echo "Rust has no target wasm32-wasip2 here: \`rustup target add wasm32-wasip2\` brings it" >&2
    exit 1
fi
cargo build --quiet --locked --release --target wasm32-wasip2 --target-dir target
cp target/wasm32-wasip2/release/plugin.wasm minimal-rust.wasm
