//! Words of a text: V16.

use larder_proto::expression::v1::Call;
use larder_tests::Scene;
use larder_tests::filter::{
    and, attr, attr_at, call, eq, field, fulltext, list, not, or, phrase, some,
};
use larder_tests::otlp::{IntoValue, array, key_value, map, span};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use crate::ask::{finds, judges};
use crate::comparisons::store;

const MESSAGE: &str = "Connection timed  out\nafter 30s";

async fn store_message(scene: &Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("msg", MESSAGE)
        .attribute("n", 30)
        .attribute("arr", array(["timed".into_value()]));
    scene.store([scene.resource("a").span(one)]).await;
}

fn has_phrase<const N: usize>(key: &'static str, words: [&'static str; N]) -> Call {
    phrase(attr(key), words)
}

fn has_all<const N: usize>(key: &'static str, words: [&'static str; N]) -> Call {
    fulltext(attr(key), words)
}

async fn fulltext_asks_for_every_word(scene: Scene) {
    store_message(&scene).await;
    let rows = [
        (has_all("msg", ["out", "connection"]), true),
        (has_all("msg", ["out", "missing"]), false),
        (has_all("msg", ["out", "out"]), true),
        (
            has_all("msg", ["AFTER", "oUT", "timed", "CONNECTION", "30s"]),
            true,
        ),
        // Words are whole.
        (has_all("msg", ["time"]), false),
        (has_all("msg", ["30"]), false),
        (has_all("msg", ["timedout"]), false),
        (has_all("missing", ["out"]), false),
        (not(has_all("missing", ["out"])), true),
        (not(has_all("msg", ["out"])), false),
    ];
    judges(&scene, rows).await;
}

async fn a_phrase_asks_for_words_side_by_side(scene: Scene) {
    store_message(&scene).await;
    let rows = [
        (has_phrase("msg", ["timed", "out"]), true),
        (has_phrase("msg", ["TIMED", "Out", "after"]), true),
        (has_phrase("msg", ["out", "timed"]), false),
        (has_phrase("msg", ["connection", "out"]), false),
        (has_phrase("msg", ["out", "out"]), false),
        (has_phrase("msg", ["30s"]), true),
        (has_phrase("msg", ["30s", "connection"]), false),
        (has_phrase("missing", ["a"]), false),
        (not(has_phrase("missing", ["a"])), true),
        (not(has_phrase("msg", ["timed", "out"])), false),
        (call("phrase", [attr("msg"), list("string", ["out"])]), true),
        (call("phrase", [attr("msg"), list("string", ["ou"])]), false),
    ];
    judges(&scene, rows).await;
}

/// Words that begin again within themselves are found wherever they stand.
async fn a_phrase_may_begin_within_another(scene: Scene) {
    store(
        &scene,
        ["a a b a a c".into_value(), "a b a b a c".into_value()],
    )
    .await;
    let k = |words: [&'static str; 3]| phrase(attr("k"), words);
    let rows = [
        (k(["a", "a", "c"]), vec![1]),
        (k(["b", "a", "c"]), vec![2]),
        (k(["a", "b", "a"]), vec![1, 2]),
        (k(["a", "a", "a"]), vec![]),
    ];
    finds(&scene, rows).await;
}

/// Everything but letters, digits and marks ends a word, so that none of it hides a word from a query.
async fn whatever_is_no_letter_digit_or_mark_ends_a_word(scene: Scene) {
    let text = "timeout, code=500;\tuser_id:a-b\u{2003}\u{1F600}naïve E\u{301}t 日本語\u{a0}½";
    store(&scene, [text.into_value()]).await;
    let rows = [
        (fulltext(attr("k"), ["timeout", "code", "500"]), true),
        (
            phrase(attr("k"), ["timeout", "code", "500", "user", "id"]),
            true,
        ),
        (phrase(attr("k"), ["a", "b", "naïve"]), true),
        (fulltext(attr("k"), ["e\u{301}T"]), true),
        (fulltext(attr("k"), ["日本語", "½"]), true),
        (fulltext(attr("k"), ["日本"]), false),
        // Only ASCII folds; accents stay, and nothing is composed.
        (fulltext(attr("k"), ["NAïVE"]), true),
        (fulltext(attr("k"), ["NAÏVE"]), false),
        (fulltext(attr("k"), ["naive"]), false),
        (fulltext(attr("k"), ["ét"]), false),
        (fulltext(attr("k"), ["code500"]), false),
    ];
    judges(&scene, rows).await;
}

/// All of Unicode's white space, that of ASCII included, ends a word, wherever it stands.
async fn white_space_of_every_kind_ends_a_word(scene: Scene) {
    let all = '\0'..=char::MAX;
    let spaces: Vec<char> = all.filter(|it| it.is_whitespace()).collect();
    for ascii in [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'] {
        assert!(spaces.contains(&ascii));
    }
    let texts = spaces
        .iter()
        .map(|space| format!("{space}left{space}right{space}{space}end"))
        .chain(["left\r\n\t\u{b}right\u{c} end".to_owned()]);
    let all = store(&scene, texts.map(IntoValue::into_value)).await;
    let rows = [
        (phrase(attr("k"), ["left", "right", "end"]), all.clone()),
        (fulltext(attr("k"), ["RIGHT", "left"]), all),
        (phrase(attr("k"), ["left", "end"]), vec![]),
        (fulltext(attr("k"), ["leftright"]), vec![]),
        (fulltext(attr("k"), ["rightend"]), vec![]),
    ];
    finds(&scene, rows).await;
}

/// An index may have the last digits of a number alone; an answer tells those apart that share them.
async fn numbers_that_end_alike_are_told_apart(scene: Scene) {
    let values = [
        "order 12345 paid".into_value(),
        "order 72345 paid".into_value(),
        "order 2345 paid".into_value(),
        "order 345 paid".into_value(),
        "12345".into_value(),
        "72345".into_value(),
        "order 99999999999999992345, x12345".into_value(),
        12_345.into_value(),
    ];
    store(&scene, values).await;
    let rows = [
        (fulltext(attr("k"), ["12345"]), vec![1, 5]),
        (fulltext(attr("k"), ["72345", "paid"]), vec![2]),
        (phrase(attr("k"), ["72345"]), vec![2, 6]),
        (phrase(attr("k"), ["order", "2345"]), vec![3]),
        (fulltext(attr("k"), ["2345"]), vec![3]),
        (fulltext(attr("k"), ["345"]), vec![4]),
        (fulltext(attr("k"), ["02345"]), vec![]),
        (fulltext(attr("k"), ["order", "22345"]), vec![]),
        (
            phrase(attr("k"), ["order", "99999999999999992345", "x12345"]),
            vec![7],
        ),
        (fulltext(attr("k"), ["9999999999999992345"]), vec![]),
        (fulltext(attr("k"), ["x12345"]), vec![7]),
        (not(fulltext(attr("k"), ["12345"])), vec![2, 3, 4, 6, 7, 8]),
    ];
    finds(&scene, rows).await;
}

/// Values of any other type have no words, nor has the empty text.
async fn only_text_has_words(scene: Scene) {
    store_message(&scene).await;
    let rows = [
        (has_all("n", ["30"]), false),
        (has_phrase("n", ["30"]), false),
        (has_all("arr", ["timed"]), false),
        (has_phrase("arr", ["timed"]), false),
        (not(has_all("arr", ["timed"])), true),
    ];
    judges(&scene, rows).await;
    let scene = scene.again();
    let values = [
        "true 1".into_value(),
        true.into_value(),
        1.into_value(),
        1.0.into_value(),
        b"true 1"[..].into_value(),
        map([("true", 1.into_value())]),
        "".into_value(),
        " ,;".into_value(),
    ];
    store(&scene, values).await;
    let rows = [
        (fulltext(attr("k"), ["true"]), vec![1]),
        (fulltext(attr("k"), ["1"]), vec![1]),
        (phrase(attr("k"), ["true", "1"]), vec![1]),
        (not(fulltext(attr("k"), ["1"])), vec![2, 3, 4, 5, 6, 7, 8]),
    ];
    finds(&scene, rows).await;
}

/// V4: one value alone has all words; a phrase does not run from one value to the next.
async fn the_words_are_those_of_one_value(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", "one two")
        .event("e", [key_value("k", "red green")])
        .event("f", [key_value("k", "blue")])
        .link([1; 16], 1, [key_value("k", "in a link")]);
    let resource = scene.resource("a").attribute("k", "three four");
    scene
        .store([resource
            .scope("s", "", [key_value("k", "of scope")])
            .span(one)])
        .await;
    let event = |words: [&'static str; 2]| fulltext(attr_at("event", "k"), words);
    let rows = [
        (fulltext(attr("k"), ["two", "one"]), true),
        (fulltext(attr("k"), ["four", "three"]), true),
        (fulltext(attr("k"), ["one", "three"]), false),
        (phrase(attr("k"), ["two", "three"]), false),
        (phrase(attr("k"), ["four", "one"]), false),
        (
            and([fulltext(attr("k"), ["one"]), fulltext(attr("k"), ["three"])]),
            true,
        ),
        (not(fulltext(attr("k"), ["one", "three"])), true),
        (fulltext(attr_at("span", "k"), ["three"]), false),
        (fulltext(attr_at("resource", "k"), ["three"]), true),
        (phrase(attr("resource.k"), ["three", "four"]), true),
        (phrase(attr("resource.k"), ["one"]), false),
        (phrase(attr_at("scope", "k"), ["of", "scope"]), true),
        (phrase(attr_at("link", "k"), ["a", "link"]), true),
        // Without a level it is neither an event's nor a link's.
        (
            or([fulltext(attr("k"), ["red"]), fulltext(attr("k"), ["link"])]),
            false,
        ),
        (event(["red", "green"]), true),
        (event(["red", "blue"]), false),
        (phrase(attr_at("event", "k"), ["green", "blue"]), false),
    ];
    judges(&scene, rows).await;
}

/// V5.
async fn inside_some_the_words_are_those_of_one_element(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .attribute("k", "of the span")
        .event("e", [key_value("k", "red green")])
        .event("f", [key_value("k", "blue")]);
    scene.store([scene.resource("a").span(one)]).await;
    let named = |name: &str| eq(field("event", "name"), name);
    let k = |words: [&'static str; 1]| phrase(attr_at("event", "k"), words);
    let rows = [
        (some("event", and([named("e"), k(["green"])])), true),
        (some("event", and([named("f"), k(["green"])])), false),
        (and([named("f"), k(["green"])]), true),
        (some("event", not(k(["blue"]))), true),
        (some("event", and([k(["red"]), k(["green"])])), true),
        (some("event", and([k(["red"]), k(["blue"])])), false),
        (
            some(
                "event",
                and([k(["red"]), phrase(attr("k"), ["the", "span"])]),
            ),
            true,
        ),
        (some("link", fulltext(attr("k"), ["span"])), false),
    ];
    judges(&scene, rows).await;
}

/// V14: keys that stand for a field have its text; `error` is a bool, which has none.
async fn keys_of_fields_have_the_words_of_the_field(scene: Scene) {
    let one = span(scene.trace(1), 1)
        .at(scene.at(1))
        .kind(SpanKind::Server)
        .status(StatusCode::Error)
        .attribute("span.kind", "literal")
        .attribute("error", "true");
    let scope = [key_value("scope.name", "literal")];
    let resource = scene.resource("a").scope("my lib", "1.5-rc", scope);
    scene.store([resource.span(one)]).await;
    for level in ["", "span"] {
        let at = |key| attr_at(level, key);
        let rows = [
            (fulltext(at("span.kind"), ["SERVER"]), true),
            (phrase(at("span.kind"), ["server"]), true),
            (phrase(at("span.kind"), ["serv"]), false),
            (phrase(at("span.kind"), ["literal"]), false),
            (phrase(at("span.status"), ["Error"]), true),
            (phrase(at("scope.name"), ["my", "LIB"]), true),
            (fulltext(at("scope.name"), ["literal"]), false),
            (phrase(at("scope.version"), ["5", "rc"]), true),
            (fulltext(at("error"), ["true"]), false),
            (phrase(at("error"), ["error"]), false),
            (not(phrase(at("error"), ["true"])), true),
        ];
        judges(&scene, rows).await;
    }
    let rows = [
        (phrase(attr_at("scope", "scope.name"), ["literal"]), true),
        (phrase(attr_at("resource", "span.kind"), ["server"]), false),
    ];
    judges(&scene, rows).await;
}

/// 255 code units of UTF-16 are the longest word to ask for; a stored one may be longer.
async fn the_longest_word_is_found(scene: Scene) {
    let (longest, longer) = ("a".repeat(255), "b".repeat(256));
    store(&scene, [format!("x {longest} {longer}").into_value()]).await;
    let rows = [
        (fulltext(attr("k"), [longest.as_str()]), true),
        (phrase(attr("k"), ["x", longest.as_str()]), true),
        (fulltext(attr("k"), [&longer[1..]]), false),
    ];
    judges(&scene, rows).await;
    let scene = scene.again();
    store_message(&scene).await;
    judges(&scene, [(fulltext(attr("msg"), [longest.as_str()]), false)]).await;
}

larder_tests::every_plugin![
    fulltext_asks_for_every_word,
    a_phrase_asks_for_words_side_by_side,
    a_phrase_may_begin_within_another,
    whatever_is_no_letter_digit_or_mark_ends_a_word,
    white_space_of_every_kind_ends_a_word,
    numbers_that_end_alike_are_told_apart,
    only_text_has_words,
    the_words_are_those_of_one_value,
    inside_some_the_words_are_those_of_one_element,
    keys_of_fields_have_the_words_of_the_field,
    the_longest_word_is_found,
];
