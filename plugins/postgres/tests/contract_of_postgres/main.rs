//! The postgres plugin keeps the contract, on a real server: `tests/postgres.sh`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod answers;
mod commits;
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod proxy;
mod refusals;
mod retention;
mod tenants;

use common::Store;
use larder_plugin::testing::Harness;
use larder_plugin::{Error, Part, Plugin as _, Search, Wanted};
use larder_postgres::Postgres;

const SECOND: u64 = 1_000_000_000;

/// A plugin with an empty tenant, which is purged in the end.
fn with_harness(call: impl FnOnce(&mut Harness<Postgres>)) {
    let mut harness = Harness::new(Store::new().writer());
    call(&mut harness);
    harness.plugin().purge().unwrap();
}

/// All that a search finds: traces and `newest`, page by page of this size.
fn found(plugin: &mut Postgres, search: &Search, limit: u32) -> Vec<(u128, u64)> {
    let mut all = Vec::new();
    let mut resume = None;
    loop {
        let page = plugin.find(search, resume.as_deref(), limit).unwrap();
        let found = page.found.iter();
        all.extend(found.map(|it| (u128::from(it.trace_id), it.newest)));
        match page.resume {
            Some(next) => resume = Some(next),
            None => return all,
        }
    }
}

fn of_terms(terms: impl IntoIterator<Item = u64>) -> Search {
    Search {
        clauses: terms.into_iter().map(|it| vec![it]).collect(),
        ..Search::all()
    }
}

fn pieces(plugin: &mut Postgres, wanted: &Wanted) -> usize {
    let page = plugin.read(wanted, Part::Otlp, None, u32::MAX).unwrap();
    page.pieces.len()
}

fn refusal(store: &Store) -> String {
    match store.try_writer() {
        Err(Error::InvalidArgument(text)) => text,
        other => unreachable!("{other:?}"),
    }
}
