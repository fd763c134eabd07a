//! Services and operations of what is still stored, the most recently written first.

use larder_plugin::names::{operations_within_call, services_within_call};
use larder_plugin::{Error, Operation, SpanKind};

use crate::connection::{Failure, Value};
use crate::engine::Engine;
use crate::write::key;

/// More than any answer has room for.
const MOST: u32 = 500_000;
/// Bytes of names that are kept; the SDK cuts to half of what the host takes.
const MAX_BYTES: usize = 40 << 20;

/// Returns all services.
pub(crate) fn services(engine: &mut Engine) -> Result<Vec<String>, Error> {
    let found = engine.with_tenant(|connection, _, tenant| {
        let statement = format!(
            "SELECT name, max(partition) FROM {}.services GROUP BY name ORDER BY 2 DESC, 1 LIMIT {MOST}",
            tenant.schema
        );
        let (mut services, mut bytes) = (Vec::new(), 0);
        connection.query(&statement, &[], |row| {
            bytes += row.bytes(0)?.len();
            if bytes <= MAX_BYTES {
                services.push(row.text(0)?);
            }
            Ok(())
        })?;
        Ok(services)
    })?;
    Ok(services_within_call(found.unwrap_or_default()))
}

/// Returns the operations of a service.
pub(crate) fn operations(engine: &mut Engine, service: &str) -> Result<Vec<Operation>, Error> {
    let key = key(service);
    let found = engine.with_tenant(|connection, _, tenant| {
        let statement = format!(
            "SELECT name, kind, max(partition) FROM {}.operations WHERE service = $1 GROUP BY name, kind ORDER BY 3 DESC, 1, 2 LIMIT {MOST}",
            tenant.schema
        );
        let (mut operations, mut bytes) = (Vec::new(), 0);
        connection.query(&statement, &[Value::Bytes(&key)], |row| {
            bytes += row.bytes(0)?.len() + service.len();
            if bytes <= MAX_BYTES {
                operations.push(Operation {
                    service: service.to_owned(),
                    name: row.text(0)?,
                    kind: kind(row.int2(1)?)?,
                });
            }
            Ok(())
        })?;
        Ok(operations)
    })?;
    Ok(operations_within_call(found.unwrap_or_default()))
}

/// The kind with this number, as `write` has put it down.
fn kind(number: i16) -> Result<SpanKind, Failure> {
    let all = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let found = all.into_iter().find(|it| i16::from(*it as u8) == number);
    found.ok_or_else(|| Failure::data_loss(format!("an operation has the kind {number}")))
}
