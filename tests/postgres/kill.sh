#!/usr/bin/env bash
# Ends the server of tests/postgres.sh at once, with all its processes.
set -euo pipefail
file=$LARDER_TEST_POSTGRES_FOLDER/data/postmaster.pid
[[ -e $file ]] || exit 0
pid=$(head -n 1 "$file")
# Its children are found while it is there. It may start another one meanwhile, so it is stopped first.
kill -STOP "$pid"
children=$(ps -o pid= --ppid "$pid" || true)
# shellcheck disable=SC2086
kill -KILL $children "$pid"
while [[ -n $(tr -d '\0' <"/proc/$pid/cmdline" 2>/dev/null) ]]; do sleep 0.05; done
