#!/usr/bin/env bash
# Restarts two hosts of one store, one after the other, behind a real proxy: no call through it may fail, and nothing acknowledged be lost.
#
#   tests/proxy.sh              behind HAProxy, and then behind nginx
#   tests/proxy.sh COMMAND...   only that command, with two hosts that serve behind HAProxy (PROXY=nginx: behind nginx). It has the
#                               variables of Jaeger's certification (host/docs/certification.md)
#
# The proxies have the configurations of tests/proxy, with other addresses. Where HAProxy or nginx is missing, and CI is set, they are
# installed from Debian; without CI nothing is run then. Cassandra comes from tests/cassandra.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/debian.sh

# The versions whose configurations are in tests/proxy.
readonly PACKAGES=('haproxy=2.*' 'nginx-light=1.*')
# Of the hosts and of the proxies, in place of those in the configurations.
readonly NETWORK=127.0.5
readonly HOSTS=$NETWORK.1,$NETWORK.2
# Seconds until a host or a proxy answers.
readonly PATIENCE=60

PATH=$PATH:/usr/sbin
if [[ -z $(command -v haproxy) || -z $(command -v nginx) ]]; then
    if [[ -z ${CI:-} ]]; then
        echo "SKIPPED: tests/proxy.sh needs HAProxy 2 and nginx 1 (Debian: apt-get install haproxy nginx-light), and CI is unset" >&2
        exit 0
    fi
    install_from_debian "${PACKAGES[@]}"
fi
if [[ -z ${LARDER_TEST_CASSANDRA:-} ]]; then
    exec tests/cassandra.sh tests/proxy.sh "$@"
fi

folder=$(mktemp -d)
pids=()

end() {
    local status=$? file
    trap - EXIT
    if ((status != 0)); then
        for file in "$folder"/*.log; do
            echo "--- the end of $(basename "$file")"
            tail -n 60 "$file"
        done >&2
    fi
    # A host that serves a store has to say that it ends.
    if ((${#pids[@]} > 0)); then
        kill "${pids[@]}" 2>/dev/null || true
        wait "${pids[@]}" || true
    fi
    rm -rf "$folder"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Waits until a connection to an address is taken, by the process that was started last.
answers() {
    local begun=$SECONDS
    until (exec 3<>"/dev/tcp/${1/:/\/}") 2>/dev/null; do
        if ! kill -0 "${pids[-1]}" || ((SECONDS - begun > PATIENCE)); then
            echo "tests/proxy.sh: nothing answers on $1" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Starts a proxy with its configuration, on an address.
start_proxy() {
    local address=$2 file=$folder/$1.conf
    sed -e "s/192.0.2./$NETWORK./g" -e "s/bind :/bind $address:/" -e "s/listen /listen $address:/" "tests/proxy/$1".* >"$file"
    case $1 in
    haproxy)
        haproxy -db -f "$file" >"$folder/haproxy.log" 2>&1 &
        ;;
    nginx)
        mkdir "$folder/nginx"
        cat >"$folder/nginx/nginx.conf" <<EOF
daemon off;
error_log stderr warn;
pid $folder/nginx/pid;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $folder/nginx/body;
    proxy_temp_path $folder/nginx/proxy;
    fastcgi_temp_path $folder/nginx/fastcgi;
    scgi_temp_path $folder/nginx/scgi;
    uwsgi_temp_path $folder/nginx/uwsgi;
    include $file;
}
EOF
        nginx -p "$folder/nginx" -e stderr -c "$folder/nginx/nginx.conf" >"$folder/nginx.log" 2>&1 &
        ;;
    esac
    pids+=($!)
    answers "$address:17271"
    export LARDER_TEST_PROXY=$address:17271
}

if (($# == 0)); then
    export LARDER_TEST_PROXY_HOSTS=$HOSTS
    number=8
    for proxy in haproxy nginx; do
        start_proxy "$proxy" "$NETWORK.$number"
        version=$("$proxy" -v 2>&1)
        echo "${version%%$'\n'*}"
        cargo test --locked --test proxy -- --nocapture
        number=$((number + 1))
    done
    exit
fi

# === two hosts, for a command ===

# As the tests build it, so that nothing is compiled twice.
cargo build --locked --workspace --bin larder --test hashing
export LARDER_KV_DRIVER=cassandra
export LARDER_KV_CASSANDRA_CONTACT_POINTS=$LARDER_TEST_CASSANDRA
export LARDER_KV_CASSANDRA_KEYSPACE=behind_proxy
IFS=, read -ra nodes <<<"$LARDER_TEST_CASSANDRA"
# The name that Cassandra gives where nobody names one.
export LARDER_KV_CASSANDRA_REPLICATION=datacenter1:${#nodes[@]}
IFS=, read -ra hosts <<<"$HOSTS"
for host in "${hosts[@]}"; do
    id=host-${host##*.}
    LARDER_KV_CASSANDRA_HOST=$id "${CARGO_TARGET_DIR:-target}/debug/larder" --plugin kv --enable-purge --data-dir "$folder/$id" \
        --grpc-endpoint "$host:17271" --admin-endpoint "$host:17270" >"$folder/$id.log" 2>&1 &
    pids+=($!)
    # The first one makes the store, and the proxy finds both ready.
    answers "$host:17271"
    until grep -qsF 'Serving admin HTTP on' "$folder/$id.log"; do
        if ! kill -0 "${pids[-1]}"; then
            echo "tests/proxy.sh: $id ended while it started" >&2
            exit 1
        fi
        sleep 0.1
    done
done
start_proxy "${PROXY:-haproxy}" "$NETWORK.8"
export STORAGE=grpc CUSTOM_STORAGE=true
export REMOTE_STORAGE_ENDPOINT=$LARDER_TEST_PROXY REMOTE_STORAGE_WRITER_ENDPOINT=$LARDER_TEST_PROXY
export PURGER_ENDPOINT=http://${hosts[0]}:17270/purge
"$@"
