//! Puts the conditions of a predicate to the distinct values that the host has listed, before it is planned.
//!
//! A listed value that satisfies a condition becomes its term, and the others ask for nothing. Where too many do, or most of many, the term that fragments
//! with any listed value have takes their place; there is none for a text of spans, and nothing is asked for then. What is not listed is
//! found by other terms (`wit/terms.md`), so a snapshot of the values has to be taken before the first call of the search.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Instant;

use larder_model::dictionary::{Snapshot, Source};
use larder_model::storage::{Error, Term};
use larder_model::terms::{AttributeKey, Level};
use serde::Serialize;

use super::MAX_TERMS;
use super::groups;
use super::question::{Id, Question, Target};
use super::texts;
use crate::predicate::{Levels, Predicate};
use crate::session::Session;

/// Most terms of values in a plan. A condition that would have more asks for every listed value.
const MAX_TERMS_IN_ALL: usize = 1 << 16;

/// Terms of values that a condition has even if most values satisfy it. Beyond that, terms that do not tell most values apart are not worth
/// their cost: each is looked up in every part of a store.
const FEW: usize = 64;

/// Values and bytes of them that are looked at between checks of the deadline.
const VALUES_PER_CHECK: usize = 64;
const BYTES_PER_CHECK: usize = 4096;

/// Looking at values may take the time that a query has left, divided by this. Where it takes longer, as costly patterns on many long values
/// do, fragments with any listed value are judged instead: the newest first, and only until enough are found.
const TIME_SHARE: u32 = 8;

/// The values that satisfy the conditions of a predicate, which is borrowed as its conditions are known by their places.
pub(crate) struct Listed<'p> {
    answers: HashMap<Id, Answer>,
    of: PhantomData<&'p Predicate>,
}

/// The conditions that are put to the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that a plan needs.
    Plan,
    /// Every condition of the tree, also one that is negated, and each of several that the plan has together.
    Explanation,
}

/// What became of a condition that was put to the listed values of its attribute, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The attribute or field, in the words of filters.
    pub attribute: String,
    /// Number of distinct values that were looked at.
    pub looked_at: u64,
    /// Number of those that satisfy the condition.
    pub matching: u64,
    /// False if values are known not to be listed, because the attribute has too many.
    pub is_complete: bool,
    /// The reason why spans with listed values are judged nevertheless, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
}

/// The answer to a question.
struct Answer {
    /// For each level of the attribute, or for the text, the terms of the values; `None` if these are too many, or unknown.
    at: Vec<(Source, Option<Vec<Term>>)>,
    told: Told,
}

// === impl Listed ===

impl<'p> Listed<'p> {
    /// No values are known: every fragment may have any.
    pub(crate) fn unknown() -> Self {
        Self {
            answers: HashMap::new(),
            of: PhantomData,
        }
    }

    /// Puts the conditions of a predicate to the values that the session knows. Yields in between. Conditions for which this takes too long
    /// may be satisfied by any value.
    ///
    /// # Errors
    /// If the budget has no time left.
    pub(crate) async fn ask(
        session: &mut Session,
        predicate: &'p Predicate,
        scope: Scope,
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let left = session.budget.deadline().saturating_duration_since(now);
        Self::ask_until(session, predicate, scope, now + left / TIME_SHARE).await
    }

    /// As [`Listed::ask`], where it takes too long after `until`.
    pub(super) async fn ask_until(
        session: &mut Session,
        predicate: &'p Predicate,
        scope: Scope,
        until: Instant,
    ) -> Result<Self, Error> {
        let snapshot = session.take_snapshot();
        let mut listed = Self::unknown();
        let mut questions = Vec::new();
        groups::collect(predicate, true, &mut questions);
        if scope == Scope::Explanation {
            own_of_all(predicate, &mut questions);
        }
        if questions.is_empty() {
            return Ok(listed);
        }
        let Some(snapshot) = snapshot else {
            if scope == Scope::Explanation {
                let unknown = questions.iter().map(|it| (it.id(), Answer::unknown(it)));
                listed.answers.extend(unknown);
            }
            return Ok(listed);
        };
        let since = Instant::now();
        let mut left = MAX_TERMS_IN_ALL;
        for question in questions {
            let id = question.id();
            if listed.answers.contains_key(&id) {
                continue;
            }
            let most = left.min(MAX_TERMS);
            let answer = Answer::of(session, &snapshot, &question, most, until).await?;
            left = left.saturating_sub(answer.terms());
            listed.answers.insert(id, answer);
        }
        session.budget.spent().listing += since.elapsed();
        Ok(listed)
    }

    /// Terms of the listed values of an attribute that satisfy the question. At a level where they are too many or unknown, the terms of `any`
    /// in their place.
    pub(super) fn terms<const N: usize>(
        &self,
        question: &Question<'_>,
        any: impl Fn(Level) -> [Term; N],
    ) -> Vec<Term> {
        let mut terms = Vec::new();
        let Target::Attribute(levels, _) = question.target else {
            return terms;
        };
        for level in levels.iter() {
            match self.at(question, level.into()) {
                Some(values) => terms.extend_from_slice(values),
                None => terms.extend(any(level)),
            }
        }
        terms
    }

    /// Terms of the listed texts that satisfy the question about a text; `None` if they are too many or unknown.
    pub(super) fn text_terms(&self, question: &Question<'_>) -> Option<&[Term]> {
        match question.target {
            Target::Attribute(..) => None,
            Target::Text(field) => self.at(question, field.into()),
        }
    }

    /// Number of the terms of listed values that a clause has for the question.
    pub(super) fn values(&self, question: &Question<'_>) -> usize {
        let answer = self.answers.get(&question.id());
        answer.map_or(0, Answer::terms)
    }

    /// What became of the conditions of a predicate by itself, without those of its parts.
    pub(crate) fn told(&self, predicate: &Predicate) -> Vec<Told> {
        let questions = groups::own(predicate).into_iter();
        let answers = questions.filter_map(|question| self.answers.get(&question.id()));
        answers.map(|answer| answer.told.clone()).collect()
    }

    fn at(&self, question: &Question<'_>, source: Source) -> Option<&[Term]> {
        let answer = self.answers.get(&question.id())?;
        let mut sources = answer.at.iter();
        let (_, values) = sources.find(|(at, _)| *at == source)?;
        values.as_deref()
    }
}

/// Appends the questions of a predicate and of each of its parts.
fn own_of_all<'p>(predicate: &'p Predicate, out: &mut Vec<Question<'p>>) {
    out.extend(groups::own(predicate));
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => {
            for part in parts {
                own_of_all(part, out);
            }
        }
        Predicate::Not(part) | Predicate::Some(_, part) => own_of_all(part, out),
        Predicate::Leaf(_) => {}
    }
}

// === impl Answer ===

impl Answer {
    async fn of(
        session: &mut Session,
        snapshot: &Snapshot,
        question: &Question<'_>,
        most: usize,
        until: Instant,
    ) -> Result<Self, Error> {
        let key = question.target.key();
        let key_hash = AttributeKey::new(key);
        let term = |source, form: &[u8]| match source {
            Source::Attribute(level) => key_hash.with_value(level, form),
            Source::Text(field) => texts::listed_term(field, form),
        };
        let deadline = session.budget.deadline();
        let mut left = most;
        let mut answer = Self {
            at: Vec::new(),
            told: Told::of(question),
        };
        for source in question.target.sources() {
            let values = snapshot.values(source, key);
            let half = values.len() / 2;
            answer.told.is_complete &= values.is_complete();
            let mut terms = Some(Vec::new());
            let mut unchecked = (0, 0);
            for form in values {
                answer.told.looked_at += 1;
                let holds = question.may_hold(form, until);
                unchecked = (unchecked.0 + 1, unchecked.1 + form.len());
                let is_due = unchecked.0 == VALUES_PER_CHECK || unchecked.1 >= BYTES_PER_CHECK;
                if holds.is_err() || is_due {
                    unchecked = (0, 0);
                    let now = Instant::now();
                    if now > deadline {
                        return Err(session.budget.out_of_time());
                    }
                    if holds.is_err() || now > until {
                        answer.told.leave(source, "looking at them takes too long");
                        terms = None;
                        break;
                    }
                    session.yield_if_due().await;
                }
                if holds == Ok(true) {
                    answer.told.matching += 1;
                    let found = terms.get_or_insert_default();
                    if found.len() == left {
                        let why = format!("more than {left} match");
                        answer.told.leave(source, &why);
                        terms = None;
                        break;
                    }
                    found.push(term(source, form));
                }
            }
            if terms.as_ref().is_some_and(|it| it.len() > FEW.max(half)) {
                answer.told.leave(source, "most of them match");
                terms = None;
            }
            left -= terms.as_ref().map_or(0, Vec::len);
            answer.at.push((source, terms));
        }
        Ok(answer)
    }

    fn unknown(question: &Question<'_>) -> Self {
        let mut told = Told::of(question);
        told.unused = Some("the listed values are not known".to_owned());
        let sources = question.target.sources().into_iter();
        let at = sources.map(|source| (source, None)).collect();
        Self { at, told }
    }

    /// Number of its terms.
    fn terms(&self) -> usize {
        let at = self.at.iter();
        at.filter_map(|(_, terms)| terms.as_ref().map(Vec::len))
            .sum()
    }
}

// === impl Told ===

impl Told {
    fn of(question: &Question<'_>) -> Self {
        Self {
            attribute: match question.target {
                Target::Attribute(levels, key) => format!("attribute {key:?} of {levels}"),
                Target::Text(field) => texts::field_of(field).to_string(),
            },
            looked_at: 0,
            matching: 0,
            is_complete: true,
            unused: None,
        }
    }

    /// Adds why the values of a level, or of a text, are not used.
    fn leave(&mut self, source: Source, why: &str) {
        let why = match source {
            Source::Attribute(level) => format!("{why} at the level {}", Levels::one(level)),
            Source::Text(_) => why.to_owned(),
        };
        self.unused = Some(match self.unused.take() {
            Some(before) => format!("{before}; {why}"),
            None => why,
        });
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attribute,
            looked_at,
            matching,
            ..
        } = self;
        write!(
            f,
            "{attribute}: {matching} of {looked_at} listed values match"
        )?;
        if !self.is_complete {
            f.write_str(", others are not listed")?;
        }
        match &self.unused {
            Some(why) => write!(f, ", not used: {why}"),
            None => Ok(()),
        }
    }
}
