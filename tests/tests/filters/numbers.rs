//! Numbers of two types, and text that reads as numbers: V6, V7, V8.

use larder_tests::Scene;
use larder_tests::filter::{
    attr, boolean, double, eq, gt, gte, in_list, int, list, lt, lte, ne, not, not_in, or, string,
    untyped,
};
use larder_tests::otlp::IntoValue;

use crate::ask::finds;
use crate::comparisons::{Is, is, store};

/// 2^53, from which on doubles leave out integers.
const WIDE: i64 = 9_007_199_254_740_992;

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
        .map(|text| (untyped(text), Is::Equal)),
    )
    .await;
    let unread = [
        "", " 1000", "1000 ", "0x3e8", "0b1", "0o1750", "1000f", "1_", "_1", "1__000", "1e", "+",
        ".", "1,000", "١", "1e400", "-nan", "+nan", "infin", "0x1p", "0xp1",
    ];
    is(&scene, 1000, unread.map(|text| (untyped(text), Is::Apart))).await;
    is(
        &scene,
        1000.0,
        unread.map(|text| (untyped(text), Is::Apart)),
    )
    .await;
    is(
        &scene,
        1000,
        [
            (untyped("Inf"), Is::Less),
            (untyped("+infinity"), Is::Less),
            (untyped("-INF"), Is::Greater),
            (untyped("nan"), Is::Apart),
            (untyped("1e-400"), Is::Greater),
            (untyped("0x1p-1074"), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        f64::INFINITY,
        [
            (untyped("inf"), Is::Equal),
            (untyped("Infinity"), Is::Equal),
            (untyped("1e308"), Is::Greater),
            (untyped("1e309"), Is::Apart),
        ],
    )
    .await;
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
            (untyped("9007199254740993"), Is::Equal),
            (untyped("9007199254740992"), Is::Greater),
            // No integer by its spelling, so it is a double, and the nearest one is 2^53.
            (untyped("9007199254740993.0"), Is::Greater),
            (untyped("9007199254740994.0"), Is::Less),
        ],
    )
    .await;
    is(
        &scene,
        i64::MAX,
        [
            (untyped("9223372036854775807"), Is::Equal),
            (untyped("9223372036854775806"), Is::Greater),
            (untyped("9223372036854775808"), Is::Less),
            (untyped("9223372036854775807.0"), Is::Less),
            (untyped("1e19"), Is::Less),
            (untyped("-1e19"), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        i64::MIN,
        [
            (untyped("-9223372036854775808"), Is::Equal),
            (untyped("-9223372036854775808.0"), Is::Equal),
            (untyped("-9223372036854775809"), Is::Equal),
            (untyped("-9223372036854777856"), Is::Greater),
            (untyped("-1e19"), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        1,
        [
            (untyped("0.5"), Is::Greater),
            (untyped("1.5"), Is::Less),
            (untyped("0.99999999999999999999"), Is::Equal),
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
            (untyped("9007199254740992"), Is::Equal),
            (untyped("9007199254740993"), Is::Equal),
            (untyped("9007199254740994"), Is::Less),
            (double(wide), Is::Equal),
            (int(WIDE), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        150.5,
        [
            (untyped("100"), Is::Greater),
            (untyped("150.5"), Is::Equal),
            (untyped("1505e-1"), Is::Equal),
            (untyped("151"), Is::Less),
            (double(150.5), Is::Equal),
            (double(151.0), Is::Less),
            (int(100), Is::Apart),
            (string("150.5"), Is::Apart),
            (untyped("abc"), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        -0.0,
        [
            (untyped("0"), Is::Equal),
            (untyped("-0"), Is::Equal),
            (double(0.0), Is::Equal),
            (untyped("0x1p-1074"), Is::Less),
        ],
    )
    .await;
}

larder_tests::every_plugin![
    a_typed_constant_is_of_its_type_alone,
    a_typed_list_is_of_its_type_alone,
    an_untyped_constant_is_read_as_what_is_stored,
    numbers_are_read_as_go_reads_them,
    integers_are_compared_exactly,
    beside_a_double_text_is_a_double,
];
