//! Which attributes there are, and which values they have: `GET /attributes`.

use larder_tests::otlp::{key_value, service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin};
use serde_json::{Value, json};

async fn store(client: &Client) {
    for (number, method) in (1..).zip(["GET", "GET", "POST", "PUT"]) {
        let one = span([number; 16], 1)
            .at(number.into())
            .attribute("http.method", method)
            .attribute("http.code", 200 + i64::from(number))
            .event("e", [key_value("a/b é", "x y")]);
        let of = if number == 4 { "shop" } else { "cart" };
        client.store([service(of).span(one)]).await;
    }
}

fn get(larder: &Larder, path: &str) -> Value {
    let answer = larder.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

/// The keys of an answer with their levels, types and numbers of values.
fn keys(answer: &Value) -> Vec<String> {
    let of = |it: &Value| {
        let word = |name: &str| it[name].as_str().unwrap().to_owned();
        assert_eq!(it["has_more"], false);
        let (level, key, r#type) = (word("level"), word("key"), word("type"));
        format!("{level} {key} {type} {}", it["values"])
    };
    answer["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

fn check(larder: &Larder) {
    let all = [
        "event a/b é text 1",
        "span http.code number 4",
        "span http.method text 3",
        "resource service.name text 2",
    ];
    assert_eq!(keys(&get(larder, "/attributes")), all);
    let prefixed = get(larder, "/attributes?service=shop&prefix=http.");
    assert_eq!(keys(&prefixed), all[1..3]);
    let none = get(larder, "/attributes?service=nobody");
    assert!(keys(&none).is_empty(), "{none}");

    let value = |value: &str, level: &str, fragments: u64| json!({"value": value, "level": level, "fragments": fragments, "has_more": false});
    let methods = [
        value("GET", "span", 2),
        value("POST", "span", 1),
        value("PUT", "span", 1),
    ];
    for (path, key, values, has_more) in [
        ("http.method/values", "http.method", &methods[..], false),
        (
            "http.method/values?limit=2",
            "http.method",
            &methods[..2],
            true,
        ),
        (
            "http.method/values?prefix=P",
            "http.method",
            &methods[1..],
            false,
        ),
        ("http.method/values?prefix=p", "http.method", &[], false),
        ("http.method/values?level=event", "http.method", &[], false),
        (
            "a%2Fb%20%C3%A9/values?level=event",
            "a/b é",
            &[value("x y", "event", 4)],
            false,
        ),
        ("unknown/values", "unknown", &[], false),
    ] {
        let expected = json!({"key": key, "values": values, "has_more": has_more});
        assert_eq!(
            get(larder, &format!("/attributes/{path}")),
            expected,
            "{path}"
        );
    }
}

async fn attributes_and_values_are_told(plugin: Plugin) {
    let home = Home::new();
    let larder = Options::new(plugin).start_in(&home);
    larder.lists_values().await;
    store(&larder.client().await).await;
    check(&larder);
    if plugin == Plugin::Kv {
        larder.kill();
        let larder = Options::new(plugin).start_in(&home);
        larder.lists_values().await;
        check(&larder);
    }
}

larder_tests::with_plugins!(attributes_and_values_are_told: kv = Kv, memory = Memory, minimal = Minimal);

#[tokio::test]
async fn what_cannot_be_told_is_refused_with_a_reason() {
    let larder = Options::new(Plugin::Memory).start();
    larder.lists_values().await;
    for (path, part) in [
        ("/attributes?limit=5", "unknown field"),
        ("/attributes/k/values?limit=0", "limit is 0"),
        ("/attributes/k/values?limit=1001", "from 1 to 1000"),
        ("/attributes/k/values?level=spam", "no level \"spam\""),
    ] {
        let answer = larder.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    assert_eq!(larder.post("/attributes").status, 405);
}

/// Beyond the values that are listed an attribute says that it has more, at once, and finds all of them.
#[tokio::test]
async fn an_attribute_with_too_many_values_says_so() {
    const MOST: u64 = 10_000;
    let larder = Options::new(Plugin::Kv).start();
    larder.lists_values().await;
    let client = larder.client().await;
    let one = |id: u64| {
        let number = format!("n{id}");
        span([1; 16], id).at(id).attribute("k", number.as_str())
    };
    // In one Export.
    let spans = (1..=MOST + 10).map(one);
    client.store([service("s").spans(spans)]).await;
    let key = &get(&larder, "/attributes?prefix=k")["attributes"][0];
    assert_eq!(
        (&key["values"], &key["has_more"]),
        (&json!(MOST), &json!(true))
    );
    let values = get(&larder, "/attributes/k/values?limit=1000");
    assert_eq!(values["values"].as_array().unwrap().len(), 1000);
    assert_eq!(values["has_more"], true);
}
