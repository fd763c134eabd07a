#!/usr/bin/env bash
# The long test of a cluster: three nodes of Cassandra and three hosts, which are killed, stopped and cut off at random while clients write
# and read (tests/examples/chaos). The clocks of the hosts are up to forty minutes apart. It fails if anything that was acknowledged is lost,
# and prints what happened.
#
#   tests/cluster.sh [MINUTES [SEED]]     10 minutes by default; a seed gives the same troubles again, at about the same times
#
# With RELEASE=1 it runs the server as it is released. As root it gives each node a network of its own, so that nodes can be cut off;
# without root they are not.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly NETWORK=larder-test-
# Of the range for benchmarks of networks (RFC 2544): nobody's.
readonly SUBNET=198.18.77

remove_networks() {
    local number
    for number in 1 2 3; do
        ip netns delete "$NETWORK$number" 2>/dev/null || true
        ip link delete "$NETWORK$number" 2>/dev/null || true
    done
    ip link delete "${NETWORK}0" 2>/dev/null || true
}

# A bridge, which has the hosts' address, and a link from it into the network of each node.
add_networks() {
    local number
    ip link add "${NETWORK}0" type bridge
    ip address add "$SUBNET.254/24" dev "${NETWORK}0"
    ip link set "${NETWORK}0" up
    for number in 1 2 3; do
        ip netns add "$NETWORK$number"
        ip link add "$NETWORK$number" type veth peer name eth0 netns "$NETWORK$number"
        ip link set "$NETWORK$number" master "${NETWORK}0" up
        ip netns exec "$NETWORK$number" ip link set lo up
        ip netns exec "$NETWORK$number" ip address add "$SUBNET.$number/24" dev eth0
        ip netns exec "$NETWORK$number" ip link set eth0 up
    done
}

folder=$(mktemp -d)
clean_up() {
    rm -rf "$folder"
    if ((EUID == 0)) && [[ -n $(command -v ip) ]]; then
        remove_networks
    fi
}
trap clean_up EXIT
if ((EUID == 0)) && [[ -n $(command -v ip) ]]; then
    remove_networks
fi
# Two hosts have other clocks than the rest, forty minutes apart.
export LARDER_TEST_CLOCK=$folder/clock.so
cc -shared -fPIC -O1 -o "$LARDER_TEST_CLOCK" tests/faketime/clock.c -ldl
# The first of them are the probe: some containers let root make none.
if ((EUID == 0)) && ip netns add "${NETWORK}1" && ip link add "${NETWORK}0" type bridge; then
    remove_networks
    add_networks
    export LARDER_TEST_CASSANDRA_NAMESPACE=$NETWORK
    export LARDER_TEST_CASSANDRA_ADDRESSES=$SUBNET.1,$SUBNET.2,$SUBNET.3
else
    echo "SKIPPED: cutting nodes off needs root, the program ip, and networks that it may make; they are killed and stopped only" >&2
fi
# As `cargo test` builds it, so that little is built again.
NODES=3 tests/cassandra.sh cargo run --locked ${RELEASE:+--release} --example chaos -- "${1:-10}" "${@:2}"
