//! Reads records from where they are kept.

use larder_model::storage::{Error, ErrorKind, Keep};

use super::{Head, Value};
use crate::codec::Damaged;

/// The reason why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    /// Part of it is not there.
    #[error("a value is missing")]
    Missing,
    /// It is not what was written.
    #[error(transparent)]
    Content(#[from] Damaged),
    /// It cannot be read, now or ever.
    #[error(transparent)]
    Keep(#[from] Error),
}

impl Damage {
    /// Returns `true` if it cannot be read ever.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Missing | Self::Content(_) => true,
            Self::Keep(error) => error.kind() == ErrorKind::DataLoss,
        }
    }
}

/// Takes a page by its number.
pub(crate) type EachPage<'a> = dyn FnMut(u32, &[u8]) -> Result<(), Damaged> + Send + 'a;

/// Pages that are asked for at once.
const PAGES_AT_ONCE: usize = 8;

/// Reads the head of a record, of this many parts.
pub(crate) async fn load_head(keep: &dyn Keep, group: &str, parts: u32) -> Result<Head, Damage> {
    let bytes = load(keep, group, &[(Value::Head, parts)]).await?;
    let bytes = bytes.first().ok_or(Damage::Missing)?;
    Ok(Head::decode(bytes)?)
}

/// Reads pages of a record, some at a time, and passes each on with its number.
pub(crate) async fn load_pages(
    keep: &dyn Keep,
    (group, head): (&str, &Head),
    pages: &[u32],
    each: &mut EachPage<'_>,
) -> Result<(), Damage> {
    for pages in pages.chunks(PAGES_AT_ONCE) {
        let parts = |page: &u32| head.pages.get(*page as usize).map_or(0, |it| it.parts);
        let values: Vec<_> = pages
            .iter()
            .map(|page| (Value::Page(*page), parts(page)))
            .collect();
        let loaded = load(keep, group, &values).await?;
        for (page, bytes) in pages.iter().zip(&loaded) {
            each(*page, bytes)?;
        }
    }
    Ok(())
}

/// Reads values, each of some parts.
async fn load(
    keep: &dyn Keep,
    group: &str,
    values: &[(Value, u32)],
) -> Result<Vec<Vec<u8>>, Damage> {
    let names = values
        .iter()
        .flat_map(|(value, parts)| (0..*parts).map(|part| value.name(part)));
    let names: Vec<_> = names.collect();
    let mut found = keep.get(group, &names).await?.into_iter();
    let mut loaded = Vec::with_capacity(values.len());
    for (_, parts) in values {
        let mut whole = Vec::new();
        for _ in 0..*parts {
            let part = found.next().flatten().ok_or(Damage::Missing)?;
            if whole.is_empty() {
                whole = part;
            } else {
                whole.extend_from_slice(&part);
            }
        }
        loaded.push(whole);
    }
    Ok(loaded)
}
