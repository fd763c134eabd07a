#!/usr/bin/env bash
# Becomes a node of the Cassandra that tests/cassandra.sh started, which sets the variables: `node.sh 2` is the second one. Started again
# after it was killed, it has its data still. Its process id is in FOLDER/2/pid, its log in FOLDER/2/log.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
number=$1
IFS=, read -ra addresses <<<"$LARDER_TEST_CASSANDRA_ADDRESSES"
node=$LARDER_TEST_CASSANDRA_FOLDER/$number
mkdir -p "$node/conf" "$node/tmp"
cp "$here/logback.xml" "$node/conf/"
sed -e "s/@ADDRESS@/${addresses[number - 1]}/" -e "s/@SEEDS@/$LARDER_TEST_CASSANDRA_ADDRESSES/" \
    "$here/cassandra.yaml" >"$node/conf/cassandra.yaml"
if [[ -n ${LARDER_TEST_CASSANDRA_CA:-} ]]; then
    cat >>"$node/conf/cassandra.yaml" <<END

# SECURE=1
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
permissions_validity: 100ms
client_encryption_options:
  enabled: true
  optional: false
  keystore: $(dirname "$LARDER_TEST_CASSANDRA_CA")/node.p12
  keystore_password: cassandra
  store_type: PKCS12
END
fi
echo $$ >"$node/pid"
# Where the node has a network of its own, so that it can be cut off.
within=()
if [[ -n ${LARDER_TEST_CASSANDRA_NAMESPACE:-} ]]; then
    within=(ip netns exec "$LARDER_TEST_CASSANDRA_NAMESPACE$number")
fi
exec "${within[@]}" "$LARDER_TEST_CASSANDRA_JAVA" "@$here/java.options" \
    "-Xms$LARDER_TEST_CASSANDRA_HEAP" "-Xmx$LARDER_TEST_CASSANDRA_HEAP" \
    "-Dcassandra.jmx.local.port=$((17198 + number))" \
    "-Dcassandra.config=file://$node/conf/cassandra.yaml" "-Dcassandra.storagedir=$node/data" "-Djava.io.tmpdir=$node/tmp" \
    -cp "$node/conf:$LARDER_TEST_CASSANDRA_JARS/*" org.apache.cassandra.service.CassandraDaemon >>"$node/log" 2>&1
