#!/usr/bin/env bash
# Runs the tests that need a Cassandra, on a real one that this script starts and ends.
#
#   tests/cassandra.sh                   the driver's conformance suite, and the tests of a cluster
#   tests/cassandra.sh COMMAND...        only that command, with a Cassandra
#   NODES=3 tests/cassandra.sh COMMAND   the same with three nodes
#   SECURE=1 tests/cassandra.sh          the driver's test of passwords, rights and TLS, on a Cassandra that asks for them
#
# The command finds the nodes in LARDER_TEST_CASSANDRA (addresses with ports, separated by commas) and their process ids in
# LARDER_TEST_CASSANDRA_PIDS; `tests/cassandra/node.sh NUMBER` starts a node again that the command has killed. Cassandra comes from Maven,
# into ${LARDER_TOOLS:-$HOME/.cache/larder-tools}, and needs Java 17 or 11. Where Java or Maven is missing, and CI is set, they are installed
# from Debian; without CI nothing is run then.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/debian.sh
# The order of the jars in their checksum.
export LC_ALL=C

# Of tests/cassandra/pom.xml.
readonly VERSION=5.0.9
readonly CHECKSUM=1a9f2968d1b7c3e85249cb365983ec626aff3d07186da41cd211174ffe3a6328
# Seconds until all nodes serve. A start takes a fifth of it.
readonly PATIENCE=300
readonly NODES=${NODES:-1}

# === Java, Maven and the jars ===

# Prints a Java of 17 or 11; Cassandra 5.0 runs on no other.
java_of_cassandra() {
    local java told
    for java in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
        if [[ -x $java ]] && told=$("$java" -version 2>&1) && [[ $told =~ \"(17|11)[.\"] ]]; then
            echo "$java"
            return
        fi
    done
}

checksum() {
    (cd "$1" && sha256sum ./*.jar | sed 's|\./||' | sha256sum | cut -d ' ' -f 1)
}

fetch_jars() {
    echo "tests/cassandra.sh: fetching Cassandra $VERSION with Maven into $LARDER_TEST_CASSANDRA_JARS" >&2
    local new=$LARDER_TEST_CASSANDRA_JARS.new.$$
    mvn --quiet --batch-mode -Dstyle.color=never --file tests/cassandra/pom.xml -Dmaven.repo.local="$new/repository" -DoutputDirectory="$new/jars" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies >&2
    local found
    found=$(checksum "$new/jars")
    if [[ $found != "$CHECKSUM" ]]; then
        rm -rf "$new"
        echo "tests/cassandra.sh: the jars of Cassandra $VERSION have the checksum $found, and not $CHECKSUM" >&2
        exit 1
    fi
    rm -rf "$LARDER_TEST_CASSANDRA_JARS"
    mv "$new/jars" "$LARDER_TEST_CASSANDRA_JARS"
    rm -rf "$new"
}

have_jars() {
    [[ -d $LARDER_TEST_CASSANDRA_JARS && $(checksum "$LARDER_TEST_CASSANDRA_JARS") == "$CHECKSUM" ]]
}

tools=${LARDER_TOOLS:-$HOME/.cache/larder-tools}
mkdir -p "$tools"
export LARDER_TEST_CASSANDRA_JARS=$tools/cassandra-$VERSION

packages=()
if [[ -n ${SECURE:-} && -z $(command -v openssl) ]]; then
    packages+=(openssl)
fi
if [[ -z $(java_of_cassandra) ]]; then
    packages+=(openjdk-17-jre-headless)
fi
if ! have_jars && [[ -z $(command -v mvn) ]]; then
    packages+=(maven)
fi
if ((${#packages[@]} > 0)); then
    if [[ -z ${CI:-} ]]; then
        echo "SKIPPED: tests/cassandra.sh needs Java 17 or 11, Maven once, and openssl for SECURE (Debian: apt-get install ${packages[*]}), and CI is unset" >&2
        exit 0
    fi
    install_from_debian "${packages[@]}"
fi
have_jars || fetch_jars
LARDER_TEST_CASSANDRA_JAVA=$(java_of_cassandra)
export LARDER_TEST_CASSANDRA_JAVA

# === the nodes ===

LARDER_TEST_CASSANDRA_FOLDER=$(mktemp -d)
export LARDER_TEST_CASSANDRA_FOLDER
export LARDER_TEST_CASSANDRA_HEAP=512m
if ((NODES > 1)); then
    LARDER_TEST_CASSANDRA_HEAP=400m
fi
# Addresses of their own: a Cassandra of the developer's is on 127.0.0.1.
if [[ -z ${LARDER_TEST_CASSANDRA_ADDRESSES:-} ]]; then
    LARDER_TEST_CASSANDRA_ADDRESSES=127.0.3.1
    for ((number = 2; number <= NODES; number++)); do
        LARDER_TEST_CASSANDRA_ADDRESSES+=,127.0.3.$number
    done
fi
export LARDER_TEST_CASSANDRA_ADDRESSES
IFS=, read -ra addresses <<<"$LARDER_TEST_CASSANDRA_ADDRESSES"

# An authority, a certificate of it for all nodes, and another authority that has signed nothing.
if [[ -n ${SECURE:-} ]]; then
    tls=$LARDER_TEST_CASSANDRA_FOLDER/tls
    mkdir "$tls"
    key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2)
    for authority in ca other; do
        openssl req -x509 "${key[@]}" -subj "/CN=$authority" -keyout "$tls/$authority.key" -out "$tls/$authority.pem" 2>/dev/null
    done
    openssl req "${key[@]}" -subj /CN=node -keyout "$tls/node.key" -out "$tls/node.csr" 2>/dev/null
    openssl x509 -req -days 2 -in "$tls/node.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -out "$tls/node.pem" \
        -extfile <(IFS=,; echo "subjectAltName=${addresses[*]/#/IP:}") 2>/dev/null
    openssl pkcs12 -export -in "$tls/node.pem" -inkey "$tls/node.key" -out "$tls/node.p12" -passout pass:cassandra
    export LARDER_TEST_CASSANDRA_CA=$tls/ca.pem
fi

logs() {
    local number
    for ((number = 1; number <= NODES; number++)); do
        echo "--- the end of what node $number of Cassandra logged"
        tail -n 60 "$LARDER_TEST_CASSANDRA_FOLDER/$number/log" || true
    done >&2
}

# Prints the process id of a node that runs, whoever started it last.
pid_of() {
    local pid
    pid=$(cat "$LARDER_TEST_CASSANDRA_FOLDER/$1/pid" 2>/dev/null) || return 0
    if [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$LARDER_TEST_CASSANDRA_FOLDER/$1/"* ]]; then
        echo "$pid"
    fi
}

# False for what has ended, though nobody has waited for it.
is_alive() {
    [[ -n $(tr -d '\0' <"/proc/$1/cmdline" 2>/dev/null) ]]
}

end() {
    local status=$? number pid
    trap - EXIT
    if ((status != 0)); then
        logs
    fi
    for ((number = 1; number <= NODES; number++)); do
        pid=$(pid_of "$number")
        if [[ -n $pid ]]; then
            kill -KILL "$pid" 2>/dev/null || true
            # A process in a network of its own has its folder until it is gone.
            while [[ -n $(pid_of "$number") ]]; do sleep 0.1; done
        fi
    done
    rm -rf "$LARDER_TEST_CASSANDRA_FOLDER"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# True once a node answers OPTIONS of CQL's protocol (version 4) and has seen every node join.
serves() {
    local address log=$LARDER_TEST_CASSANDRA_FOLDER/$1/log
    for address in "${addresses[@]}"; do
        grep -qsF "Node /$address:7000 state NORMAL" "$log" || return 1
    done
    if [[ -n ${SECURE:-} ]]; then
        timeout 5 openssl s_client -connect "${addresses[$1 - 1]}:9042" -CAfile "$LARDER_TEST_CASSANDRA_CA" -verify_return_error \
            </dev/null >/dev/null 2>&1
        return
    fi
    local answer
    answer=$(
        exec 2>/dev/null 3<>"/dev/tcp/${addresses[$1 - 1]}/9042" || exit 0
        printf '\x04\x00\x00\x00\x05\x00\x00\x00\x00' >&3
        timeout 5 head -c 1 <&3 | od -An -tx1
    ) || return 1
    [[ $answer == *84* ]]
}

begun=$SECONDS
# A shell whose command is the last one becomes it: these are the ids of the nodes.
pids=()
for ((number = 1; number <= NODES; number++)); do
    tests/cassandra/node.sh "$number" &
    pids+=($!)
    # Or this shell would report its end.
    disown $!
done
for ((number = 1; number <= NODES; number++)); do
    until serves "$number"; do
        if ! is_alive "${pids[number - 1]}"; then
            echo "tests/cassandra.sh: node $number of Cassandra ended while it started" >&2
            exit 1
        fi
        if ((SECONDS - begun > PATIENCE)); then
            echo "tests/cassandra.sh: node $number of Cassandra did not serve within $PATIENCE s" >&2
            exit 1
        fi
        sleep 0.2
    done
done
echo "tests/cassandra.sh: Cassandra $VERSION serves on $LARDER_TEST_CASSANDRA_ADDRESSES after $((SECONDS - begun)) s" >&2

# === the command ===

LARDER_TEST_CASSANDRA=$(IFS=,; echo "${addresses[*]/%/:9042}")
LARDER_TEST_CASSANDRA_PIDS=$(IFS=,; echo "${pids[*]}")
export LARDER_TEST_CASSANDRA LARDER_TEST_CASSANDRA_PIDS

if (($# > 0)); then
    "$@"
    exit
fi
if [[ -n ${SECURE:-} ]]; then
    cargo test --locked --features larder-cassandra/cassandra-tests --test secure
    exit
fi
# From all packages, and not with `-p`: cargo takes the features of the packages that it is told, and would build half of them again.
cargo test --locked --features larder-cassandra/cassandra-tests --test conformance --test cluster
