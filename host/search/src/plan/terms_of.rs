//! The terms of an attribute with a value: one for each form in which a value that is equal may be stored.

use std::collections::{BTreeSet, HashSet};

use larder_model::storage::Term;
use larder_model::string_form;
use larder_model::terms::{
    AttributeKey, Level, NumberKey, present_listed, present_unlisted,
    present_unlisted_without_words, present_with_words,
};
use larder_proto::otlp::AnyValue;

use super::MAX_TERMS;
use crate::predicate::Levels;
use crate::value::{Constant, Members, whole};

/// Terms of an attribute with this string form, whatever its type.
pub(super) fn attribute_terms(levels: Levels, key: &str, form: &str) -> Vec<Term> {
    let mut terms = form_terms(levels, key, &[form.as_bytes().to_vec()]);
    // Arrays and maps have no value term. Their forms are JSON, or "" where JSON cannot write them.
    if form.is_empty() || form.starts_with(['[', '{']) {
        terms.extend(structure_terms(levels, key));
    }
    terms
}

/// Terms of an attribute that is present, whatever it is.
pub(crate) fn presence(levels: Levels, key: &str) -> Vec<Term> {
    let mut terms = unlisted_terms(levels, key);
    let others = |level| {
        [
            number_term(level, key),
            listed_term(level, key),
            listed_number_term(level, key),
        ]
    };
    terms.extend(levels.iter().flat_map(others));
    terms
}

/// Terms of an attribute that is no number and has a value that is not listed. Fragments of older releases count as having such.
pub(super) fn unlisted_terms(levels: Levels, key: &str) -> Vec<Term> {
    let hash = AttributeKey::new(key.as_bytes());
    let of_level = |level| {
        [
            hash.present(level),
            present_with_words(level, key.as_bytes()),
            present_unlisted(level, key.as_bytes()),
            present_unlisted_without_words(level, key.as_bytes()),
        ]
    };
    levels.iter().flat_map(of_level).collect()
}

/// Terms of an array or a map, which are never listed.
fn structure_terms(levels: Levels, key: &str) -> Vec<Term> {
    let hash = AttributeKey::new(key.as_bytes());
    let of_level = |level| {
        [
            hash.present(level),
            present_with_words(level, key.as_bytes()),
            present_unlisted_without_words(level, key.as_bytes()),
        ]
    };
    levels.iter().flat_map(of_level).collect()
}

/// Term of an attribute that is no number and has a listed value.
pub(super) fn listed_term(level: Level, key: &str) -> Term {
    present_listed(level, key.as_bytes())
}

/// Term of a number that is listed.
pub(super) fn listed_number_term(level: Level, key: &str) -> Term {
    NumberKey::new(key.as_bytes()).listed(level)
}

/// Term of a number that is not listed.
pub(super) fn number_term(level: Level, key: &str) -> Term {
    NumberKey::new(key.as_bytes()).present(level)
}

/// Terms of an attribute with one of these string forms.
pub(super) fn form_terms(levels: Levels, key: &str, forms: &[Vec<u8>]) -> Vec<Term> {
    let key = AttributeKey::new(key.as_bytes());
    levels
        .iter()
        .flat_map(|level| forms.iter().map(move |form| key.with_value(level, form)))
        .collect()
}

/// The string forms of all stored values that equal the constant.
pub(super) fn forms(constant: &Constant) -> Vec<Vec<u8>> {
    match constant {
        Constant::Text(text) => vec![text.clone().into_bytes()],
        Constant::Int(int) => vec![int.to_string().into_bytes()],
        Constant::Double(double) => of_double(*double),
        Constant::Bool(bool) => vec![bool.to_string().into_bytes()],
        Constant::Untyped(untyped) => {
            let mut forms = vec![untyped.text.clone().into_bytes()];
            let whole = untyped.int.or_else(|| untyped.double.and_then(whole));
            forms.extend(whole.map(|int| int.to_string().into_bytes()));
            forms.extend(untyped.double.map(of_double).unwrap_or_default());
            forms.extend(untyped.bool.map(|bool| bool.to_string().into_bytes()));
            forms.sort_unstable();
            forms.dedup();
            forms
        }
    }
}

/// The string forms of all stored values that are one of these, each once; `None` if their terms at these levels are too many for a clause.
pub(super) fn forms_in(levels: Levels, members: &Members) -> Option<Vec<Vec<u8>>> {
    // A list asks for one level at least.
    member_forms(members, MAX_TERMS / levels.iter().count().max(1))
}

fn member_forms(members: &Members, most: usize) -> Option<Vec<Vec<u8>>> {
    match members {
        Members::Text(texts) => at_most(most, texts.iter().cloned()),
        Members::Int(ints) => at_most(most, of_ints(ints)),
        Members::Double(doubles) => at_most(most, of_doubles(doubles)),
        Members::Bool(bools) => at_most(most, of_bools(*bools)),
        Members::Untyped(all) => {
            let numbers = of_ints(&all.ints).chain(of_doubles(&all.doubles));
            let others = all.texts.iter().cloned().chain(of_bools(all.bools));
            at_most(most, others.chain(numbers))
        }
    }
}

fn at_most(most: usize, forms: impl Iterator<Item = Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let mut all = BTreeSet::new();
    for form in forms {
        all.insert(form);
        if all.len() > most {
            return None;
        }
    }
    Some(all.into_iter().collect())
}

fn of_ints(ints: &HashSet<i128>) -> impl Iterator<Item = Vec<u8>> {
    ints.iter().map(|int| int.to_string().into_bytes())
}

fn of_doubles(doubles: &HashSet<u64>) -> impl Iterator<Item = Vec<u8>> {
    let doubles = doubles.iter().map(|bits| f64::from_bits(*bits));
    doubles.flat_map(of_double)
}

fn of_bools([is_false, is_true]: [bool; 2]) -> impl Iterator<Item = Vec<u8>> {
    let words = [(is_false, "false"), (is_true, "true")];
    let words = words.into_iter().filter(|word| word.0);
    words.map(|word| word.1.as_bytes().to_vec())
}

/// The forms of a stored double that equals this one: zero equals its negative, and not a number equals nothing.
fn of_double(double: f64) -> Vec<Vec<u8>> {
    let form = |double| {
        let mut form = Vec::new();
        string_form::write(&AnyValue::Double(double), &mut form);
        form
    };
    if double.is_nan() {
        Vec::new()
    } else if double == 0.0 {
        vec![form(0.0), form(-0.0)]
    } else {
        vec![form(double)]
    }
}
