//! A page of sightings, newest first: by their last start, then by their id.
//!
//! PostgreSQL chooses between walking the index of starts, which is fast for a common term, and the index of terms, which is fast for a rare
//! one. It guesses how often a term occurs, and a wrong guess reads all that is stored. So it is not asked:
//!
//! 1. Fragments that began within the times searched and ended after them come first. Their classes by length (`reach`) bound where they are.
//! 2. A first window of the newest fragments is walked, and larger ones for as long as the matches in the last one promise that the next one
//!    fills the page: the search is for what is common.
//! 3. The index of terms is asked for at most [`FEW`] matches. If there are no more, they are the answer.
//! 4. Otherwise large windows follow, in which the indexes of terms and of starts are combined. That reads all matches of a window for each
//!    page, so where matches turn out to be close to each other, windows are walked again.

mod filter;
mod resume;

use larder_plugin::{Error, Search, Sighting, Sightings, TimeRange, TraceId};

use crate::connection::{Connection, Failure, Row, Value};
use crate::engine::Engine;
use crate::number::{from_ordered, ordered};
use crate::schema::Tenant;
use filter::Filter;
use resume::{Place, Rest};

/// The most sightings of a page, whatever the host asks for.
const MAX_PAGE: usize = 10_000;
/// Fragments of the windows, by their step.
const WINDOWS: [u32; 5] = [1024, WALKED, 65_536, 262_144, WALKED];
/// Of the largest window that is walked.
const WALKED: u32 = 8192;
/// Fragments within which walking costs less than asking GIN, which reads all matches that are stored.
const CLOSE: u64 = 2048;
/// The step of walking on.
const ON: u8 = 1;
/// The steps of windows that are not walked.
const COMBINED: std::ops::RangeInclusive<u8> = 2..=3;
/// The step of walking after those.
const AGAIN: u8 = 4;
/// A page ends after so many fragments in windows.
const MAX_WORK: u32 = 65_536;
/// Matches that are read and sorted at once.
const FEW: i64 = 8192;
/// Fragments that are looked at in one step of those that end after the times searched.
const ACROSS: usize = 4096;
/// The classes of `reach`. A fragment of class 0 has one start.
const CLASSES: std::ops::RangeInclusive<i16> = 1..=64;
/// Has a statement walk the index that has its order.
const WALK: &str = "BEGIN READ ONLY; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off";
/// Has a statement take whole sets of fragments from indexes, in place of walking one.
const COMBINE: &str = "BEGIN READ ONLY; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_seqscan = off";

/// A page that is being made.
struct Page<'a> {
    connection: &'a mut Connection,
    tenant: &'a Tenant,
    search: &'a Search,
    limit: usize,
    found: Vec<Sighting>,
    work: u32,
}

/// Returns one page.
pub(crate) fn page(
    engine: &mut Engine,
    search: &Search,
    resume: Option<&[u8]>,
    limit: u32,
) -> Result<Sightings, Error> {
    let rest = match resume {
        Some(bytes) => Rest::decode(bytes)?,
        None => Rest::begin(search),
    };
    let limit = usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let is_possible = search.starts.start <= search.starts.end
        && search.durations.shortest <= search.durations.longest
        && search.clauses.iter().all(|clause| !clause.is_empty());
    let found = if is_possible {
        engine.with_tenant(|connection, _, tenant| {
            let page = Page {
                connection,
                tenant,
                search,
                limit,
                found: Vec::new(),
                work: 0,
            };
            page.fill(rest)
        })?
    } else {
        None
    };
    Ok(found.unwrap_or_else(|| Sightings {
        found: Vec::new(),
        floor: 0,
        resume: None,
    }))
}

// === impl Page ===

impl Page<'_> {
    fn fill(mut self, rest: Rest) -> Result<Sightings, Failure> {
        let mut rest = Some(rest);
        while let Some(step) = rest {
            if self.found.len() >= self.limit || self.work >= MAX_WORK {
                break;
            }
            rest = match step {
                Rest::Across { class, after } => self.across(class, after)?,
                Rest::Windows { below, step } => self.window(below, step)?,
                Rest::Few { below } => self.few(below)?,
            };
        }
        let end = self.search.starts.end;
        let floor = match rest {
            None => 0,
            Some(Rest::Across { .. }) => end,
            Some(Rest::Windows { below, .. } | Rest::Few { below }) => {
                from_ordered(below.last).min(end)
            }
        };
        Ok(Sightings {
            found: self.found,
            floor,
            resume: rest.map(Rest::encode),
        })
    }

    /// Looks at some fragments that end after the times searched, class by class.
    fn across(&mut self, class: i16, after: Place) -> Result<Option<Rest>, Failure> {
        let TimeRange { end, .. } = self.search.starts;
        let first = Place::above(end);
        let classes: Vec<i16> = CLASSES.filter(|it| *it >= class).collect();
        let places = classes
            .iter()
            .map(|it| if *it == class { after } else { first });
        let (lasts, ids) = places.map(|it| (it.last, it.id)).unzip();
        let upper = classes.iter().map(|it| {
            // Its last start is less than 2 to the power of the class after its first, and that is not after the end.
            let extent = 1_u64.checked_shl(u32::from(it.unsigned_abs()));
            ordered(end.saturating_add(extent.unwrap_or(u64::MAX)))
        });
        let upper = upper.collect();
        let mut filter = Filter::new(self.search);
        let arrays = [
            filter.value(Value::Int2s(classes)),
            filter.value(Value::Int8s(lasts)),
            filter.value(Value::Int8s(ids)),
            filter.value(Value::Int8s(upper)),
        ];
        let conditions = format!("{} AND {}", filter.ranges(), filter.clauses());
        let statement = format!(
            "SELECT c.class, f.start_last, f.id, f.trace, f.is_match
             FROM unnest({}) AS c (class, last, id, upper)
             CROSS JOIN LATERAL (
                 SELECT f.start_last, f.id, f.trace, {conditions} AS is_match FROM {}.fragments f
                 WHERE f.reach = c.class AND (f.start_last, f.id) > (c.last, c.id) AND f.start_last <= c.upper
                 ORDER BY f.start_last, f.id LIMIT {ACROSS}
             ) f
             ORDER BY c.class, f.start_last, f.id LIMIT {ACROSS}",
            arrays.join(", "),
            self.tenant.schema,
        );
        let (mut looked_at, mut last) = (0, None);
        let Self {
            connection,
            found,
            limit,
            ..
        } = self;
        connection.query(&statement, &filter.values, |row| {
            if found.len() >= *limit {
                return Ok(());
            }
            looked_at += 1;
            last = Some(Rest::Across {
                class: row.int2(0)?,
                after: Place {
                    last: row.int8(1)?,
                    id: row.int8(2)?,
                },
            });
            if row.bool(4)? {
                found.push(sighting(&row, 1, end)?);
            }
            Ok(())
        })?;
        let is_full = found.len() >= *limit || looked_at >= ACROSS;
        self.work += u32::try_from(looked_at).unwrap_or(u32::MAX);
        let next = Rest::Windows {
            below: first,
            step: 0,
        };
        Ok(last.filter(|_| is_full).or(Some(next)))
    }

    /// Looks at the next window below a place.
    fn window(&mut self, below: Place, step: u8) -> Result<Option<Rest>, Failure> {
        let size = WINDOWS.get(usize::from(step)).or(WINDOWS.last());
        let size = size.copied().unwrap_or(1);
        let is_combined = COMBINED.contains(&step) && !self.search.clauses.is_empty();
        let lower = self.end_of_window(below, size)?;
        let from = lower.unwrap_or(Place {
            last: ordered(self.search.starts.start),
            id: i64::MIN,
        });
        let mut filter = Filter::new(self.search);
        let bounds = [below.last, below.id, from.last, from.id];
        let bounds = bounds.map(|it| filter.value(Value::Int8(it)));
        let [last, id, from_last, from_id] = bounds;
        let within = format!(
            "(start_last, id) < ({last}, {id}) AND (start_last, id) >= ({from_last}, {from_id})"
        );
        let conditions = format!("{} AND {}", filter.ranges(), filter.clauses());
        let left = self.limit - self.found.len();
        let schema = &self.tenant.schema;
        let order = format!("ORDER BY start_last DESC, id DESC LIMIT {left}");
        let (how, statement) = if is_combined {
            let statement = format!(
                "SELECT start_last, id, trace, count(*) OVER () FROM {schema}.fragments f WHERE {within} AND {conditions} {order}"
            );
            (COMBINE, statement)
        } else {
            // OFFSET keeps the two apart: the window is walked, whatever the conditions are.
            let statement = format!(
                "SELECT start_last, id, trace FROM (
                     SELECT start_last, id, trace, start_first, shortest, longest, terms FROM {schema}.fragments
                     WHERE {within} ORDER BY start_last DESC, id DESC OFFSET 0
                 ) f WHERE {conditions} {order}"
            );
            (WALK, statement)
        };
        let (mut place, mut matches) = (None, 0);
        self.sight(how, &statement, &filter.values, |row| {
            place = Some(place_of(row, 0)?);
            matches = if is_combined {
                row.int8(3)?
            } else {
                matches + 1
            };
            Ok(())
        })?;
        self.work += size;
        let left = self.limit - self.found.len();
        let is_full = left == 0;
        let wanted = if is_full { self.limit } else { left };
        let is_common = is_common(matches, size, wanted);
        if is_full {
            let step = if is_combined && is_common {
                AGAIN
            } else {
                step
            };
            return Ok(place.map(|below| Rest::Windows { below, step }));
        }
        Ok(lower.map(|below| self.after(below, step, is_common)))
    }

    /// What follows a window that did not fill the page.
    fn after(&self, below: Place, step: u8, is_common: bool) -> Rest {
        let is_on = is_common || self.search.clauses.is_empty();
        let next = match step {
            0 | ON if is_on => ON,
            0 | ON => return Rest::Few { below },
            _ if is_on => AGAIN,
            AGAIN => *COMBINED.start(),
            _ => *COMBINED.end(),
        };
        Rest::Windows { below, step: next }
    }

    /// The place of the last fragment of a window; none if fewer are left.
    fn end_of_window(&mut self, below: Place, size: u32) -> Result<Option<Place>, Failure> {
        let statement = format!(
            "SELECT start_last, id FROM {}.fragments WHERE (start_last, id) < ($1, $2) AND start_last >= $3
             ORDER BY start_last DESC, id DESC OFFSET {} LIMIT 1",
            self.tenant.schema,
            size.saturating_sub(1)
        );
        let values = [
            Value::Int8(below.last),
            Value::Int8(below.id),
            Value::Int8(ordered(self.search.starts.start)),
        ];
        let mut end = None;
        self.connection.query(&statement, &values, |row| {
            end = Some(place_of(&row, 0)?);
            Ok(())
        })?;
        Ok(end)
    }

    /// Takes the matches below a place from the index of terms. If there are more than a few, windows are left: others were perhaps written
    /// since the page before.
    fn few(&mut self, below: Place) -> Result<Option<Rest>, Failure> {
        let mut filter = Filter::new(self.search);
        let clauses = filter.clauses();
        let ranges = filter.ranges();
        let last = filter.value(Value::Int8(below.last));
        let id = filter.value(Value::Int8(below.id));
        let left = self.limit - self.found.len();
        let statement = format!(
            "WITH matches AS MATERIALIZED (
                 SELECT f.start_last, f.id, f.trace, f.start_first, f.shortest, f.longest FROM {}.fragments f
                 WHERE {clauses} LIMIT {FEW} + 1
             )
             SELECT f.start_last, f.id, f.trace, n.count FROM (SELECT count(*) FROM matches) n
             LEFT JOIN LATERAL (
                 SELECT * FROM matches f WHERE {ranges} AND (start_last, id) < ({last}, {id})
                 ORDER BY start_last DESC, id DESC LIMIT {left}
             ) f ON true
             ORDER BY f.start_last DESC, f.id DESC",
            self.tenant.schema
        );
        let before = self.found.len();
        let (mut count, mut place) = (0, None);
        self.sight(COMBINE, &statement, &filter.values, |row| {
            count = row.int8(3)?;
            if row.optional(0)?.is_some() {
                place = Some(place_of(row, 0)?);
            }
            Ok(())
        })?;
        if count > FEW {
            self.found.truncate(before);
            let step = *COMBINED.start();
            return Ok(Some(Rest::Windows { below, step }));
        }
        let is_full = self.found.len() - before >= left;
        let place = place.filter(|_| is_full);
        Ok(place.map(|below| Rest::Few { below }))
    }

    /// Runs a statement, by [`WALK`] or [`COMBINE`], whose rows begin with a last start, an id and a trace, and takes them as sightings; those
    /// that begin with NULL are none.
    fn sight(
        &mut self,
        how: &str,
        statement: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&Row<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let end = self.search.starts.end;
        let mut flight = self.connection.flight();
        flight.run(how)?;
        flight.query(statement, values)?;
        flight.run("COMMIT")?;
        let found = &mut self.found;
        let landed = flight.land_rows(|row| {
            if row.optional(0)?.is_some() {
                found.push(sighting(&row, 0, end)?);
            }
            each(&row)
        });
        landed.map(drop)
    }
}

// === impl Rest ===

impl Rest {
    fn begin(search: &Search) -> Self {
        let above = Place::above(search.starts.end);
        if search.starts.end == u64::MAX {
            return Self::Windows {
                below: above,
                step: 0,
            };
        }
        Self::Across {
            class: *CLASSES.start(),
            after: above,
        }
    }
}

/// True if so many matches in a window of this size promise as many as are wanted within [`CLOSE`] fragments, or are most of what comes.
fn is_common(matches: i64, size: u32, wanted: usize) -> bool {
    let matches = u64::try_from(matches).unwrap_or(0);
    let needed = (wanted as u64).saturating_mul(size.into());
    needed <= matches.saturating_mul(CLOSE) || matches.saturating_mul(4) >= size.into()
}

fn place_of(row: &Row<'_>, column: usize) -> Result<Place, Failure> {
    Ok(Place {
        last: row.int8(column)?,
        id: row.int8(column + 1)?,
    })
}

/// The sighting of a last start, an id and a trace in these columns. No match starts later than the search's end.
fn sighting(row: &Row<'_>, column: usize, end: u64) -> Result<Sighting, Failure> {
    let place = place_of(row, column)?;
    Ok(Sighting {
        trace_id: TraceId::from(row.uuid(column + 2)?),
        newest: from_ordered(place.last).min(end),
        fragment: Some(place.id.cast_unsigned()),
    })
}
