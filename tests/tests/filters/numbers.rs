//! Numbers of two types, and text that reads as numbers: V6, V7, V8.

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::Scene;
use larder_tests::filter::{
    attr, boolean, double, eq, gt, gte, in_list, int, list, lt, lte, ne, not, not_in, or, string,
    text,
};
use larder_tests::otlp::{IntoValue, span};
use opentelemetry_proto::tonic::common::v1::AnyValue;

use crate::ask::{finds, judges};

/// 2^53, from which on doubles leave out integers.
const WIDE: i64 = 9_007_199_254_740_992;

/// Stores each value under `k` in a trace of its own, numbered from 1; a later one is older, so that answers come in order.
async fn store(scene: &Scene, values: impl IntoIterator<Item = AnyValue>) {
    for (number, value) in (1..).zip(values) {
        let one = span(scene.trace(number), 1).at(scene.at(1000 - number));
        let one = one.attribute("k", value);
        scene.client.store([scene.resource("a").span(one)]).await;
    }
}

/// What a comparison with the stored value comes to.
#[derive(Clone, Copy, Debug)]
enum Is {
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
async fn is<const N: usize>(scene: &Scene, stored: impl IntoValue, rows: [(Expression, Is); N]) {
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

/// V6: a constant that declares a type is compared with values of that type, and is unequal to all others.
async fn a_typed_constant_is_of_its_type_alone(scene: Scene) {
    let values = [
        "1".into_value(),
        1.into_value(),
        1.0.into_value(),
        true.into_value(),
        b"1"[..].into_value(),
    ];
    store(&scene, values).await;
    finds(
        &scene,
        [
            (eq(attr("k"), string("1")), vec![1]),
            (eq(attr("k"), int(1)), vec![2]),
            (eq(attr("k"), double(1.0)), vec![3]),
            (eq(attr("k"), boolean(true)), vec![4]),
            (ne(attr("k"), string("1")), vec![2, 3, 4, 5]),
            (ne(attr("k"), int(1)), vec![1, 3, 4, 5]),
            (ne(attr("k"), double(1.0)), vec![1, 2, 4, 5]),
            (ne(attr("k"), boolean(true)), vec![1, 2, 3, 5]),
            (not(eq(attr("k"), int(1))), vec![1, 3, 4, 5]),
            (gte(attr("k"), string("1")), vec![1]),
            (gte(attr("k"), int(1)), vec![2]),
            (lte(attr("k"), double(1.0)), vec![3]),
            (gt(attr("k"), int(0)), vec![2]),
            (gt(attr("k"), double(0.5)), vec![3]),
            (gt(attr("k"), string("0")), vec![1]),
            (
                or([eq(attr("k"), int(1)), eq(attr("k"), double(1.0))]),
                vec![2, 3],
            ),
        ],
    )
    .await;
}

/// V13: the same goes for the type that a list declares.
async fn a_typed_list_is_of_its_type_alone(scene: Scene) {
    let values = [
        "1".into_value(),
        1.into_value(),
        1.0.into_value(),
        true.into_value(),
        b"1"[..].into_value(),
    ];
    store(&scene, values).await;
    finds(
        &scene,
        [
            (in_list(attr("k"), "string", ["0", "1"]), vec![1]),
            (in_list(attr("k"), "int", ["0", "+1", "1"]), vec![2]),
            (in_list(attr("k"), "int", ["01"]), vec![2]),
            (in_list(attr("k"), "double", ["1", "2"]), vec![3]),
            (in_list(attr("k"), "double", ["10e-1"]), vec![3]),
            (in_list(attr("k"), "bool", ["T"]), vec![4]),
            (in_list(attr("k"), "bool", ["1", "0"]), vec![4]),
            (
                not_in(attr("k"), list("string", ["0", "1"])),
                vec![2, 3, 4, 5],
            ),
            (not_in(attr("k"), list("int", ["1"])), vec![1, 3, 4, 5]),
            (not_in(attr("k"), list("double", ["1"])), vec![1, 2, 4, 5]),
            (not_in(attr("k"), list("bool", ["true"])), vec![1, 2, 3, 5]),
            (in_list(attr("k"), "int", ["2"]), vec![]),
        ],
    )
    .await;
}

/// V7: one that declares none is read as what is stored.
async fn an_untyped_constant_is_read_as_what_is_stored(scene: Scene) {
    let values = [
        "500".into_value(),
        500.into_value(),
        500.0.into_value(),
        "500.0".into_value(),
        "true".into_value(),
        true.into_value(),
        b"500"[..].into_value(),
    ];
    store(&scene, values).await;
    finds(
        &scene,
        [
            (eq(attr("k"), "500"), vec![1, 2, 3]),
            (eq(attr("k"), "500.0"), vec![2, 3, 4]),
            (eq(attr("k"), "+5e2"), vec![2, 3]),
            (ne(attr("k"), "500"), vec![4, 5, 6, 7]),
            (eq(attr("k"), "true"), vec![5, 6]),
            (eq(attr("k"), "T"), vec![6]),
            (eq(attr("k"), "1"), vec![6]),
            (ne(attr("k"), "T"), vec![1, 2, 3, 4, 5, 7]),
            (lt(attr("k"), "600.5"), vec![1, 2, 3, 4]),
            (gt(attr("k"), "4999"), vec![1, 4, 5]),
            (gt(attr("k"), "499"), vec![1, 2, 3, 4, 5]),
            (gt(attr("k"), "abc"), vec![5]),
            (ne(attr("k"), "abc"), vec![1, 2, 3, 4, 5, 6, 7]),
            (eq(attr("k"), ""), vec![]),
            (ne(attr("k"), ""), vec![1, 2, 3, 4, 5, 6, 7]),
        ],
    )
    .await;
}

/// V7: as Go reads numbers: with exponents, in hexadecimal with one, with underscores, and by the names of what is no number.
async fn numbers_are_read_as_go_reads_them(scene: Scene) {
    is(
        &scene,
        1000,
        [
            "1000", "+1000", "01000", "1000.0", "1000.", "1e3", "1E+3", "1_000", "1_000.0",
            "0x1F4p1", "0X.7dp11", "0x3e_8p0",
        ]
        .map(|text| (text.into_untyped(), Is::Equal)),
    )
    .await;
    let unread = [
        "", " 1000", "1000 ", "0x3e8", "0b1", "0o1750", "1000f", "1_", "_1", "1__000", "1e", "+",
        ".", "1,000", "١", "1e400", "-nan", "+nan", "infin", "0x1p", "0xp1",
    ];
    is(
        &scene,
        1000,
        unread.map(|text| (text.into_untyped(), Is::Apart)),
    )
    .await;
    is(
        &scene,
        1000.0,
        unread.map(|text| (text.into_untyped(), Is::Apart)),
    )
    .await;
    is(
        &scene,
        1000,
        [
            ("Inf".into_untyped(), Is::Less),
            ("+infinity".into_untyped(), Is::Less),
            ("-INF".into_untyped(), Is::Greater),
            ("nan".into_untyped(), Is::Apart),
            ("1e-400".into_untyped(), Is::Greater),
            ("0x1p-1074".into_untyped(), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        f64::INFINITY,
        [
            ("inf".into_untyped(), Is::Equal),
            ("Infinity".into_untyped(), Is::Equal),
            ("1e308".into_untyped(), Is::Greater),
            ("1e309".into_untyped(), Is::Apart),
        ],
    )
    .await;
}

trait IntoUntyped {
    fn into_untyped(self) -> Expression;
}

impl IntoUntyped for &str {
    fn into_untyped(self) -> Expression {
        larder_tests::filter::untyped(self)
    }
}

/// V8: integers are compared exactly, also with doubles, which then are not rounded to.
async fn integers_are_compared_exactly(scene: Scene) {
    is(
        &scene,
        WIDE + 1,
        [
            (int(WIDE + 1), Is::Equal),
            (int(WIDE), Is::Greater),
            (int(WIDE + 2), Is::Less),
            ("9007199254740993".into_untyped(), Is::Equal),
            ("9007199254740992".into_untyped(), Is::Greater),
            // No integer by its spelling, so it is a double, and the nearest one is 2^53.
            ("9007199254740993.0".into_untyped(), Is::Greater),
            ("9007199254740994.0".into_untyped(), Is::Less),
        ],
    )
    .await;
    is(
        &scene,
        i64::MAX,
        [
            ("9223372036854775807".into_untyped(), Is::Equal),
            ("9223372036854775806".into_untyped(), Is::Greater),
            ("9223372036854775808".into_untyped(), Is::Less),
            ("9223372036854775807.0".into_untyped(), Is::Less),
            ("1e19".into_untyped(), Is::Less),
            ("-1e19".into_untyped(), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        i64::MIN,
        [
            ("-9223372036854775808".into_untyped(), Is::Equal),
            ("-9223372036854775808.0".into_untyped(), Is::Equal),
            ("-9223372036854775809".into_untyped(), Is::Equal),
            ("-9223372036854777856".into_untyped(), Is::Greater),
            ("-1e19".into_untyped(), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        1,
        [
            ("0.5".into_untyped(), Is::Greater),
            ("1.5".into_untyped(), Is::Less),
            ("0.99999999999999999999".into_untyped(), Is::Equal),
        ],
    )
    .await;
}

/// V7: beside a double the text is a double, also when it is written as an integer.
async fn beside_a_double_text_is_a_double(scene: Scene) {
    let wide = 9_007_199_254_740_992.0;
    is(
        &scene,
        wide,
        [
            ("9007199254740992".into_untyped(), Is::Equal),
            ("9007199254740993".into_untyped(), Is::Equal),
            ("9007199254740994".into_untyped(), Is::Less),
            (double(wide), Is::Equal),
            (int(WIDE), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        150.5,
        [
            ("100".into_untyped(), Is::Greater),
            ("150.5".into_untyped(), Is::Equal),
            ("1505e-1".into_untyped(), Is::Equal),
            ("151".into_untyped(), Is::Less),
            (double(150.5), Is::Equal),
            (double(151.0), Is::Less),
            (int(100), Is::Apart),
            (string("150.5"), Is::Apart),
            ("abc".into_untyped(), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        -0.0,
        [
            ("0".into_untyped(), Is::Equal),
            ("-0".into_untyped(), Is::Equal),
            (double(0.0), Is::Equal),
            ("0x1p-1074".into_untyped(), Is::Less),
        ],
    )
    .await;
}

/// V8: NaN is unequal to all, itself included, and in no order.
async fn nan_is_unequal_to_all(scene: Scene) {
    is(
        &scene,
        f64::NAN,
        [
            (double(f64::NAN), Is::Apart),
            (double(0.0), Is::Apart),
            (double(f64::INFINITY), Is::Apart),
            ("NaN".into_untyped(), Is::Apart),
            ("0".into_untyped(), Is::Apart),
            (int(0), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        1.5,
        [
            (double(f64::NAN), Is::Apart),
            ("nan".into_untyped(), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        f64::NEG_INFINITY,
        [
            (double(f64::NEG_INFINITY), Is::Equal),
            (double(f64::MIN), Is::Less),
            ("-inf".into_untyped(), Is::Equal),
            (double(f64::NAN), Is::Apart),
        ],
    )
    .await;

    store(&scene, [f64::NAN.into_value()]).await;
    judges(
        &scene,
        [
            (in_list(attr("k"), "double", ["nan"]), false),
            (not_in(attr("k"), list("double", ["nan"])), true),
            (eq(attr("k"), attr("k")), false),
            (ne(attr("k"), attr("k")), true),
        ],
    )
    .await;
}

/// V8: text is ordered by its bytes.
async fn text_is_ordered_by_its_bytes(scene: Scene) {
    is(
        &scene,
        "Zé",
        [
            (string("Zé"), Is::Equal),
            (string("Zf"), Is::Greater),
            (string("a"), Is::Less),
            (string("Z"), Is::Greater),
            (string(""), Is::Greater),
            (string("ZéZ"), Is::Less),
            ("Zé".into_untyped(), Is::Equal),
            ("zé".into_untyped(), Is::Less),
            // One code point, or two that look alike.
            ("Ze\u{301}".into_untyped(), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        "10",
        [
            ("9".into_untyped(), Is::Less),
            (string("9"), Is::Less),
            (int(10), Is::Apart),
            (double(10.0), Is::Apart),
        ],
    )
    .await;
    // U+FFFF comes before U+10000 in bytes of UTF-8, and after it in units of UTF-16.
    is(&scene, "\u{ffff}", [(string("\u{10000}"), Is::Less)]).await;
}

/// V8: true and false are equal or not, and in no order.
async fn booleans_are_not_ordered(scene: Scene) {
    let scene_of = async |truth: bool| {
        let scene = scene.again();
        store(&scene, [truth.into_value()]).await;
        scene
    };
    for truth in [true, false] {
        let scene = scene_of(truth).await;
        let mut rows = Vec::new();
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            rows.extend([(eq(attr("k"), text), truth), (ne(attr("k"), text), !truth)]);
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            rows.extend([(eq(attr("k"), text), !truth), (ne(attr("k"), text), truth)]);
        }
        for text in ["yes", "tRUE", "", "2", " true"] {
            rows.extend([(eq(attr("k"), text), false), (ne(attr("k"), text), true)]);
        }
        for text in ["0", "1", "false", "true", "2", "a"] {
            let all = [
                gt(attr("k"), text),
                lt(attr("k"), text),
                gte(attr("k"), text),
                lte(attr("k"), text),
            ];
            rows.extend(all.map(|filter| (filter, false)));
        }
        rows.extend([
            (eq(attr("k"), boolean(truth)), true),
            (ne(attr("k"), boolean(truth)), false),
        ]);
        judges(&scene, rows).await;
    }
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

larder_tests::every_plugin![
    a_typed_constant_is_of_its_type_alone,
    a_typed_list_is_of_its_type_alone,
    an_untyped_constant_is_read_as_what_is_stored,
    numbers_are_read_as_go_reads_them,
    integers_are_compared_exactly,
    beside_a_double_text_is_a_double,
    nan_is_unequal_to_all,
    text_is_ordered_by_its_bytes,
    booleans_are_not_ordered,
];
