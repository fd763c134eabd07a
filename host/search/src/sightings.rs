//! A series of `find` calls for one search, checked page by page.

use std::sync::Arc;

use larder_model::storage::{Error, Search, Sighting, Sightings};

use super::beside::Ahead;
use super::session::Session;

/// Pages of a search before one is read ahead: most searches end on the first.
const PAGES_BEFORE_AHEAD: u32 = 2;

/// The sightings of one search, newest first, page after page.
pub(crate) struct Sighted {
    search: Arc<Search>,
    resume: Option<Vec<u8>>,
    /// Number of pages that have come.
    pages: u32,
    /// The next page, and the limit that it was asked for with.
    ahead: Option<(u32, Ahead<Sightings>)>,
    floor: u64,
    ended: bool,
}

impl Sighted {
    /// Creates the series; makes no call yet.
    pub(crate) fn new(search: Search) -> Self {
        Self {
            search: Arc::new(search),
            resume: None,
            pages: 0,
            ahead: None,
            floor: u64::MAX,
            ended: false,
        }
    }

    /// The search.
    pub(crate) fn search(&self) -> &Search {
        &self.search
    }

    /// Returns `true` if there are no more sightings.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Upper bound of the times of the sightings still to come; `None` at the end.
    pub(crate) fn floor(&self) -> Option<u64> {
        (!self.ended).then_some(self.floor)
    }

    /// The next page, of at most `limit` sightings; it may be empty before the end.
    pub(crate) async fn next(
        &mut self,
        session: &mut Session,
        limit: u32,
    ) -> Result<Vec<Sighting>, Error> {
        if self.ended {
            return Ok(Vec::new());
        }
        let ahead = self.ahead.take().filter(|(asked, _)| *asked == limit);
        let ahead = ahead.map(|(_, page)| page);
        let page = session
            .find(&self.search, self.resume.as_deref(), limit, ahead)
            .await?;
        if let Some(rule) = self.broken_rule(&page, limit) {
            return Err(session.breach(rule));
        }
        self.pages = self.pages.saturating_add(1);
        self.ended = page.resume.is_none();
        self.floor = page.floor.min(self.floor);
        self.resume = page.resume;
        Ok(page.found)
    }

    /// Asks for the next page, of at most `limit` sightings, while the present one is judged. Does nothing while the search may still end
    /// early, and where no processor is idle.
    pub(crate) fn read_ahead(&mut self, session: &Session, limit: u32) {
        if self.ended || self.ahead.is_some() || self.pages < PAGES_BEFORE_AHEAD {
            return;
        }
        let ahead = session.find_ahead(&self.search, self.resume.as_deref(), limit);
        self.ahead = ahead.map(|page| (limit, page));
    }

    /// The rule of the contract that a page breaks, given the page before it.
    fn broken_rule(&self, page: &Sightings, limit: u32) -> Option<&'static str> {
        let newest = page.found.iter().map(|sighting| sighting.newest).max();
        let goes_on = page.resume.is_some();
        if page.found.len() as u64 > u64::from(limit) {
            Some("find gave more sightings than it was asked for")
        } else if newest > Some(self.floor) {
            Some("find gave a sighting that is newer than the floor of the page before")
        } else if goes_on && page.floor > self.floor {
            Some("find raised the floor")
        } else if goes_on && page.resume == self.resume {
            Some("find gave the resume that it was called with")
        } else {
            None
        }
    }
}
