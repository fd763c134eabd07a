//! Which attributes there are, and which values they have, as far as these are listed: what a person needs to write a filter.

use std::collections::HashSet;

use larder_model::dictionary::{Attribute, Snapshot};
use larder_model::storage::{
    DurationRange, Error, ErrorKind, Search, Sighting, Term, TimeRange, TraceId,
};
use larder_model::terms::{AttributeKey, Level};
use serde::Serialize;

use super::Searcher;
use super::filter::level_word;
use super::plan::{may_be_number, presence, service_terms};
use super::predicate::Levels;
use super::session::Session;
use super::sightings::Sighted;

/// Most values of an answer.
const MOST_VALUES: usize = 1000;

/// Values of an answer if the request does not say how many.
const DEFAULT_VALUES: usize = 100;

/// Fragments that are counted for a value.
const MOST_FRAGMENTS: usize = 1000;

/// Sightings a page.
const PAGE: u32 = 1024;

/// Asks for the keys of attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysQuery {
    /// Only keys that occur in fragments of this service; "" for all.
    pub service: String,
    /// What the keys begin with.
    pub prefix: String,
}

/// Asks for the values of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValuesQuery {
    /// The key.
    pub key: String,
    /// The level, as in filters; "" for every level.
    pub level: String,
    /// What the values begin with, as text.
    pub prefix: String,
    /// The most values.
    pub limit: Option<usize>,
}

/// The keys of attributes that have listed values, ordered by key and level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeKeys {
    /// The keys, each once for every level.
    pub attributes: Vec<KeyEntry>,
    /// The error that ended the answer early, if one did: there may be more keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A key of attributes at a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyEntry {
    /// The key.
    pub key: String,
    /// The level, as in filters.
    pub level: &'static str,
    /// `number` if every listed value reads as one, else `text`.
    pub r#type: &'static str,
    /// Number of listed values.
    pub values: usize,
    /// True if there are more values, which are not listed.
    pub has_more: bool,
}

/// The listed values of an attribute, ordered by value and level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeValues {
    /// The key.
    pub key: String,
    /// Values that are stored.
    pub values: Vec<ValueEntry>,
    /// True if there are more values: beyond the limit, or not listed.
    pub has_more: bool,
    /// The error that ended the answer early, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A value of an attribute at a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueEntry {
    /// The value as text.
    pub value: String,
    /// The level, as in filters.
    pub level: &'static str,
    /// Number of fragments (one trace's share of a batch) with the value.
    pub fragments: usize,
    /// True if more fragments than that have the value.
    pub has_more: bool,
}

impl Searcher {
    /// The keys of attributes that have listed values.
    ///
    /// # Errors
    /// `Unavailable` if the listed values are not known. An answer that exceeds its budget has what was found up to that point.
    pub async fn attribute_keys(&self, query: KeysQuery) -> Result<AttributeKeys, Error> {
        let snapshot = self.listed()?;
        let mut session = self.session();
        let mut answer = AttributeKeys {
            attributes: Vec::new(),
            error: None,
        };
        let has_prefix = |it: &Attribute<'_>| it.key.starts_with(query.prefix.as_bytes());
        let known = snapshot.keys().filter(|it| it.values > 0);
        let mut known: Vec<_> = known.filter(has_prefix).collect();
        known.sort_unstable_by_key(|it| (it.key, it.level));
        let services = service_terms(&query.service);
        for attribute in known {
            let key = String::from_utf8_lossy(attribute.key).into_owned();
            if !query.service.is_empty() {
                let present = presence(Levels::one(attribute.level), &key);
                match is_found(&mut session, vec![services.clone(), present]).await {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        answer.error = Some(error.to_string());
                        break;
                    }
                }
            }
            let mut values = snapshot.values(attribute.level, attribute.key);
            answer.attributes.push(KeyEntry {
                key,
                level: level_word(attribute.level),
                r#type: if values.all(may_be_number) {
                    "number"
                } else {
                    "text"
                },
                values: attribute.values,
                has_more: attribute.is_full,
            });
            session.yield_if_due().await;
        }
        self.settled_once(Ok(answer)).await
    }

    /// The listed values of an attribute that are stored, each with the number of fragments that have it.
    ///
    /// # Errors
    /// `InvalidArgument` for a level or a limit that there is not; `Unavailable` if the listed values are not known. An answer that exceeds
    /// its budget has what was found up to that point.
    pub async fn attribute_values(&self, query: ValuesQuery) -> Result<AttributeValues, Error> {
        let levels = levels(&query.level)?;
        let limit = limit(query.limit)?;
        let snapshot = self.listed()?;
        let mut session = self.session();
        let key = query.key.as_bytes();
        let key_hash = AttributeKey::new(key);
        let mut answer = AttributeValues {
            key: query.key.clone(),
            values: Vec::new(),
            has_more: false,
            error: None,
        };
        let mut known = Vec::new();
        for level in levels.iter() {
            let values = snapshot.values(level, key);
            answer.has_more |= !values.is_complete();
            let with_prefix = values.filter(|form| form.starts_with(query.prefix.as_bytes()));
            known.extend(with_prefix.map(|form| (form, level)));
        }
        known.sort_unstable();
        for (form, level) in known {
            if answer.values.len() == limit {
                answer.has_more = true;
                break;
            }
            let counted = count(&mut session, key_hash.with_value(level, form)).await;
            let fragments = match counted {
                // Retention has dropped what had it.
                Ok(0) => continue,
                Ok(fragments) => fragments,
                Err(error) => {
                    answer.has_more = true;
                    answer.error = Some(error.to_string());
                    break;
                }
            };
            answer.values.push(ValueEntry {
                value: String::from_utf8_lossy(form).into_owned(),
                level: level_word(level),
                fragments: fragments.min(MOST_FRAGMENTS),
                has_more: fragments > MOST_FRAGMENTS,
            });
        }
        self.settled_once(Ok(answer)).await
    }

    fn listed(&self) -> Result<&Snapshot, Error> {
        self.snapshot.as_ref().ok_or_else(|| {
            let text = "the values of this tenant's attributes are not known: the log says why, and what to do; where it says that they are lost, they are known again once the spans that refer to them have expired, or are purged";
            Error::new(ErrorKind::Unavailable, text)
        })
    }
}

fn levels(word: &str) -> Result<Levels, Error> {
    if word.is_empty() {
        return Ok(Levels::ALL);
    }
    let mut all = Level::ALL.into_iter();
    let level = all.find(|level| level_word(*level) == word);
    level.map(Levels::one).ok_or_else(|| {
        let text =
            format!("there is no level {word:?}: it is span, event, link, resource or scope");
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

fn limit(asked: Option<usize>) -> Result<usize, Error> {
    let limit = asked.unwrap_or(DEFAULT_VALUES);
    if (1..=MOST_VALUES).contains(&limit) {
        return Ok(limit);
    }
    let text = format!("limit is {limit}: it is from 1 to {MOST_VALUES}");
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// A search in all of the storage.
fn search(clauses: Vec<Vec<Term>>) -> Sighted {
    Sighted::new(Search {
        starts: TimeRange::ALL,
        durations: DurationRange::ALL,
        clauses,
    })
}

/// Returns `true` if a fragment has a term of each clause.
async fn is_found(session: &mut Session, clauses: Vec<Vec<Term>>) -> Result<bool, Error> {
    let mut sighted = search(clauses);
    while !sighted.ended() {
        if !sighted.next(session, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of fragments with a term: of those beyond [`MOST_FRAGMENTS`] only that there are some. A plugin that sights whole traces has
/// those counted.
async fn count(session: &mut Session, term: Term) -> Result<usize, Error> {
    let mut sighted = search(vec![vec![term]]);
    let mut seen: HashSet<(TraceId, Option<u64>)> = HashSet::new();
    while !sighted.ended() && seen.len() <= MOST_FRAGMENTS {
        let page = sighted.next(session, PAGE).await?;
        let fragment = |it: Sighting| (it.trace_id, it.fragment);
        seen.extend(page.into_iter().map(fragment));
    }
    Ok(seen.len())
}
