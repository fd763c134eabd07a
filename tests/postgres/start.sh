#!/usr/bin/env bash
# Starts the server of tests/postgres.sh, and waits until it serves.
set -euo pipefail
cd "$(dirname "$0")"
# Processes of a server that was killed have its memory until they notice that it is gone.
for ((tries = 0; tries < 100; tries++)); do
    if ./as_user.sh "$LARDER_TEST_POSTGRES_BIN/pg_ctl" start --wait --silent --pgdata "$LARDER_TEST_POSTGRES_FOLDER/data" \
        --log "$LARDER_TEST_POSTGRES_FOLDER/log"; then
        exit
    fi
    sleep 0.1
done
echo "tests/postgres/start.sh: PostgreSQL does not start" >&2
exit 1
