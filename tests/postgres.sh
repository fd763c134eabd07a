#!/usr/bin/env bash
# Runs the tests that need a PostgreSQL, on a real one that this script starts and ends.
#
#   tests/postgres.sh              the tests of plugins/postgres, natively, in the sandbox, and of two hosts over one database
#   tests/postgres.sh COMMAND...   only that command, with a PostgreSQL
#
# The command finds the server in LARDER_TEST_POSTGRES (address and port). Its user `larder` may create schemas in the database `larder`,
# and its commits may be lost with the server's memory, unless the plugin sets what it needs. `plain` and `md5` have to prove their password
# by these methods, and `poor` may create nothing; PGPASSWORD is the password of all. The administrator is `postgres`:
# `tests/postgres/admin.sh SQL`. `tests/postgres/kill.sh` ends the server as a power failure does, and `tests/postgres/start.sh` starts it
# again. PostgreSQL comes from Debian; where it is missing, and CI is set, it is installed, and without CI nothing is run then.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/debian.sh

readonly VERSION=15

folder_of_postgres() {
    local folder=/usr/lib/postgresql/$VERSION/bin
    if [[ -x $folder/initdb && -x $folder/psql ]]; then
        echo "$folder"
    fi
}

packages=()
if [[ -z $(folder_of_postgres) ]]; then
    packages+=("postgresql-$VERSION")
fi
if [[ -z $(command -v openssl) ]]; then
    packages+=(openssl)
fi
if ((${#packages[@]} > 0)); then
    if [[ -z ${CI:-} ]]; then
        echo "SKIPPED: tests/postgres.sh needs PostgreSQL $VERSION and openssl (Debian: apt-get install ${packages[*]}), and CI is unset" >&2
        exit 0
    fi
    install_from_debian "${packages[@]}"
fi
LARDER_TEST_POSTGRES_BIN=$(folder_of_postgres)
export LARDER_TEST_POSTGRES_BIN

# === the server ===

LARDER_TEST_POSTGRES_FOLDER=$(mktemp -d)
export LARDER_TEST_POSTGRES_FOLDER
# A port that was free a moment ago, on an address of its own: a server of the developer's is on 127.0.0.1.
LARDER_TEST_POSTGRES_HOST=${LARDER_TEST_POSTGRES_HOST:-127.0.4.1}
LARDER_TEST_POSTGRES_PORT=${LARDER_TEST_POSTGRES_PORT:-$((20000 + $$ % 10000))}
export LARDER_TEST_POSTGRES_HOST LARDER_TEST_POSTGRES_PORT
export LARDER_TEST_POSTGRES=$LARDER_TEST_POSTGRES_HOST:$LARDER_TEST_POSTGRES_PORT
export PGPASSWORD=not-a-secret

end() {
    local status=$?
    trap - EXIT
    if ((status != 0)); then
        echo "--- the end of what PostgreSQL logged"
        tail -n 60 "$LARDER_TEST_POSTGRES_FOLDER/log" || true
    fi >&2
    tests/postgres/kill.sh || true
    rm -rf "$LARDER_TEST_POSTGRES_FOLDER"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

data=$LARDER_TEST_POSTGRES_FOLDER/data
echo "$PGPASSWORD" >"$LARDER_TEST_POSTGRES_FOLDER/password"
mkdir "$data"
if ((EUID == 0)); then
    chown -R postgres "$LARDER_TEST_POSTGRES_FOLDER"
fi
tests/postgres/as_user.sh "$LARDER_TEST_POSTGRES_BIN/initdb" --pgdata "$data" --username postgres --auth scram-sha-256 \
    --pwfile "$LARDER_TEST_POSTGRES_FOLDER/password" --encoding UTF8 --locale C.UTF-8 >"$LARDER_TEST_POSTGRES_FOLDER/initdb.log"
{
    echo "listen_addresses = '$LARDER_TEST_POSTGRES_HOST'"
    echo "port = $LARDER_TEST_POSTGRES_PORT"
    echo "unix_socket_directories = ''"
    echo "max_connections = 300"
    echo "ssl = on"
    echo "ssl_cert_file = '$LARDER_TEST_POSTGRES_FOLDER/server.pem'"
    echo "ssl_key_file = '$LARDER_TEST_POSTGRES_FOLDER/server.key'"
    # What `synchronous_commit = off` leaves in memory stays there for so long, and is lost when the server is killed.
    echo "wal_writer_delay = 10s"
    # 64 for each of `max_connections` is enough for a tenant's tables, and not for all those of tests that drop many at once.
    echo "max_locks_per_transaction = 256"
} >>"$data/postgresql.conf"
{
    echo "host all md5 all md5"
    echo "host all plain all password"
    echo "host all all all scram-sha-256"
} >"$data/pg_hba.conf"

# An authority, a certificate of it for the server, and another authority that has signed nothing.
for authority in ca other; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$authority" \
        -keyout "$LARDER_TEST_POSTGRES_FOLDER/$authority.key" -out "$LARDER_TEST_POSTGRES_FOLDER/$authority.pem" 2>/dev/null
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout "$LARDER_TEST_POSTGRES_FOLDER/server.key" \
    -out "$LARDER_TEST_POSTGRES_FOLDER/server.csr" 2>/dev/null
openssl x509 -req -days 2 -in "$LARDER_TEST_POSTGRES_FOLDER/server.csr" -CA "$LARDER_TEST_POSTGRES_FOLDER/ca.pem" \
    -CAkey "$LARDER_TEST_POSTGRES_FOLDER/ca.key" -CAcreateserial -out "$LARDER_TEST_POSTGRES_FOLDER/server.pem" \
    -extfile <(echo "subjectAltName=IP:$LARDER_TEST_POSTGRES_HOST") 2>/dev/null
if ((EUID == 0)); then
    chown -R postgres "$LARDER_TEST_POSTGRES_FOLDER"
fi
chmod 0600 "$LARDER_TEST_POSTGRES_FOLDER/server.key"
# The tests read the authorities' certificates.
chmod 0755 "$LARDER_TEST_POSTGRES_FOLDER"

begun=$SECONDS
tests/postgres/start.sh
tests/postgres/admin.sh "
    CREATE ROLE larder LOGIN PASSWORD '$PGPASSWORD';
    ALTER ROLE larder SET synchronous_commit = off;
    CREATE ROLE plain LOGIN PASSWORD '$PGPASSWORD';
    CREATE ROLE poor LOGIN PASSWORD '$PGPASSWORD';
    SET password_encryption = 'md5';
    CREATE ROLE md5 LOGIN PASSWORD '$PGPASSWORD'"
tests/postgres/admin.sh "CREATE DATABASE larder OWNER larder"
echo "tests/postgres.sh: PostgreSQL $VERSION serves on $LARDER_TEST_POSTGRES after $((SECONDS - begun)) s" >&2

# === the command ===

if (($# > 0)); then
    "$@"
    exit
fi
# From all packages, and not with `-p`: cargo takes the features of the packages that it is told, and would build half of them again.
cargo test --locked --features larder-postgres/postgres-tests,larder-postgres/tls --test contract_of_postgres --test crash_of_postgres

# The same in the sandbox: the kit, and the suites of semantics with it in place of `plugins/minimal`. As the build scripts build plugins, so
# that what they share is not built again.
target=${CARGO_TARGET_DIR:-target}
CARGO_ENCODED_RUSTFLAGS=-Ctarget-feature=+simd128 \
    cargo build --locked --target wasm32-wasip2 --profile plugin --target-dir "$target/plugins" -p larder-postgres
plugin=$(realpath "$target/plugins/wasm32-wasip2/plugin/larder_postgres.wasm")
given=(
    --plugin-grant "tcp=$LARDER_TEST_POSTGRES" --plugin-grant env=PGPASSWORD
    --plugin-setting "host=$LARDER_TEST_POSTGRES_HOST" --plugin-setting "port=$LARDER_TEST_POSTGRES_PORT"
)
cargo build --locked --workspace --bin larder --test hashing
# Its own variables are none of a server's.
mapfile -t own < <(compgen -v LARDER_TEST_ | sed s/^/--unset=/)
env "${own[@]}" "$target/debug/larder" plugin test "$plugin" --rounds 100 "${given[@]}"
left=$(tests/postgres/admin.sh "SELECT count(*) FROM larder.tenants WHERE name LIKE 'larder-test-%'" larder)
if [[ $left != 0 ]]; then
    echo "the kit has left tenants behind: $left" >&2
    exit 1
fi
LARDER_TESTS_FILE=$plugin LARDER_TESTS_ARGUMENTS="${given[*]}" cargo test --locked --test hosts_of_postgres
LARDER_TESTS_FILE=$plugin LARDER_TESTS_ARGUMENTS="${given[*]} --plugin-setting schema=t{unique}" \
    cargo test --locked --test semantics --test filters --test jaeger_cases --test search_property minimal -- --skip minimal_0_1
