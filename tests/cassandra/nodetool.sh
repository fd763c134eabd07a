#!/usr/bin/env bash
# Cassandra's nodetool for a node that tests/cassandra.sh started: `nodetool.sh 1 status`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
number=$1
node=$LARDER_TEST_CASSANDRA_FOLDER/$number
shift
within=()
if [[ -n ${LARDER_TEST_CASSANDRA_NAMESPACE:-} ]]; then
    within=(ip netns exec "$LARDER_TEST_CASSANDRA_NAMESPACE$number")
fi
# It keeps a history in the user's folder.
exec "${within[@]}" "$LARDER_TEST_CASSANDRA_JAVA" "@$here/java.options" -Xmx64m "-Duser.home=$node/tmp" -cp "$node/conf:$LARDER_TEST_CASSANDRA_JARS/*" \
    org.apache.cassandra.tools.NodeTool --host 127.0.0.1 --port $((17198 + number)) "$@"
