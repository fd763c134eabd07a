//! Numbers of two types, and text that parses as a number: V6, V7, V8.

use larder_tests::Scene;
use larder_tests::filter::{
    attr, double, eq, gt, gte, in_list, int, list, lt, lte, not, not_in, or, string, untyped,
};
use larder_tests::otlp::IntoValue;

use crate::ask::finds;
use crate::comparisons::{Relation, equals, is, store};

/// 2^53; larger doubles cannot represent every integer.
const WIDE: i64 = 9_007_199_254_740_992;

/// V6, V13: a constant of a declared type, and a list of one, is compared with values of that type, and is unequal to all others.
async fn a_typed_constant_is_comparable_with_its_type_only(scene: Scene) {
    let values = [
        "1".into_value(),
        1.into_value(),
        1.0.into_value(),
        true.into_value(),
        b"1"[..].into_value(),
    ];
    let all = store(&scene, values).await;
    for (kind, rows) in [
        (
            "string",
            [("1", vec![1]), ("1.0", vec![]), ("true", vec![])],
        ),
        ("int", [("1", vec![2]), ("+01", vec![2]), ("2", vec![])]),
        (
            "double",
            [("1", vec![3]), ("10e-1", vec![3]), ("2", vec![])],
        ),
        ("bool", [("true", vec![4]), ("T", vec![4]), ("0", vec![])]),
    ] {
        equals(&scene, &all, kind, rows).await;
    }
    let rows = [
        (in_list(attr("k"), "string", ["0", "1"]), vec![1]),
        (in_list(attr("k"), "int", ["0", "+1", "1"]), vec![2]),
        (in_list(attr("k"), "int", ["01"]), vec![2]),
        (in_list(attr("k"), "double", ["1", "2"]), vec![3]),
        (in_list(attr("k"), "bool", ["1", "0"]), vec![4]),
        (
            not_in(attr("k"), list("string", ["0", "1"])),
            vec![2, 3, 4, 5],
        ),
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
    ];
    finds(&scene, rows).await;
}

/// V7: a constant without a declared type is parsed as the type of the stored value.
async fn an_untyped_constant_is_parsed_as_the_stored_type(scene: Scene) {
    let values = [
        "500".into_value(),
        500.into_value(),
        500.0.into_value(),
        "500.0".into_value(),
        "true".into_value(),
        true.into_value(),
        b"500"[..].into_value(),
    ];
    let all = store(&scene, values).await;
    let rows = [
        ("500", vec![1, 2, 3]),
        ("500.0", vec![2, 3, 4]),
        ("+5e2", vec![2, 3]),
        ("true", vec![5, 6]),
        ("T", vec![6]),
        ("1", vec![6]),
        ("abc", vec![]),
        ("", vec![]),
    ];
    equals(&scene, &all, "", rows).await;
    let rows = [
        (lt(attr("k"), "600.5"), vec![1, 2, 3, 4]),
        (gt(attr("k"), "4999"), vec![1, 4, 5]),
        (gt(attr("k"), "499"), vec![1, 2, 3, 4, 5]),
        (gt(attr("k"), "abc"), vec![5]),
    ];
    finds(&scene, rows).await;
}

/// V7: numbers are parsed as in Go: with exponents, in hexadecimal with an exponent, with underscores, and as NaN and infinities.
async fn numbers_are_read_as_go_reads_them(scene: Scene) {
    is(
        &scene,
        1000,
        [
            "1000", "+1000", "01000", "1000.0", "1000.", "1e3", "1E+3", "1_000", "1_000.0",
            "0x1F4p1", "0X.7dp11", "0x3e_8p0",
        ]
        .map(|text| (untyped(text), Relation::Equal)),
    )
    .await;
    let unread = [
        "", " 1000", "1000 ", "0x3e8", "0b1", "0o1750", "1000f", "1_", "_1", "1__000", "1e", "+",
        ".", "1,000", "١", "1e400", "-nan", "+nan", "infin", "0x1p", "0xp1",
    ];
    is(
        &scene,
        1000,
        unread.map(|text| (untyped(text), Relation::Incomparable)),
    )
    .await;
    is(
        &scene,
        1000.0,
        unread.map(|text| (untyped(text), Relation::Incomparable)),
    )
    .await;
    let rows = [
        (untyped("Inf"), Relation::Less),
        (untyped("+infinity"), Relation::Less),
        (untyped("-INF"), Relation::Greater),
        (untyped("nan"), Relation::Incomparable),
        (untyped("1e-400"), Relation::Greater),
        (untyped("0x1p-1074"), Relation::Greater),
    ];
    is(&scene, 1000, rows).await;
    let rows = [
        (untyped("inf"), Relation::Equal),
        (untyped("Infinity"), Relation::Equal),
        (untyped("1e308"), Relation::Greater),
        (untyped("1e309"), Relation::Incomparable),
    ];
    is(&scene, f64::INFINITY, rows).await;
}

/// V8: integers are compared exactly, also with doubles, without rounding.
async fn integers_are_compared_exactly(scene: Scene) {
    let rows = [
        (int(WIDE + 1), Relation::Equal),
        (int(WIDE), Relation::Greater),
        (int(WIDE + 2), Relation::Less),
        (untyped("9007199254740993"), Relation::Equal),
        (untyped("9007199254740992"), Relation::Greater),
        // Not an integer by its spelling, so it is a double, and the nearest one is 2^53.
        (untyped("9007199254740993.0"), Relation::Greater),
        (untyped("9007199254740994.0"), Relation::Less),
    ];
    is(&scene, WIDE + 1, rows).await;
    let rows = [
        (untyped("9223372036854775807"), Relation::Equal),
        (untyped("9223372036854775806"), Relation::Greater),
        (untyped("9223372036854775808"), Relation::Less),
        (untyped("9223372036854775807.0"), Relation::Less),
        (untyped("1e19"), Relation::Less),
        (untyped("-1e19"), Relation::Greater),
    ];
    is(&scene, i64::MAX, rows).await;
    let rows = [
        (untyped("-9223372036854775808"), Relation::Equal),
        (untyped("-9223372036854775808.0"), Relation::Equal),
        (untyped("-9223372036854775809"), Relation::Equal),
        (untyped("-9223372036854777856"), Relation::Greater),
        (untyped("-1e19"), Relation::Greater),
    ];
    is(&scene, i64::MIN, rows).await;
    let rows = [
        (untyped("0.5"), Relation::Greater),
        (untyped("1.5"), Relation::Less),
        (untyped("0.99999999999999999999"), Relation::Equal),
    ];
    is(&scene, 1, rows).await;
}

/// V7: beside a double the text is parsed as a double, even if it is written as an integer.
async fn beside_a_double_text_is_a_double(scene: Scene) {
    let wide = 9_007_199_254_740_992.0;
    let rows = [
        (untyped("9007199254740992"), Relation::Equal),
        (untyped("9007199254740993"), Relation::Equal),
        (untyped("9007199254740994"), Relation::Less),
        (double(wide), Relation::Equal),
        (int(WIDE), Relation::Incomparable),
    ];
    is(&scene, wide, rows).await;
    let rows = [
        (untyped("100"), Relation::Greater),
        (untyped("150.5"), Relation::Equal),
        (untyped("1505e-1"), Relation::Equal),
        (untyped("151"), Relation::Less),
        (double(150.5), Relation::Equal),
        (double(151.0), Relation::Less),
        (int(100), Relation::Incomparable),
        (string("150.5"), Relation::Incomparable),
        (untyped("abc"), Relation::Incomparable),
    ];
    is(&scene, 150.5, rows).await;
    let rows = [
        (untyped("0"), Relation::Equal),
        (untyped("-0"), Relation::Equal),
        (double(0.0), Relation::Equal),
        (untyped("0x1p-1074"), Relation::Less),
    ];
    is(&scene, -0.0, rows).await;
}

larder_tests::every_plugin![
    a_typed_constant_is_comparable_with_its_type_only,
    an_untyped_constant_is_parsed_as_the_stored_type,
    numbers_are_read_as_go_reads_them,
    integers_are_compared_exactly,
    beside_a_double_text_is_a_double,
];
