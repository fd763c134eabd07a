#!/usr/bin/env bash
# Measures the example plugins, and prints the table of README.md: each is built, and measured by `larder plugin bench`.
#
#   plugins/examples/measure.sh [EXAMPLE...]     all by default: sdk (plugins/minimal), and the folders here
#
# LARDER is a release build of Larder, `larder` on the path by default. Needs jq, what the examples are built with, and a machine that
# does nothing else. The time of a build is that of a changed plugin: compilers and libraries are there.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly LARDER=${LARDER:-larder}
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/larder-tools
readonly TARGET=${CARGO_TARGET_DIR:-target}

# lines COMMENT FILE: those that are neither blank nor a comment. Where a comment begins with `#`, one in """ is one too.
lines() {
    grep --count --invert-match --extended-regexp "^\s*($1.*)?$" "$2"
}

# build EXAMPLE: makes $file, and tells its $lines
build() {
    local folder=plugins/examples/$1
    file=$folder/minimal-$1.wasm
    case $1 in
    sdk)
        file=$TARGET/wasm32-wasip2/release/larder_minimal.wasm
        lines=$(lines // plugins/minimal/src/lib.rs)
        touch plugins/minimal/src/lib.rs
        cargo build --quiet --locked --release --target wasm32-wasip2 -p larder-minimal
        return
        ;;
    rust)
        lines=$(lines // "$folder/src/lib.rs")
        touch "$folder/src/lib.rs"
        ;;
    python) lines=$(lines '(#|""")' "$folder/plugin.py") ;;
    *) lines=$(lines // "$folder/plugin.$1") ;;
    esac
    case $1 in
    # They have wit-bindgen and wasm-tools in common.
    c | go) TOOLS=$CACHE/plugin-wit "$folder/build.sh" >&2 ;;
    *) TOOLS=$CACHE/plugin-$1 "$folder/build.sh" >&2 ;;
    esac
}

# title EXAMPLE
title() {
    case $1 in
    sdk) echo "[Rust with the SDK](../minimal/src/lib.rs)" ;;
    rust) echo "[Rust](rust/README.md)" ;;
    c) echo "[C](c/README.md)" ;;
    go) echo "[Go](go/README.md)" ;;
    js) echo "[JavaScript](js/README.md)" ;;
    python) echo "[Python](python/README.md)" ;;
    esac
}

# row TITLE LINES BUILD SIZE WHOSE: of the report, what `plugin` or `memory` has
row() {
    jq --raw-output --arg title "$1" --arg lines "$2" --arg build "$3" --arg size "$4" --arg whose "$5" '
        # Three digits that count.
        def short: if . >= 100 then round elif . >= 10 then (. * 10 | round) / 10 elif . >= 1 then (. * 100 | round) / 100
            else (. * 1000 | round) / 1000 end;
        def named($name): map(select(.name == $name)) | first;
        def figure($name): .figures | named($name) | .[$whose] | short;
        def search($name): .searches | named($name) | .cpu_ms[$whose] | short;
        [$title, $lines, $build, $size, figure("first load"), figure("cached load"), figure("memory, empty"),
            figure("memory, grown by"), figure("writes"), search("newest 20 of a service"), search("an attribute that none has"),
            search("1,000 traces by their ids")] | "| " + (map(tostring) | join(" | ")) + " |"'
}

# size FILE
size() {
    numfmt --to=si --format=%.1f --suffix=B "$(stat --format=%s "$1")"
}

examples=("$@")
if ((${#examples[@]} == 0)); then
    examples=(sdk rust c go js python)
fi
echo "| | lines | build, s | .wasm | first load, s | cached load, s | memory empty, MB | bytes a span | write, us a span | newest 20, ms | none, ms | 1,000 traces, ms |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
for example in "${examples[@]}"; do
    # What comes with it once is no part of the time.
    build "$example"
    begun=$EPOCHREALTIME
    build "$example"
    built=$(jq --null-input "($EPOCHREALTIME - $begun) * 10 | round / 10")
    report=$("$LARDER" plugin bench "$file" --format json)
    row "$(title "$example")" "$lines" "$built" "$(size "$file")" plugin <<<"$report"
done
row "bundled \`memory\`" "" "" "" memory <<<"$report"
