//! Order of values: V8.

use larder_tests::Scene;
use larder_tests::filter::{
    attr, boolean, double, eq, gt, gte, in_list, int, list, lt, lte, ne, not_in, string, untyped,
};
use larder_tests::otlp::IntoValue;

use crate::ask::judges;
use crate::comparisons::{Relation, is, store};

/// V8: NaN is unequal to everything, itself included, and unordered.
async fn nan_is_unequal_to_all(scene: Scene) {
    let rows = [
        (double(f64::NAN), Relation::Incomparable),
        (double(0.0), Relation::Incomparable),
        (double(f64::INFINITY), Relation::Incomparable),
        (untyped("NaN"), Relation::Incomparable),
        (untyped("0"), Relation::Incomparable),
        (int(0), Relation::Incomparable),
    ];
    is(&scene, f64::NAN, rows).await;
    let rows = [
        (double(f64::NAN), Relation::Incomparable),
        (untyped("nan"), Relation::Incomparable),
    ];
    is(&scene, 1.5, rows).await;
    let rows = [
        (double(f64::NEG_INFINITY), Relation::Equal),
        (double(f64::MIN), Relation::Less),
        (untyped("-inf"), Relation::Equal),
        (double(f64::NAN), Relation::Incomparable),
    ];
    is(&scene, f64::NEG_INFINITY, rows).await;

    store(&scene, [f64::NAN.into_value()]).await;
    let rows = [
        (in_list(attr("k"), "double", ["nan"]), false),
        (not_in(attr("k"), list("double", ["nan"])), true),
        (eq(attr("k"), attr("k")), false),
        (ne(attr("k"), attr("k")), true),
    ];
    judges(&scene, rows).await;
}

/// V8: text is ordered by its bytes.
async fn text_is_ordered_by_its_bytes(scene: Scene) {
    let rows = [
        (string("Zé"), Relation::Equal),
        (string("Zf"), Relation::Greater),
        (string("a"), Relation::Less),
        (string("Z"), Relation::Greater),
        (string(""), Relation::Greater),
        (string("ZéZ"), Relation::Less),
        (untyped("Zé"), Relation::Equal),
        (untyped("zé"), Relation::Less),
        // One code point, or an equivalent sequence of two.
        (untyped("Ze\u{301}"), Relation::Greater),
    ];
    is(&scene, "Zé", rows).await;
    let rows = [
        (untyped("9"), Relation::Less),
        (string("9"), Relation::Less),
        (int(10), Relation::Incomparable),
        (double(10.0), Relation::Incomparable),
    ];
    is(&scene, "10", rows).await;
    // U+FFFF comes before U+10000 in bytes of UTF-8, and after it in units of UTF-16.
    is(&scene, "\u{ffff}", [(string("\u{10000}"), Relation::Less)]).await;
}

/// V8: booleans can be equal, but are unordered.
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
