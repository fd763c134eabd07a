//! Attributes of a query: equality of string forms at five levels. Q8, Q9, Q15, W3, W4.

use larder_proto::storage::v2::{AnyValue, any_value::Value};
use larder_tests::Scene;
use larder_tests::otlp::{IntoValue, array, key_value, map, span};
use opentelemetry_proto::tonic::common::v1 as otlp;

/// Stores each value under `key` in its own trace, numbered from 1.
async fn store_values(scene: &Scene, values: impl IntoIterator<Item = otlp::AnyValue>) {
    for (number, value) in (1..).zip(values) {
        let one = span(scene.trace(number), 1).at(scene.at(number));
        let one = one.attribute("key", value);
        scene.store([scene.resource("a").span(one)]).await;
    }
}

/// Q8, W4: stored values are compared by their string form, whatever their type.
async fn values_are_compared_by_their_string_forms(scene: Scene) {
    let forms: Vec<(otlp::AnyValue, &str)> = vec![
        ("text".into_value(), "text"),
        (123_i64.into_value(), "123"),
        ((-7_i64).into_value(), "-7"),
        (i64::MIN.into_value(), "-9223372036854775808"),
        (true.into_value(), "true"),
        (false.into_value(), "false"),
        (72.5.into_value(), "72.5"),
        (100.0.into_value(), "100"),
        (1e20.into_value(), "100000000000000000000"),
        (1e21.into_value(), "1e+21"),
        (1.25e-7.into_value(), "1.25e-7"),
        (0.000_001.into_value(), "0.000001"),
        (1e300.into_value(), "1e+300"),
        ((-0.5).into_value(), "-0.5"),
        (f64::NAN.into_value(), "NaN"),
        (f64::INFINITY.into_value(), "Infinity"),
        (f64::NEG_INFINITY.into_value(), "-Infinity"),
        (b"\0\0\x309"[..].into_value(), "AAAwOQ=="),
        (otlp::AnyValue { value: None }, ""),
        (array(["a".into_value(), 1_i64.into_value()]), r#"["a",1]"#),
        (
            map([("b", true.into_value()), ("a", "<&>".into_value())]),
            r#"{"a":"<&>","b":true}"#,
        ),
    ];
    store_values(&scene, forms.iter().map(|(value, _)| value.clone())).await;

    for (number, (value, form)) in (1..).zip(&forms) {
        let query = scene.query().attribute("key", *form);
        assert_eq!(scene.find(query).await, [number], "{value:?} as {form:?}");
    }
}

/// Q8: a typed constant finds every stored type of the same form.
async fn a_typed_constant_finds_every_type_of_its_form(scene: Scene) {
    let values = [
        "1".into_value(),
        1_i64.into_value(),
        1.0.into_value(),
        "true".into_value(),
    ];
    store_values(
        &scene,
        values
            .into_iter()
            .chain([true.into_value(), "1.0".into_value()]),
    )
    .await;

    let find = async |value: Value| scene.find(scene.query().attribute("key", value)).await;
    assert_eq!(find(Value::StringValue("1".into())).await, [3, 2, 1]);
    assert_eq!(find(Value::IntValue(1)).await, [3, 2, 1]);
    assert_eq!(find(Value::DoubleValue(1.0)).await, [3, 2, 1]);
    assert_eq!(find(Value::BoolValue(true)).await, [5, 4]);
    assert_eq!(find(Value::StringValue("1.0".into())).await, [6]);
    assert_eq!(find(Value::BytesValue(b"\xd7".to_vec())).await, [0; 0]);
}

/// Q8: exact, case-sensitive, including blanks; no wildcards.
async fn text_is_compared_exactly(scene: Scene) {
    let values = ["same*", "samething", "Same*", "same* ", "same\\*"];
    store_values(&scene, values.map(IntoValue::into_value)).await;

    assert_eq!(
        scene.find(scene.query().attribute("key", "same*")).await,
        [1]
    );
    assert_eq!(
        scene.find(scene.query().attribute("key", "same")).await,
        [0; 0]
    );
    assert_eq!(
        scene.find(scene.query().attribute("Key", "same*")).await,
        [0; 0]
    );
}

/// Q8: an attribute without a value has an empty string form.
async fn an_attribute_that_is_there_without_a_value_matches_the_empty_text(scene: Scene) {
    let mut bare = key_value("key", "");
    bare.value = None;
    let mut one = span(scene.trace(1), 1).at(scene.at(0));
    one.0.attributes = vec![bare];
    let two = span(scene.trace(2), 1).at(scene.at(0)).attribute("key", "");
    let absent = span(scene.trace(3), 1).at(scene.at(0));
    scene
        .store([scene.resource("a").spans([one, two, absent])])
        .await;

    assert_eq!(scene.find(scene.query().attribute("key", "")).await, [1, 2]);
}

/// Q9: span, scope, resource, any event, any link.
async fn a_plain_key_is_looked_for_at_five_levels(scene: Scene) {
    let kv = || key_value("key", "v");
    let bare = |number| span(scene.trace(number), 1).at(scene.at(number));
    let unlike = key_value("key", "other");
    scene
        .store([
            scene
                .resource("a")
                .span(bare(1).attribute("key", "v"))
                .span(bare(4).event("e", [unlike.clone()]).event("e", [kv()]))
                .span(bare(5).link([9; 16], 1, [unlike]).link([9; 16], 1, [kv()]))
                .span(bare(6)),
            scene.resource("a").scope("s", "1", [kv()]).span(bare(2)),
            scene.resource("a").attribute("key", "v").span(bare(3)),
        ])
        .await;

    assert_eq!(
        scene.find(scene.query().attribute("key", "v")).await,
        [5, 4, 3, 2, 1]
    );
}

/// Q15, Q3: all attributes must be on one span, each at any level.
async fn all_attributes_must_match_on_one_span(scene: Scene) {
    let bare = |number, id| span(scene.trace(number), id).at(scene.at(number));
    scene
        .store([
            scene
                .resource("a")
                .attribute("r", 1)
                .span(bare(1, 1).attribute("s", 2).event("", [key_value("e", 3)]))
                .span(bare(2, 1).attribute("s", 2))
                .span(bare(2, 2).event("", [key_value("e", 3)])),
            scene
                .resource("a")
                .span(bare(3, 1).attribute("s", 2).event("", [key_value("e", 3)])),
        ])
        .await;

    let query = || scene.query().attribute("s", "2").attribute("e", "3");
    assert_eq!(scene.find(query()).await, [3, 1]);
    assert_eq!(scene.find(query().attribute("r", "1")).await, [1]);
    assert_eq!(scene.find(query().attribute("r", "2")).await, [0; 0]);
}

/// W3: a missing or empty value sets no condition; of equal keys the last counts.
async fn an_attribute_of_a_query_without_a_value_asks_for_nothing(scene: Scene) {
    store_values(&scene, ["v".into_value(), "w".into_value()]).await;

    let without = scene
        .query()
        .raw_attribute("key", None)
        .raw_attribute("none", None);
    assert_eq!(scene.find(without).await, [2, 1]);
    let armless = scene
        .query()
        .raw_attribute("key", Some(AnyValue { value: None }));
    assert_eq!(scene.find(armless).await, [2, 1]);
    let twice = scene.query().attribute("key", "v").attribute("key", "w");
    assert_eq!(scene.find(twice).await, [2]);
    let twice = scene.query().attribute("key", "w").attribute("key", "v");
    assert_eq!(scene.find(twice).await, [1]);
}

larder_tests::every_plugin_and_fixture![
    values_are_compared_by_their_string_forms,
    a_typed_constant_finds_every_type_of_its_form,
    text_is_compared_exactly,
    an_attribute_that_is_there_without_a_value_matches_the_empty_text,
    a_plain_key_is_looked_for_at_five_levels,
    all_attributes_must_match_on_one_span,
    an_attribute_of_a_query_without_a_value_asks_for_nothing,
];
