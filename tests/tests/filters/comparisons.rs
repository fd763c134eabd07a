//! A stored value against constants, by all six comparisons and both ways round.

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::Scene;
use larder_tests::filter::{attr, eq, gt, gte, int, lt, lte, ne, text};
use larder_tests::otlp::{IntoValue, span};
use opentelemetry_proto::tonic::common::v1::AnyValue;

use crate::ask::judges;

/// Stores each value under `k` in a trace of its own, numbered from 1; a later one is older, so that answers come in order.
pub(crate) async fn store(scene: &Scene, values: impl IntoIterator<Item = AnyValue>) {
    for (number, value) in (1..).zip(values) {
        let one = span(scene.trace(number), 1).at(scene.at(1000 - number));
        let one = one.attribute("k", value);
        scene.client.store([scene.resource("a").span(one)]).await;
    }
}

/// What a comparison with the stored value comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Is {
    Less,
    Equal,
    Greater,
    /// Neither is comparable with the other: unequal, and in no order.
    Apart,
}

/// All six comparisons, with the constant second and first.
fn comparisons(stored: &Expression, constant: &Expression, is: Is) -> Vec<(Call, bool)> {
    let stored = || stored.clone();
    let constant = || constant.clone();
    let (less, equal, greater) = match is {
        Is::Less => (true, false, false),
        Is::Equal => (false, true, false),
        Is::Greater => (false, false, true),
        Is::Apart => (false, false, false),
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

/// What a stored value, alone in a scene, is to each constant.
pub(crate) async fn is<const N: usize>(
    scene: &Scene,
    stored: impl IntoValue,
    rows: [(Expression, Is); N],
) {
    let scene = scene.again();
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", stored);
    scene.client.store([scene.resource("a").span(one)]).await;
    let all = rows
        .iter()
        .flat_map(|(constant, is)| comparisons(&attr("k"), constant, *is));
    judges(&scene, all).await;
}

/// A table that is wrong about `comparisons` would prove nothing.
#[test]
fn a_comparison_has_twelve_forms() {
    let rows = comparisons(&attr("k"), &int(1), Is::Less);
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
