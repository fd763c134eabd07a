//! The rules of the contract that the result of one call can break. An answer is not trusted until it has passed them.
//!
//! The caller checks the rules about a series of pages, such as a floor that rises or a resume that comes back later. The size of an
//! answer in bytes is limited before it is read (`guest::instance`).

use std::hash::Hash;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{
    Checked, Error, ErrorKind, Operation, Part, Pieces, Repaired, Sightings, Wanted,
};

/// The longest `resume` that a guest may return.
const MAX_RESUME_BYTES: usize = 64 << 10;
/// A page of pieces may have this many times `max-bytes`, and its largest piece in addition: a plugin may return whole blocks.
const PAGE_FACTOR: usize = 2;
/// The most lines that one step of `check` may return, and the longest line in bytes.
const MAX_DAMAGED: usize = 1 << 16;
const MAX_DAMAGED_BYTES: usize = 4 << 10;

/// A rule that was broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// The rule's name, for metrics: `find.limit`.
    pub(crate) rule: &'static str,
    /// The guest's answer, as far as it broke the rule.
    pub(crate) detail: String,
}

fn breach(rule: &'static str, detail: impl Into<String>) -> Result<(), Breach> {
    Err(Breach {
        rule,
        detail: detail.into(),
    })
}

impl Breach {
    /// The error for the caller.
    pub(crate) fn into_error(self, plugin: &str) -> Error {
        let Self { rule, detail } = self;
        let text = format!("plugin `{plugin}` broke the contract (rule {rule}): {detail}");
        Error::new(ErrorKind::ContractBroken, text)
    }
}

/// Checks a page of `find`.
pub(crate) fn sightings(page: &Sightings, resume: Option<&[u8]>, limit: u32) -> Result<(), Breach> {
    if page.found.len() as u64 > u64::from(limit) {
        let count = page.found.len();
        return breach(
            "find.limit",
            format!("{count} sightings where at most {limit} were asked for"),
        );
    }
    check_resume(page.resume.as_deref(), resume)
}

/// Checks a page of `read`.
pub(crate) fn pieces(
    page: &Pieces,
    wanted: &Wanted,
    part: Part,
    resume: Option<&[u8]>,
    max_bytes: u32,
) -> Result<(), Breach> {
    check_resume(page.resume.as_deref(), resume)?;
    if page.pieces.is_empty() && page.resume.is_some() {
        return breach("read.progress", "a page without a piece, and yet a resume");
    }

    let sizes = page.pieces.iter().map(|piece| piece.bytes.len());
    let total: usize = sizes.clone().sum();
    let largest = sizes.max().unwrap_or_default();
    let most = (max_bytes as usize).saturating_mul(PAGE_FACTOR);
    if total - largest > most {
        return breach(
            "read.size",
            format!("a page of {total} bytes where about {max_bytes} were asked for"),
        );
    }

    let mut fragments = HashSet::with_capacity(page.pieces.len());
    for piece in &page.pieces {
        if piece.bytes.is_empty() {
            return breach(
                "read.empty",
                format!("fragment {} without bytes", piece.fragment),
            );
        }
        if !fragments.insert(piece.fragment) {
            return breach(
                "read.twice",
                format!("fragment {} came twice", piece.fragment),
            );
        }
    }
    match wanted {
        Wanted::Traces(ids) => in_order(ids, page.pieces.iter().map(|piece| piece.trace_id), part),
        Wanted::Fragments(ids) => {
            in_order(ids, page.pieces.iter().map(|piece| piece.fragment), part)
        }
    }
}

/// Checks that only ids that were asked for are given; for OTLP in the order asked, which also keeps a trace's pieces together.
fn in_order<T: Copy + Eq + Hash + std::fmt::Debug>(
    asked: &[T],
    given: impl Iterator<Item = T>,
    part: Part,
) -> Result<(), Breach> {
    let mut places = HashMap::with_capacity(asked.len());
    for (place, id) in asked.iter().enumerate() {
        places.entry(*id).or_insert(place);
    }
    let mut last = 0;
    for id in given {
        let Some(&place) = places.get(&id) else {
            return breach("read.wanted", format!("{id:?} was not asked for"));
        };
        if part == Part::Otlp && place < last {
            return breach(
                "read.order",
                format!("{id:?} came after what was asked for later"),
            );
        }
        last = place;
    }
    Ok(())
}

/// Checks the answer of `services`.
pub(crate) fn services(names: &[String]) -> Result<(), Breach> {
    let mut seen = HashSet::with_capacity(names.len());
    for name in names {
        if name.is_empty() {
            return breach("services.empty", "a service without a name");
        }
        if !seen.insert(name) {
            return breach("services.unique", "a service came twice");
        }
    }
    Ok(())
}

/// Checks the answer of `operations` for `service`.
pub(crate) fn operations(operations: &[Operation], service: &str) -> Result<(), Breach> {
    let mut seen = HashSet::with_capacity(operations.len());
    for operation in operations {
        if operation.service != service {
            return breach(
                "operations.service",
                "an operation of a service that was not asked for",
            );
        }
        if !seen.insert((&operation.name, operation.kind)) {
            return breach("operations.unique", "an operation came twice");
        }
    }
    Ok(())
}

/// Checks a step of `check`.
pub(crate) fn checked(step: &Checked, resume: Option<&[u8]>) -> Result<(), Breach> {
    lines(&step.damaged, ["check.damaged", "check.line"])?;
    if step.values == 0 && step.resume.is_some() {
        return breach("check.progress", "a step without a value, and yet a resume");
    }
    check_resume(step.resume.as_deref(), resume)
}

/// Checks a step of `repair`.
pub(crate) fn repaired(step: &Repaired) -> Result<(), Breach> {
    for told in [&step.lost, &step.mended] {
        lines(told, ["repair.lines", "repair.line"])?;
    }
    let goes_on = step.more || !step.remake.is_empty();
    if step.values == 0 && goes_on {
        return breach("repair.progress", "a step without a value, and yet more");
    }
    Ok(())
}

/// Checks lines about damaged values, by the rules of these names: their number, and the length of each.
fn lines(lines: &[String], [number, length]: [&'static str; 2]) -> Result<(), Breach> {
    let count = lines.len();
    if count > MAX_DAMAGED {
        return breach(
            number,
            format!("{count} damaged values in one step; at most {MAX_DAMAGED}"),
        );
    }
    if let Some(long) = lines.iter().find(|it| it.len() > MAX_DAMAGED_BYTES) {
        let size = long.len();
        return breach(
            length,
            format!("a line of {size} bytes about a damaged value; at most {MAX_DAMAGED_BYTES}"),
        );
    }
    Ok(())
}

/// The breach of a `resume` that an earlier step than the last has returned.
pub(crate) fn repeated_resume() -> Breach {
    Breach {
        rule: "resume.progress",
        detail: "a resume that it has given before".to_owned(),
    }
}

fn check_resume(new: Option<&[u8]>, given: Option<&[u8]>) -> Result<(), Breach> {
    let Some(new) = new else { return Ok(()) };
    if new.len() > MAX_RESUME_BYTES {
        let size = new.len();
        return breach(
            "resume.size",
            format!("a resume of {size} bytes; at most {MAX_RESUME_BYTES}"),
        );
    }
    if Some(new) == given {
        return breach(
            "resume.progress",
            "the same resume as the one that was given",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
