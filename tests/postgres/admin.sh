#!/usr/bin/env bash
# Runs SQL as the administrator of the server of tests/postgres.sh: tests/postgres/admin.sh SQL [DATABASE]
set -euo pipefail
exec "$LARDER_TEST_POSTGRES_BIN/psql" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
    --host "$LARDER_TEST_POSTGRES_HOST" --port "$LARDER_TEST_POSTGRES_PORT" --username postgres --dbname "${2:-postgres}" --command "$1"
