#!/usr/bin/env bash
# Starts the real binary with a clock that is 400 days ahead, with libfaketime. Installs that from Debian where CI is set.
set -euo pipefail
cd "$(dirname "$0")/.."

library() {
    find /usr/lib /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1
}

if [[ -z $(library) ]]; then
    if [[ -z ${CI:-} ]]; then
        echo "SKIPPED: tests/faketime.sh needs libfaketime (Debian: apt-get install faketime), and CI is unset" >&2
        exit 0
    fi
    as_root=()
    if ((EUID != 0)); then
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update
    "${as_root[@]}" apt-get install --yes --no-install-recommends faketime
fi
LIBFAKETIME=$(library)
if [[ -z $LIBFAKETIME ]]; then
    echo "tests/faketime.sh: faketime is installed, but there is no libfaketimeMT.so.1" >&2
    exit 1
fi
export LIBFAKETIME
cargo test --locked --test faketime
