//! What a search needs of a segment and of a chunk, without a trace in the page: it may be looked up more than once.

use std::rc::Rc;

use larder_plugin::Error;

use super::SearchPage;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Key;
use crate::index::{CHUNK, Places, Postings};
use crate::segment::{Header, Segment};
use crate::store::{Store, lost};
use crate::table::Table;
use crate::view::View;

/// A segment that is being searched.
pub(super) struct Opened {
    pub(super) view: usize,
    pub(super) bucket: u64,
    pub(super) segment: Segment,
    pub(super) header: Rc<Header>,
    pub(super) postings: Postings,
}

/// The result of a lookup in a segment.
pub(super) enum LookedUp {
    /// None of its chunks can have a match on the page.
    Beside,
    /// No fragment satisfies all clauses.
    Nothing,
    /// What was found, and [`SearchPage::newest`] for each chunk.
    Found(Box<Opened>, Vec<Option<Key>>),
}

// === impl SearchPage ===

impl SearchPage<'_> {
    /// Looks up the clauses in a segment.
    pub(super) fn look_up(&mut self, at: usize, place: usize) -> Result<LookedUp, Error> {
        let Some(view) = self.views.get_mut(at) else {
            return Ok(LookedUp::Beside);
        };
        let Some((bucket, segment)) = view.segments.get(place).copied() else {
            return Ok(LookedUp::Beside);
        };
        let header = view.header_from(self.store, &segment)?;
        let keys = self.chunk_keys(at, &header);
        let Some(view) = self
            .views
            .get(at)
            .filter(|_| keys.iter().any(Option::is_some))
        else {
            return Ok(LookedUp::Beside);
        };
        let postings = Postings::look_up(
            self.store,
            &view.writer,
            (&segment, &header),
            (&self.clauses, self.few),
            |chunk| keys.get(chunk as usize).is_some_and(Option::is_some),
        )?;
        let Some(postings) = postings else {
            return Ok(LookedUp::Nothing);
        };
        let opened = Opened {
            view: at,
            bucket,
            segment,
            header,
            postings,
        };
        Ok(LookedUp::Found(Box::new(opened), keys))
    }

    /// Returns what [`SearchPage::newest`] does for each chunk of a segment of this view.
    fn chunk_keys(&self, view: usize, header: &Header) -> Vec<Option<Key>> {
        let writer = self.views.get(view).map_or(0, |it| it.writer.number);
        let mut keys = Vec::with_capacity(header.chunks() as usize);
        for group in &header.groups {
            let mut first = group.first;
            for chunk in &group.chunks {
                let end = group.end().min(first + u64::from(CHUNK));
                keys.push(self.newest(writer, &chunk.bounds, (first, end)));
                first = end;
            }
        }
        keys
    }

    /// Returns the fragments of a chunk that satisfy every clause, and their table; `None` if there are none.
    pub(super) fn rows_of(
        &mut self,
        at: usize,
        number: u32,
    ) -> Result<Option<(Places, Table)>, Error> {
        let Some(opened) = self.opened.get_mut(at) else {
            return Ok(None);
        };
        let Some(view) = self.views.get(opened.view) else {
            return Ok(None);
        };
        let places = opened.postings.places(self.store, &view.writer, number)?;
        if places == [0; 16] {
            return Ok(None);
        }
        let Some((group, chunk)) = opened.header.chunk(number) else {
            let area = Area::Index(opened.segment.number);
            return Err(lost(&view.writer, area, Kind::Header, 0, Fault::Damaged));
        };
        let before = (number - group.chunk).saturating_mul(CHUNK);
        let rows = group.fragments.saturating_sub(before).min(CHUNK);
        let table = read_table(self.store, view, opened.bucket, (chunk.table, rows))?;
        Ok(Some((places, table)))
    }
}

/// Approximate bytes of a row of a table.
const ROW: usize = 40;

/// Reads a chunk's table, which has this number and about as many rows.
pub(crate) fn read_table(
    store: &mut Store,
    view: &View,
    bucket: u64,
    (number, rows): (u64, u32),
) -> Result<Table, Error> {
    let area = Area::Data(bucket);
    store.expect(
        &view.writer,
        (area, Kind::Table, number),
        rows as usize * ROW,
    );
    let value = store.read(&view.writer, area, Kind::Table, number)?;
    Table::of(&value).map_err(|_| lost(&view.writer, area, Kind::Table, number, Fault::Damaged))
}
