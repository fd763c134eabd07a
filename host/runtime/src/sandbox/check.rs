//! The rules of the contract that one call's result can show. A guest is hostile until its answer has passed them.
//!
//! What only a series of pages shows (a floor that rises, a resume that comes back later) is for the caller to see. How many bytes
//! an answer may have in all is limited before it is read (`guest::instance`).

use std::hash::Hash;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{self, Error, ErrorKind, Operation, Part, Pieces, Sightings, Wanted};

/// The longest `resume` that a guest may hand out.
const MAX_RESUME_BYTES: usize = 64 << 10;
/// A page of pieces may pass `max-bytes` this many times over, beside its largest piece: a plugin may hand out whole blocks.
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

type Checked = Result<(), Breach>;

fn breach(rule: &'static str, detail: impl Into<String>) -> Checked {
    Err(Breach {
        rule,
        detail: detail.into(),
    })
}

impl Breach {
    /// As the caller of the call sees it.
    pub(crate) fn into_error(self, plugin: &str) -> Error {
        let Self { rule, detail } = self;
        let text = format!("plugin `{plugin}` broke the contract (rule {rule}): {detail}");
        Error::new(ErrorKind::ContractBroken, text)
    }
}

/// A page of `find`.
pub(crate) fn sightings(page: &Sightings, resume: Option<&[u8]>, limit: u32) -> Checked {
    if page.found.len() as u64 > u64::from(limit) {
        let count = page.found.len();
        return breach(
            "find.limit",
            format!("{count} sightings where at most {limit} were asked for"),
        );
    }
    check_resume(page.resume.as_deref(), resume)
}

/// A page of `read`.
pub(crate) fn pieces(
    page: &Pieces,
    wanted: &Wanted,
    part: Part,
    resume: Option<&[u8]>,
    max_bytes: u32,
) -> Checked {
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

/// Only what was asked for; for OTLP in the order asked, which also keeps a trace's pieces together.
fn in_order<T: Copy + Eq + Hash + std::fmt::Debug>(
    asked: &[T],
    given: impl Iterator<Item = T>,
    part: Part,
) -> Checked {
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

/// The answer of `services`.
pub(crate) fn services(names: &[String]) -> Checked {
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

/// The answer of `operations` for `service`.
pub(crate) fn operations(operations: &[Operation], service: &str) -> Checked {
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

/// A step of `check`.
pub(crate) fn checked(step: &storage::Checked, resume: Option<&[u8]>) -> Checked {
    let count = step.damaged.len();
    if count > MAX_DAMAGED {
        return breach(
            "check.damaged",
            format!("{count} damaged values in one step; at most {MAX_DAMAGED}"),
        );
    }
    if let Some(long) = step.damaged.iter().find(|it| it.len() > MAX_DAMAGED_BYTES) {
        let size = long.len();
        return breach(
            "check.line",
            format!("a damaged value told of in {size} bytes; at most {MAX_DAMAGED_BYTES}"),
        );
    }
    if step.values == 0 && step.resume.is_some() {
        return breach("check.progress", "a step without a value, and yet a resume");
    }
    check_resume(step.resume.as_deref(), resume)
}

/// A `resume` that was handed out before, and not only in the step before.
pub(crate) fn came_back() -> Breach {
    Breach {
        rule: "resume.progress",
        detail: "a resume that it has given before".to_owned(),
    }
}

fn check_resume(new: Option<&[u8]>, given: Option<&[u8]>) -> Checked {
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
