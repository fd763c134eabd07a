//! Asks a tenant's storage for fragments that were written with a dictionary.

use std::sync::Weak;

use larder_model::storage::{DurationRange, Error, ErrorKind, Search, StorageSource, TimeRange};
use larder_model::terms;

/// Pages after which a plugin that has found nothing is given up.
const MAX_PAGES: usize = 1 << 16;

/// Returns `true` if there may be fragments that were written with a dictionary; `None` if the tenant is closed.
pub(crate) async fn has_listed(storage: &Weak<dyn StorageSource>) -> Option<Result<bool, Error>> {
    let search = Search {
        starts: TimeRange {
            start: 0,
            end: u64::MAX,
        },
        durations: DurationRange {
            shortest: 0,
            longest: u64::MAX,
        },
        clauses: vec![vec![terms::with_dictionary()]],
    };
    let mut resume: Option<Vec<u8>> = None;
    for _ in 0..MAX_PAGES {
        // Not held between the pages, so that the tenant can be closed.
        let storage = storage.upgrade()?.storage();
        let page = match storage.find(&search, resume.as_deref(), 1).await {
            Ok(page) => page,
            Err(error) => return Some(Err(error)),
        };
        if !page.found.is_empty() {
            return Some(Ok(true));
        }
        match page.resume {
            None => return Some(Ok(false)),
            same if same == resume => break,
            next => resume = next,
        }
    }
    Some(Err(Error::new(
        ErrorKind::ContractBroken,
        "the pages of a search for fragments with listed values do not end",
    )))
}
