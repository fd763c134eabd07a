//! The code that is the same for every version of the contract, as macros: a version expands them with its own generated types.
//!
//! Each macro takes the names of the functions or types that a version has in common with others. The module of a version has in scope
//! what the macros use: `lifecycle`, `writer`, `reader`, `types`, `kv` and `log`, the modules of its interfaces, and the host's own
//! types. The option `with` of `bindgen!` is no way to share types: it has no effect on exported interfaces, and for the others the
//! older version would change with the newer one.

mod exports;
mod imports;
mod types;

pub(super) use self::exports::{calls, signatures};
pub(super) use self::imports::{kv_functions, log_functions};
pub(super) use self::types::conversions;

use larder_model::storage;

use super::GuestError;

/// The result of a call in the host's own types.
pub(super) fn answer<T, E: Into<GuestError>, U: From<T>>(
    called: Result<T, E>,
) -> Result<U, GuestError> {
    called.map(U::from).map_err(E::into)
}

/// The result of a call that returns a list, in the host's own types.
pub(super) fn answer_list<T, E: Into<GuestError>, U: From<T>>(
    called: Result<Vec<T>, E>,
) -> Result<Vec<U>, GuestError> {
    called.map(converted).map_err(E::into)
}

/// Each item as another type.
pub(super) fn converted<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

/// A trace id as two big-endian halves.
pub(super) fn halves(id: u128) -> [u64; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves, on purpose"
    )]
    [(id >> 64) as u64, id as u64]
}

/// The lists of a batch as `write` takes them, with a version's types: the large ones are borrowed, only the short ones are built anew.
pub(super) struct BatchLists<'a, Operation, Fragment> {
    pub(super) batch: &'a storage::Batch,
    pub(super) services: Vec<&'a str>,
    pub(super) operations: Vec<Operation>,
    pub(super) fragments: Vec<Fragment>,
}

// === impl BatchLists ===

impl<'a, Operation, Fragment> BatchLists<'a, Operation, Fragment>
where
    Operation: From<(&'a storage::BatchOperation, &'a str)>,
    Fragment: From<(&'a storage::FragmentFacts, &'a storage::Ends)>,
{
    pub(super) fn new(batch: &'a storage::Batch) -> Self {
        Self {
            batch,
            services: batch.services().iter().map(String::as_str).collect(),
            operations: batch.named_operations().map(Operation::from).collect(),
            fragments: batch.facts().map(Fragment::from).collect(),
        }
    }
}
