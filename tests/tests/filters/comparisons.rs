//! Comparisons of a stored value with constants: all six operators, in both orders of operands.

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::Scene;
use larder_tests::filter::{
    attr, eq, gt, gte, in_list, int, list, lt, lte, ne, not_in, text, typed,
};
use larder_tests::otlp::{IntoValue, span};
use opentelemetry_proto::tonic::common::v1::AnyValue;

use crate::ask::{finds, judges};

/// Stores each value under `k` in its own trace, numbered from 1; later ones have older spans, so that answers come in order. Returns the
/// numbers.
pub(crate) async fn store(scene: &Scene, values: impl IntoIterator<Item = AnyValue>) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (number, value) in (1..).zip(values) {
        numbers.push(number);
        let one = span(scene.trace(number), 1).at(scene.at(1000 - number));
        let one = one.attribute("k", value);
        scene.store([scene.resource("a").span(one)]).await;
    }
    numbers
}

/// Asserts which of the stored values, all of these numbers, equal each constant of a type: alone and as an element of a list. `ne` and
/// `not_in` find the others, as every value is present.
pub(crate) async fn equals<const N: usize>(
    scene: &Scene,
    numbers: &[u64],
    kind: &str,
    rows: [(&str, Vec<u64>); N],
) {
    let mut all = Vec::new();
    for (element, found) in rows {
        let others = numbers.iter().filter(|number| !found.contains(number));
        let others: Vec<u64> = others.copied().collect();
        let another = match kind {
            "int" => "-77",
            "double" => "-77.5",
            "bool" => element,
            _ => "unlike any",
        };
        all.extend([
            (eq(attr("k"), typed(kind, element)), found.clone()),
            (ne(attr("k"), typed(kind, element)), others.clone()),
            (in_list(attr("k"), kind, [element]), found.clone()),
            (in_list(attr("k"), kind, [another, element]), found),
            (not_in(attr("k"), list(kind, [element])), others.clone()),
            (not_in(attr("k"), list(kind, [element, another])), others),
        ]);
    }
    finds(scene, all).await;
}

/// The relation of the stored value to a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Relation {
    Less,
    Equal,
    Greater,
    /// Not comparable: unequal, and unordered.
    Incomparable,
}

/// Returns all six comparisons, in both orders of operands.
fn comparisons(stored: &Expression, constant: &Expression, is: Relation) -> Vec<(Call, bool)> {
    let stored = || stored.clone();
    let constant = || constant.clone();
    let (less, equal, greater) = match is {
        Relation::Less => (true, false, false),
        Relation::Equal => (false, true, false),
        Relation::Greater => (false, false, true),
        Relation::Incomparable => (false, false, false),
    };
    vec![
        (eq(stored(), constant()), equal),
        (ne(stored(), constant()), !equal),
        (lt(stored(), constant()), less),
        (lte(stored(), constant()), less || equal),
        (gt(stored(), constant()), greater),
        (gte(stored(), constant()), greater || equal),
        (eq(constant(), stored()), equal),
        (ne(constant(), stored()), !equal),
        (gt(constant(), stored()), less),
        (gte(constant(), stored()), less || equal),
        (lt(constant(), stored()), greater),
        (lte(constant(), stored()), greater || equal),
    ]
}

/// Asserts the relation of a stored value, the only one of its scene, to each constant.
pub(crate) async fn is<const N: usize>(
    scene: &Scene,
    stored: impl IntoValue,
    rows: [(Expression, Relation); N],
) {
    let scene = scene.again();
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", stored);
    scene.store([scene.resource("a").span(one)]).await;
    let all = rows
        .iter()
        .flat_map(|(constant, is)| comparisons(&attr("k"), constant, *is));
    judges(&scene, all).await;
}

/// An error in `comparisons` would make all tables meaningless.
#[test]
fn a_comparison_has_twelve_forms() {
    let rows = comparisons(&attr("k"), &int(1), Relation::Less);
    let held: Vec<String> = rows
        .iter()
        .filter(|row| row.1)
        .map(|row| text(&row.0))
        .collect();
    assert_eq!(
        held.join(" "),
        r#"ne(attr k, int "1") lt(attr k, int "1") lte(attr k, int "1") ne(int "1", attr k) gt(int "1", attr k) gte(int "1", attr k)"#
    );
}
