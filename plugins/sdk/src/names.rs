//! Lists of services and operations that fit the answer of one call.
//!
//! The host takes 64 MiB from one call, and a longer answer traps. It answers clients with far less, and tells them that a list was cut.

use crate::Operation;

/// The most bytes of a list: half of what the host takes from one call, and more than it answers with.
const MAX_LIST: usize = 32 << 20;
/// Estimated bytes of an entry besides its texts.
const ENTRY: usize = 64;

/// Returns the first services, as many as one call should return.
#[must_use]
pub fn services_within_call(services: Vec<String>) -> Vec<String> {
    within_call(services, String::len)
}

/// Returns the first operations, as many as one call should return.
#[must_use]
pub fn operations_within_call(operations: Vec<Operation>) -> Vec<Operation> {
    within_call(operations, |operation| {
        operation.service.len() + operation.name.len()
    })
}

fn within_call<T>(mut list: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut left = MAX_LIST;
    let fitting = list.iter().take_while(|entry| {
        let rest = left.checked_sub(bytes(entry) + ENTRY);
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    let count = fitting.count();
    list.truncate(count);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_where_one_call_is_full() {
        let mib = || "n".repeat(1 << 20);
        assert_eq!(services_within_call(vec![mib(); 20]).len(), 20);
        assert_eq!(services_within_call(vec![mib(); 50]).len(), 31);
        assert_eq!(services_within_call(vec![String::new(); 9]).len(), 9);
    }
}
