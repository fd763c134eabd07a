#!/usr/bin/env bash
# Starts the real binary with a clock that is 400 days ahead, with libfaketime. Where CI is set that is installed from Debian; if no package
# can be had, a preload of our own (tests/faketime/clock.c) takes its place, so that the test runs in any case.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/debian.sh

library() {
    find /usr/lib /usr/local/lib -name libfaketimeMT.so.1 -print -quit 2>/dev/null
}

if [[ -z $(library) ]]; then
    if [[ -z ${CI:-} ]]; then
        echo "SKIPPED: tests/faketime.sh needs libfaketime (Debian: apt-get install faketime), and CI is unset" >&2
        exit 0
    fi
    install_from_debian faketime || echo "tests/faketime.sh: no package faketime can be installed; using tests/faketime/clock.c" >&2
fi
LIBFAKETIME=$(library)
if [[ -z $LIBFAKETIME ]]; then
    own=$(mktemp -d)
    trap 'rm -rf "$own"' EXIT
    LIBFAKETIME=$own/clock.so
    cc -shared -fPIC -O1 -o "$LIBFAKETIME" tests/faketime/clock.c -ldl
fi
export LIBFAKETIME
cargo test --locked --test faketime
