#!/usr/bin/env bash
# Runs a command with a Larder over the PostgreSQL of tests/postgres.sh, within which it runs:
#
#   tests/postgres.sh tests/postgres/larder.sh LARDER PLUGIN COMMAND...
#
# LARDER is the binary, and PLUGIN the component that was built of plugins/postgres. The command has the variables of Jaeger's certification
# (host/docs/certification.md), and the server's process in LARDER_PID.
set -euo pipefail

larder=$1 plugin=$2
shift 2
# Of the server, on addresses that no other server has.
readonly GRPC=127.0.4.2:17271 ADMIN=127.0.4.2:17270
# Seconds until it serves.
readonly PATIENCE=60

folder=$(mktemp -d)
pid=

end() {
    local status=$?
    trap - EXIT
    if ((status != 0)); then
        echo "--- the end of what Larder logged"
        tail -n 60 "$folder/log" || true
    fi >&2
    if [[ -n $pid ]]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    fi
    rm -rf "$folder"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Variables of the tests are none of a server's.
mapfile -t own < <(compgen -v LARDER_TEST_ | sed s/^/--unset=/)
env "${own[@]}" "$larder" --plugin "$plugin" --enable-purge --data-dir "$folder/data" --grpc-endpoint "$GRPC" --admin-endpoint "$ADMIN" \
    --plugin-grant "tcp=$LARDER_TEST_POSTGRES" --plugin-grant env=PGPASSWORD \
    --plugin-setting "host=$LARDER_TEST_POSTGRES_HOST" --plugin-setting "port=$LARDER_TEST_POSTGRES_PORT" >"$folder/log" 2>&1 &
pid=$!
begun=$SECONDS
until grep -qsF 'Serving admin HTTP on' "$folder/log"; do
    if ! kill -0 "$pid" || ((SECONDS - begun > PATIENCE)); then
        echo "tests/postgres/larder.sh: Larder does not serve" >&2
        exit 1
    fi
    sleep 0.1
done
export STORAGE=grpc CUSTOM_STORAGE=true
export REMOTE_STORAGE_ENDPOINT=$GRPC REMOTE_STORAGE_WRITER_ENDPOINT=$GRPC PURGER_ENDPOINT=http://$ADMIN/purge
export LARDER_PID=$pid
"$@"
