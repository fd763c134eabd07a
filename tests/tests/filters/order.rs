//! What is ordered and how, and what is not: V8.

use larder_tests::Scene;
use larder_tests::filter::{
    attr, boolean, double, eq, gt, gte, in_list, int, list, lt, lte, ne, not_in, string, untyped,
};
use larder_tests::otlp::IntoValue;

use crate::ask::judges;
use crate::comparisons::{Is, is, store};

/// V8: NaN is unequal to all, itself included, and in no order.
async fn nan_is_unequal_to_all(scene: Scene) {
    is(
        &scene,
        f64::NAN,
        [
            (double(f64::NAN), Is::Apart),
            (double(0.0), Is::Apart),
            (double(f64::INFINITY), Is::Apart),
            (untyped("NaN"), Is::Apart),
            (untyped("0"), Is::Apart),
            (int(0), Is::Apart),
        ],
    )
    .await;
    is(
        &scene,
        1.5,
        [(double(f64::NAN), Is::Apart), (untyped("nan"), Is::Apart)],
    )
    .await;
    is(
        &scene,
        f64::NEG_INFINITY,
        [
            (double(f64::NEG_INFINITY), Is::Equal),
            (double(f64::MIN), Is::Less),
            (untyped("-inf"), Is::Equal),
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
            (untyped("Zé"), Is::Equal),
            (untyped("zé"), Is::Less),
            // One code point, or two that look alike.
            (untyped("Ze\u{301}"), Is::Greater),
        ],
    )
    .await;
    is(
        &scene,
        "10",
        [
            (untyped("9"), Is::Less),
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

larder_tests::every_plugin![
    nan_is_unequal_to_all,
    text_is_ordered_by_its_bytes,
    booleans_are_not_ordered,
];
