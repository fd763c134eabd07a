//! The kv plugin with one mistake, which the setting `mistake` names: each breaks a rule of the contract that `larder plugin test` holds.
//! With the setting `outside` it keeps the names of services outside of Larder.

mod outside;

use std::cell::RefCell;

use larder_kv::Kv;
use larder_plugin::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Piece, Pieces, Plugin,
    Remade, Repaired, Role, Search, Sighting, Sightings, Sizes, Timestamp, TraceId, Wanted, kv,
};

use self::outside::Outside;

/// The settings.
const MISTAKE: &str = "mistake";
const OUTSIDE: &str = "outside";
/// More lines than a step of `check` or `repair` may have, and a longer one.
const LINES: usize = 65_537;
const LINE: usize = 4_097;
/// The most memory that the kit fills. The kv plugin wants to be told of more.
const FILLED: u64 = 64 << 20;

/// See the module.
#[derive(Debug)]
pub struct Mistaken {
    kv: Kv,
    mistake: String,
    outside: Option<Outside>,
    memory_limit: u64,
    /// Something was stored when it was opened to write.
    began_with_data: bool,
    writes: u64,
    pages: u64,
}

thread_local! {
    /// What it takes and never gives back.
    static TAKEN: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Another resume than this one and all before it.
fn next(resume: &[u8]) -> Vec<u8> {
    let number = resume.try_into().map_or(0, u64::from_le_bytes);
    (number + 1).to_le_bytes().to_vec()
}

/// A page of `read` with a piece of its own, and another one after it.
fn endless(ids: &[TraceId], resume: Option<&[u8]>) -> Pieces {
    let number = next(resume.unwrap_or_default());
    let piece = ids.first().map(|trace_id| Piece {
        trace_id: *trace_id,
        fragment: number.as_slice().try_into().map_or(0, u64::from_le_bytes),
        bytes: vec![1],
        dropped_spans: 0,
    });
    Pieces {
        resume: piece.is_some().then_some(number),
        pieces: piece.into_iter().collect(),
    }
}

fn on_purpose<T>() -> Result<T, Error> {
    Err(Error::Other("as the test wants it".to_owned()))
}

impl Mistaken {
    fn is(&self, mistake: &str) -> bool {
        self.mistake == mistake
    }

    /// The answer to a resume that the plugin did not make.
    fn takes_any<T>(&self, mistake: &str, answer: Result<T, Error>, empty: T) -> Result<T, Error> {
        match answer {
            Err(Error::InvalidArgument(_)) if self.is(mistake) => Ok(empty),
            answer => answer,
        }
    }
}

impl Plugin for Mistaken {
    const NAME: &'static str = "mistaken";
    const VERSION: &'static str = "1.0.0";
    const INSTANCING: Instancing = Instancing::Replicated;

    fn open(mut environment: Environment) -> Result<Self, Error> {
        let given = |name| environment.settings.iter().find(|it| it.name == name);
        let mistake = given(MISTAKE).map_or_else(String::new, |it| it.value.clone());
        let outside = given(OUTSIDE).map(|it| Outside::new(&it.value, &environment.tenant));
        environment
            .settings
            .retain(|it| it.name != MISTAKE && it.name != OUTSIDE);
        let began_with_data =
            matches!(environment.role, Role::Writer(_)) && !kv::partitions()?.is_empty();
        let memory_limit = environment.memory_limit;
        match &*mistake {
            "write refuses what does not fit by another error" if memory_limit == FILLED => {
                environment.memory_limit = 1 << 30;
            }
            "open takes any setting" => environment.settings.clear(),
            "open fails" => return on_purpose(),
            "open fails on what is there" if began_with_data => return on_purpose(),
            "open fails to repair" if matches!(environment.role, Role::Repairer) => {
                return on_purpose();
            }
            _ => {}
        }
        Ok(Self {
            memory_limit,
            kv: Kv::open(environment)?,
            mistake,
            outside,
            began_with_data,
            writes: 0,
            pages: 0,
        })
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        self.writes += 1;
        match &*self.mistake {
            "write fails" => return on_purpose(),
            "write fails on what is there" if self.began_with_data => return on_purpose(),
            "write refuses what does not fit by another error"
                if self.memory_limit == FILLED && self.writes > 8 =>
            {
                return on_purpose();
            }
            "write traps" => unreachable!("as the test wants it"),
            "write never ends" => loop {
                std::hint::black_box(());
            },
            "write takes memory for ever" => loop {
                TAKEN.with_borrow_mut(|taken| taken.push(vec![1; 1 << 20]));
            },
            "write forgets" if self.writes.is_multiple_of(2) => return Ok(()),
            "write stores batch by batch" => {
                for batch in batches {
                    self.kv.write(now, vec![batch])?;
                }
                return Ok(());
            }
            "write says nothing of errors" => {
                let _ = self.kv.write(now, batches);
                return Ok(());
            }
            _ => {}
        }
        let services: Vec<String> = match &self.outside {
            Some(_) => batches.iter().flat_map(|it| it.services.clone()).collect(),
            None => Vec::new(),
        };
        self.kv.write(now, batches)?;
        let mut outside = self.outside.iter_mut();
        outside.try_for_each(|it| services.iter().try_for_each(|service| it.keep(service)))
    }

    fn refresh(&mut self) -> Result<(), Error> {
        match &*self.mistake {
            "refresh fails" => on_purpose(),
            "refresh does not look" if self.pages > 0 => Ok(()),
            _ => self.kv.refresh(),
        }
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.pages += 1;
        let asked = if self.is("find gives more than asked for") {
            limit.saturating_add(1)
        } else {
            limit
        };
        if self.is("find never ends") {
            return Ok(Sightings {
                found: Vec::new(),
                floor: 0,
                resume: Some(next(resume.unwrap_or_default())),
            });
        }
        let page = self.kv.find(search, resume, asked);
        let empty = Sightings {
            found: Vec::new(),
            floor: 0,
            resume: None,
        };
        let mut page = self.takes_any("find takes any resume", page, empty)?;
        let each = |page: &mut Sightings, change: fn(&mut Sighting)| {
            page.found.iter_mut().for_each(change);
        };
        match &*self.mistake {
            "find fails on later pages" if resume.is_some() => return on_purpose(),
            "find leaves one out" => drop(page.found.pop()),
            "find tells of a start that is too early" => each(&mut page, |it| it.newest = 0),
            "find passes its floor" if resume.is_some() => {
                each(&mut page, |it| it.newest = u64::MAX);
            }
            "find raises its floor" => page.floor = self.pages,
            "find sights another trace" => each(&mut page, |it| it.trace_id.low ^= 1 << 40),
            "find gives handles of nothing" => {
                each(&mut page, |it| it.fragment = Some(0x0bad_0bad_0bad_0bad));
            }
            "find gives its resume again" if resume.is_some() => {
                page.resume = resume.map(Vec::from);
            }
            "find gives a long resume" if page.resume.is_some() => {
                page.resume = Some(vec![7; 70_000]);
            }
            _ => {}
        }
        Ok(page)
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let (part, max_bytes) = match (&*self.mistake, part) {
            ("read gives the other part", Part::Digest) => (Part::Otlp, max_bytes),
            ("read gives the other part", Part::Otlp) => (Part::Digest, max_bytes),
            ("read gives more than asked for", _) => (part, u32::MAX),
            _ => (part, max_bytes),
        };
        if let ("read never ends", Wanted::Traces(ids)) = (&*self.mistake, wanted) {
            return Ok(endless(ids, resume));
        }
        let page = self.kv.read(wanted, part, resume, max_bytes);
        let empty = Pieces {
            pieces: Vec::new(),
            resume: None,
        };
        let mut page = self.takes_any("read takes any resume", page, empty)?;
        let is_by_handle = matches!(wanted, Wanted::Fragments(_));
        let each = |page: &mut Pieces, change: fn(&mut Piece)| {
            page.pieces.iter_mut().for_each(change);
        };
        match &*self.mistake {
            "read fails for nothing" if page.pieces.is_empty() => return on_purpose(),
            "read gives what was not asked for" => each(&mut page, |it| {
                it.trace_id.low ^= 1 << 40;
                it.fragment ^= 1 << 40;
            }),
            "read gives a piece twice" => {
                let again = page.pieces.last().cloned();
                page.pieces.extend(again);
            }
            "read gives empty pieces" => each(&mut page, |it| it.bytes.clear()),
            "read gives an empty page and a resume" if page.resume.is_some() => page.pieces.clear(),
            "read turns the order" if !is_by_handle => page.pieces.reverse(),
            "read leaves one out" if page.pieces.len() > 1 => drop(page.pieces.pop()),
            "read cuts bytes off" => each(&mut page, |it| {
                it.bytes.truncate(it.bytes.len().div_ceil(2));
            }),
            "read has other handles for digests" if part == Part::Digest && !is_by_handle => {
                each(&mut page, |it| it.fragment ^= 1 << 40);
            }
            "read by handle gives other bytes" if part == Part::Otlp && is_by_handle => {
                each(&mut page, |it| it.bytes.push(0));
            }
            "read tells of dropped spans" => each(&mut page, |it| it.dropped_spans = 7),
            "read fails on later pages" if resume.is_some() => return on_purpose(),
            _ => {}
        }
        Ok(page)
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        let mut services = match &mut self.outside {
            Some(outside) => outside.list()?,
            None => self.kv.services()?,
        };
        match &*self.mistake {
            "services fails" => return on_purpose(),
            "services gives one twice" => services.extend(services.last().cloned()),
            "services gives an empty one" => services.push(String::new()),
            "services leaves one out" => drop(services.pop()),
            "services gives one that was not written" => services.push("never".to_owned()),
            _ => {}
        }
        Ok(services)
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let mut operations = self.kv.operations(service)?;
        let each = |operations: &mut Vec<Operation>, change: fn(&mut Operation)| {
            operations.iter_mut().for_each(change);
        };
        match &*self.mistake {
            "operations fails for an unknown service" if operations.is_empty() => {
                return on_purpose();
            }
            "operations gives those of another service" => {
                each(&mut operations, |it| it.service.push('x'));
            }
            "operations gives one twice" => operations.extend(operations.last().cloned()),
            "operations leaves one out" => drop(operations.pop()),
            "operations changes names" => each(&mut operations, |it| it.name.push('x')),
            _ => {}
        }
        Ok(operations)
    }

    fn maintain(&mut self, now: Timestamp, sizes: Sizes) -> Result<bool, Error> {
        match &*self.mistake {
            "maintain fails" => on_purpose(),
            "maintain never ends" => Ok(true),
            _ => self.kv.maintain(now, sizes),
        }
    }

    fn retire(&mut self) -> Result<bool, Error> {
        match &*self.mistake {
            "retire fails" => on_purpose(),
            "retire gives its id away" => Ok(true),
            _ => self.kv.retire(),
        }
    }

    fn purge(&mut self) -> Result<(), Error> {
        match (&*self.mistake, &mut self.outside) {
            ("purge fails", _) => on_purpose(),
            ("purge deletes nothing", _) | (_, None) => Ok(()),
            (_, Some(outside)) => outside.forget(),
        }
    }

    fn repair(&mut self, now: Timestamp, remade: &[Remade]) -> Result<Repaired, Error> {
        match &*self.mistake {
            "repair fails" => return Err(Error::DataLoss("as the test wants it".to_owned())),
            "repair does nothing" => return Ok(Repaired::default()),
            _ => {}
        }
        let mut step = self.kv.repair(now, remade)?;
        match &*self.mistake {
            "repair never ends" => (step.values, step.more) = (1, true),
            "repair tells of damage" => step.lost.push("as the test wants it".to_owned()),
            "repair tells of too much" => step.lost = vec!["lost".to_owned(); LINES],
            "repair tells of it at length" => step.lost.push("l".repeat(LINE)),
            "repair goes on without a value" => (step.values, step.more) = (0, true),
            "repair says nothing of what is lost" => step.lost.clear(),
            _ => {}
        }
        Ok(step)
    }

    fn statistics(&self) -> Counts {
        let mut counts = self.kv.statistics();
        if self.is("statistics counts wrongly") {
            counts.spans += 1;
        }
        counts
    }

    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        if self.is("check fails") {
            return on_purpose();
        }
        if self.is("check never ends") {
            return Ok(Checked {
                values: 1,
                resume: Some(next(resume.unwrap_or_default())),
                ..Checked::default()
            });
        }
        let mut step = self.kv.check(resume)?;
        match &*self.mistake {
            "check tells of damage" => step.damaged.push("as the test wants it".to_owned()),
            "check tells of too much" => step.damaged = vec!["damaged".to_owned(); LINES],
            "check tells of it at length" => step.damaged.push("d".repeat(LINE)),
            "check goes on without a value" => {
                (step.values, step.resume) = (0, Some(next(resume.unwrap_or_default())));
            }
            _ => {}
        }
        Ok(step)
    }
}
