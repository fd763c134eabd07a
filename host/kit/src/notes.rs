//! What is no mistake, and costs those who use the plugin: told after the cases.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_plugin::Sightings;

/// What was seen over all cases.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Pages of `find` that have sightings and a resume.
    pages: u64,
    /// Those of them whose floor is the highest number.
    pages_without_floor: u64,
    /// Sightings in random stories, and the fragments that they had to cover.
    sightings: u64,
    matches: u64,
    /// The time of each call.
    took: BTreeMap<&'static str, Vec<Duration>>,
    /// A tenant whose data could not be deleted where the plugin keeps it, why, and how many more there are.
    left: Option<(String, String, usize)>,
}

/// Sightings for one match that are told of as many.
const MANY: u64 = 4;

// === impl Notes ===

impl Notes {
    pub(crate) fn page(&mut self, page: &Sightings) {
        if page.resume.is_some() && !page.found.is_empty() {
            self.pages += 1;
            self.pages_without_floor += u64::from(page.floor == u64::MAX);
        }
    }

    pub(crate) fn found(&mut self, sightings: usize, matches: usize) {
        self.sightings += sightings as u64;
        self.matches += matches as u64;
    }

    pub(crate) fn took(&mut self, function: &'static str, duration: Duration) {
        self.took.entry(function).or_default().push(duration);
    }

    /// What this tenant has stored outside of the kit is still there.
    pub(crate) fn left(&mut self, tenant: &str, why: &str) {
        match &mut self.left {
            Some((_, _, more)) => *more += 1,
            None => self.left = Some((tenant.to_owned(), why.to_owned(), 0)),
        }
    }

    /// All of it in words. `timeout` is the longest that a call may take.
    pub(crate) fn told(&mut self, timeout: Duration) -> Vec<String> {
        let mut told = Vec::new();
        if self.pages > 0 && self.pages == self.pages_without_floor {
            told.push("find: the floor of every page is the highest number, so that the host can never stop early: give the `newest` of the page's last sighting".to_owned());
        }
        if self.sightings > MANY * self.matches.max(1) {
            told.push(format!(
                "find: {} sightings for {} fragments that match: the host reads and judges each of them",
                self.sightings, self.matches
            ));
        }
        for (function, took) in &mut self.took {
            took.sort_unstable();
            let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
            if p99 > timeout / 4 {
                told.push(format!(
                    "{function}: one call in a hundred takes {p99:.1?} or longer, of the {timeout:?} that `limits.call_timeout` gives it"
                ));
            }
        }
        if let Some((tenant, why, more)) = &self.left {
            told.push(format!(
                "purge: what the tenant `{tenant}` and {more} more of this run have stored outside of the kit is still there: {why}"
            ));
        }
        told
    }
}
