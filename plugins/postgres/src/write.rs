//! A write: one transaction of `COPY`, sent at once and waited for once.

use std::collections::BTreeMap;

use bytes::{BufMut as _, BytesMut};
use larder_plugin::{Batch, Error, Fragment, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::connection::{BEGIN, Connection, Failure, Value, length, write_bigints};
use crate::engine::{Engine, Written};
use crate::number::ordered;
use crate::partition::Partition;
use crate::schema::Tenant;

/// The answer of a transaction that was committed.
const COMMITTED: &str = "COMMIT";
/// The tries of a transaction that another one has stood in the way of.
const TRIES: u32 = 3;

/// A name that is written, by its key.
type Key = [u8; 32];

/// The services and operations that the partition may not have yet. In the order of their keys: two writers that write the same ones wait
/// for each other, and never in a circle.
#[derive(Debug, Default)]
struct Names<'a> {
    services: BTreeMap<Key, &'a str>,
    operations: BTreeMap<(Key, Key), (&'a str, i16)>,
}

/// Stores all batches, or none.
pub(crate) fn write(engine: &mut Engine, now: Timestamp, batches: &[Batch]) -> Result<(), Error> {
    engine.with_partition(now, |connection, tenant, partition, written| {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match transaction(connection, tenant, partition, batches, written) {
                Err(failure) if failure.is_conflict() && tries > 0 => {}
                done => return done,
            }
        }
    })
}

fn transaction(
    connection: &mut Connection,
    tenant: &Tenant,
    partition: Partition,
    batches: &[Batch],
    written: &mut Written,
) -> Result<(), Failure> {
    let names = Names::new(batches, written);
    let mut flight = connection.flight();
    flight.run(BEGIN)?;
    for (statement, values) in names.statements(tenant, partition) {
        flight.query(&statement, &values)?;
    }
    let copy = format!(
        "COPY {}.fragments_{} (trace, start_first, start_last, reach, shortest, longest, spans, terms, digest, otlp) FROM STDIN (FORMAT binary)",
        tenant.schema, partition.number
    );
    let mut fragments = batches.iter().flat_map(Batch::fragments).peekable();
    flight.copy(&copy, |out| {
        if let Some(fragment) = fragments.next() {
            write_row(&fragment, out);
        }
        fragments.peek().is_some()
    })?;
    flight.run("COMMIT")?;
    let tag = flight.land()?;
    if tag != COMMITTED {
        // An error comes before. This keeps a server that answers otherwise from being believed.
        let text = format!("the transaction was not committed: {tag:?}");
        return Err(Failure::Raised(Error::Unavailable(text)));
    }
    let known = names.operations.keys().map(operation_key);
    written.known.extend(known);
    Ok(())
}

/// A row for `COPY`: the number of columns, then each with its length.
fn write_row(fragment: &Fragment<'_>, out: &mut BytesMut) {
    let (starts, durations) = (fragment.starts, fragment.durations);
    out.put_i16(10);
    column(&u128::from(fragment.trace_id).to_be_bytes(), out);
    column(&ordered(starts.start).to_be_bytes(), out);
    column(&ordered(starts.end).to_be_bytes(), out);
    column(&reach(starts.start, starts.end).to_be_bytes(), out);
    column(&ordered(durations.shortest).to_be_bytes(), out);
    column(&ordered(durations.longest).to_be_bytes(), out);
    column(&fragment.span_count.cast_signed().to_be_bytes(), out);
    let mut terms = BytesMut::with_capacity(20 + fragment.terms.len() * 12);
    write_bigints(fragment.terms.iter().map(|it| it.cast_signed()), &mut terms);
    column(&terms, out);
    column(fragment.digest, out);
    column(fragment.otlp, out);
}

fn column(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32(length(bytes.len()));
    out.put_slice(bytes);
}

/// The class of a fragment by the time between its first and its last start: that is less than 2 to the power of it. 0 to 64.
pub(crate) fn reach(first: Timestamp, last: Timestamp) -> i16 {
    let bits = Timestamp::BITS - last.saturating_sub(first).leading_zeros();
    i16::try_from(bits).unwrap_or(i16::MAX)
}

/// The key of a service's name. Names can be longer than an index takes.
pub(crate) fn key(name: &str) -> Key {
    Sha256::digest(name).into()
}

/// The key of an operation among those of its service.
fn key_of_operation(name: &str, kind: i16) -> Key {
    let hash = Sha256::new().chain_update(kind.to_be_bytes());
    hash.chain_update(name).finalize().into()
}

/// The key of an operation among those of all services.
fn operation_key((service, operation): &(Key, Key)) -> Key {
    let hash = Sha256::new().chain_update(service);
    hash.chain_update(operation).finalize().into()
}

// === impl Names ===

impl<'a> Names<'a> {
    fn new(batches: &'a [Batch], written: &Written) -> Self {
        let mut names = Self::default();
        for operation in batches.iter().flat_map(Batch::operations) {
            let kind = i16::from(operation.kind as u8);
            let service = key(operation.service);
            let keys = (service, key_of_operation(operation.name, kind));
            if !written.known.contains(&operation_key(&keys)) {
                names.services.insert(service, operation.service);
                names.operations.insert(keys, (operation.name, kind));
            }
        }
        names
    }

    /// The statements that write them, with their values.
    fn statements(
        &'a self,
        tenant: &Tenant,
        partition: Partition,
    ) -> Vec<(String, Vec<Value<'a>>)> {
        if self.operations.is_empty() {
            return Vec::new();
        }
        let Tenant { schema, .. } = tenant;
        let number = partition.number;
        let services = format!(
            "INSERT INTO {schema}.services_{number} (partition, key, name) SELECT $1, * FROM unnest($2, $3) ON CONFLICT DO NOTHING"
        );
        let of_services = vec![
            Value::Int4(number),
            Value::ByteStrings(self.services.keys().map(<[u8; 32]>::as_slice).collect()),
            Value::ByteStrings(self.services.values().map(|it| it.as_bytes()).collect()),
        ];
        let operations = format!(
            "INSERT INTO {schema}.operations_{number} (partition, service, key, name, kind) SELECT $1, * FROM unnest($2, $3, $4, $5) ON CONFLICT DO NOTHING"
        );
        let keys = || self.operations.keys();
        let of_operations = vec![
            Value::Int4(number),
            Value::ByteStrings(keys().map(|(service, _)| service.as_slice()).collect()),
            Value::ByteStrings(keys().map(|(_, key)| key.as_slice()).collect()),
            Value::ByteStrings(self.operations.values().map(|it| it.0.as_bytes()).collect()),
            Value::Int2s(self.operations.values().map(|it| it.1).collect()),
        ];
        vec![(services, of_services), (operations, of_operations)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_fragment_reaches_less_far_than_its_class(first in any::<u64>(), last in any::<u64>()) {
            let (first, last) = (first.min(last), first.max(last));
            let class = u32::try_from(reach(first, last)).unwrap_or(0);
            let (extent, reaches) = (u128::from(last - first), 1_u128 << class);
            prop_assert!(extent < reaches && (class == 0 || extent >= reaches / 2));
        }
    }

    #[test]
    fn an_operation_is_its_service_its_name_and_its_kind() {
        let operation =
            |service, name, kind| operation_key(&(key(service), key_of_operation(name, kind)));
        let all = [
            operation("ab", "c", 1),
            operation("a", "bc", 1),
            operation("ab", "c", 2),
        ];
        let each: std::collections::BTreeSet<Key> = all.into_iter().collect();
        assert_eq!(each.len(), 3);
    }
}
