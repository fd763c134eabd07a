//! What `phrase` and `fulltext` do not take. `host/docs/rules.md`, "Refused filters".

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::filter::{
    and, attr, attr_at, boolean, call, exists, field, fulltext, int, list, nested, not, phrase,
    some, string, untyped,
};
use larder_tests::{Plugin, Scene};

use crate::ask::refuses;

const OPERATORS: [&str; 2] = ["phrase", "fulltext"];

/// Asserts that both operators refuse each pair of arguments with these words after the name of the operator.
async fn refused(rows: impl IntoIterator<Item = ((Expression, Expression), impl AsRef<str>)>) {
    let rows = rows.into_iter().flat_map(|((subject, words), text)| {
        OPERATORS.map(|op| {
            let filter = call(op, [subject.clone(), words.clone()]);
            (filter, format!("operator {op:?} {}", text.as_ref()))
        })
    });
    refuses(&Scene::new(Plugin::Memory).await, rows).await;
}

fn one() -> Expression {
    list("", ["a"])
}

#[tokio::test]
async fn the_first_argument_is_an_attribute() {
    let predicate = not(exists(attr("a"))).args.remove(0);
    let rows = [
        (field("span", "name"), "a field reference"),
        (field("event", "name"), "a field reference"),
        // That there is no such field does not matter.
        (field("galaxy", ""), "a field reference"),
        (untyped("a"), "an untyped constant"),
        (string("a"), "a string constant"),
        (int(1), "an integer constant"),
        (boolean(true), "a boolean constant"),
        (one(), "a list"),
        (predicate, "a predicate"),
    ];
    let text = "takes an attribute reference as its first argument, got";
    // It is checked before the second argument.
    let rows = rows.map(|(it, what)| ((it, untyped("a")), format!("{text} {what}")));
    refused(rows).await;
}

#[tokio::test]
async fn the_first_argument_names_something() {
    let scene = Scene::new(Plugin::Memory).await;
    let both = |subject: Expression, text| {
        OPERATORS.map(|op| (call(op, [subject.clone(), untyped("a")]), text))
    };
    let rows = [
        both(attr(""), "attribute reference has no key"),
        both(attr_at("scope", ""), "attribute reference has no key"),
        both(attr_at("galaxy", ""), r#"unknown filter level "galaxy""#),
        both(
            nested("event"),
            r#"a collection reference is only the first argument of "some""#,
        ),
    ];
    refuses(&scene, rows.into_iter().flatten()).await;
}

#[tokio::test]
async fn the_second_argument_is_a_list_of_words() {
    let second = |what: &str| format!("takes a list as its second argument, got {what}");
    let empty = "takes a list with at least one element".to_owned();
    let typed = |kind: &str| format!("takes a list of words, got a list of {kind}");
    let rows = [
        (untyped("out"), second("an untyped constant")),
        (string("out"), second("a string constant")),
        (attr("b"), second("an attribute reference")),
        (list("", []), empty.clone()),
        (list("string", []), empty.clone()),
        (list("float", []), empty),
        (list("int", ["30"]), typed("int")),
        (list("double", ["30"]), typed("double")),
        (list("bool", ["true"]), typed("bool")),
        // The type is checked before the elements.
        (list("int", ["a b"]), typed("int")),
    ];
    refused(rows.map(|(words, text)| ((attr("msg"), words), text))).await;
    let scene = Scene::new(Plugin::Memory).await;
    let unknown = OPERATORS.map(|op| {
        (
            call(op, [attr("msg"), list("float", ["a b"])]),
            r#"unknown filter value type "float""#,
        )
    });
    refuses(&scene, unknown).await;
}

#[tokio::test]
async fn an_element_is_one_word() {
    let words = [
        "",
        " ",
        "timed out",
        " a",
        "a ",
        "a-b",
        "a_b",
        "a.b",
        "k=v",
        "a\u{2003}b",
        "\u{1F600}",
        "$",
        "+",
        "a,",
        "_",
    ];
    let text = "takes words of letters, digits and combining marks, got";
    let rows = words.map(|word| {
        let quoted = match word {
            "a\u{2003}b" => r#""a\u2003b""#.to_owned(),
            word => format!("\"{word}\""),
        };
        // The first that is none is named, after one that is.
        let words = list("string", ["a", word, "b-c"]);
        ((attr("msg"), words), format!("{text} {quoted}"))
    });
    refused(rows).await;
}

#[tokio::test]
async fn a_word_is_not_too_long() {
    let at_most = |length: usize| {
        format!("takes words of at most 255 UTF-16 code units, got one of {length}")
    };
    // The last is beyond the basic plane, so each letter counts twice.
    let long = ["a".repeat(256), "é".repeat(300), "\u{20000}".repeat(128)];
    let rows = long.iter().zip([256, 300, 256]).map(|(word, length)| {
        let words = list("", ["a", word.as_str()]);
        ((attr("msg"), words), at_most(length))
    });
    refused(rows).await;
}

#[tokio::test]
async fn words_are_checked_wherever_they_are() {
    let text = r#"operator "phrase" takes words of letters, digits and combining marks, got "a-b""#;
    let wrong = |level: &str| phrase(attr_at(level, "k"), ["a-b"]);
    let right = || fulltext(attr("k"), ["a"]);
    let rows: [Call; 4] = [
        wrong("span"),
        and([right(), not(wrong("resource"))]),
        some("event", wrong("event")),
        some("link", and([right(), wrong("")])),
    ];
    let scene = Scene::new(Plugin::Memory).await;
    refuses(&scene, rows.map(|filter| (filter, text))).await;
}
