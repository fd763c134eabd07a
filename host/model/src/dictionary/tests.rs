#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::shared::{ATTRIBUTE_OVERHEAD, VALUE_OVERHEAD};
use super::{
    Bounds, Contents, Dictionaries, Dictionary, Follower, ListedValues, Listing, Snapshot, Source,
    day,
};
use crate::terms::{Level, TextField};

const DAY: u64 = 86_400_000_000_000;
/// A time of the tests.
const NOW: u64 = 20_000 * DAY;
const TODAY: u32 = 20_000;

const SMALL: Bounds = Bounds {
    values: 5,
    numbers: 5,
    bytes: 40,
    value_bytes: 12,
    all_values: 24,
    all_bytes: 160,
    attributes: 4,
};

type Value = (Source, Vec<u8>, Vec<u8>);

fn opened(bounds: Bounds) -> Dictionary {
    let dictionary = Dictionary::new(bounds);
    dictionary.open(Contents::default(), true);
    dictionary
}

fn span(key: &str, form: &str) -> Value {
    (Source::from(Level::Span), key.into(), form.into())
}

/// Lists values at a time. Returns what was answered for each, and what is to be recorded.
fn list(
    dictionary: &Dictionary,
    now: u64,
    values: &[Value],
) -> (Vec<bool>, Option<Arc<ListedValues>>) {
    let mut listing = Listing::new(dictionary.for_request(now).unwrap());
    let values = values.iter();
    let answers = values.map(|(source, key, form)| listing.list(*source, key, form));
    (answers.collect(), listing.finish())
}

fn noted(listed: &ListedValues) -> Vec<Value> {
    let values = listed.values();
    values
        .map(|(level, key, form)| (level, key.to_owned(), form.to_owned()))
        .collect()
}

/// What the observer of the tenant does before a write. Returns `false` if the write is refused.
fn write(dictionary: &Dictionary, now: u64, listed: &ListedValues) -> bool {
    if !dictionary.admits(listed, now) {
        return false;
    }
    let mut contents = Contents::default();
    for (level, key, form) in listed.values() {
        contents.add(level, key, form, listed.day());
    }
    dictionary.record(contents);
    true
}

/// Lists values and writes them.
fn store(dictionary: &Dictionary, now: u64, values: &[Value]) -> Vec<bool> {
    let (answers, listed) = list(dictionary, now, values);
    if let Some(listed) = listed {
        assert!(write(dictionary, now, &listed));
    }
    answers
}

fn forms(dictionary: &Dictionary, key: &str) -> BTreeSet<Vec<u8>> {
    let snapshot = dictionary.snapshot().unwrap();
    let values = snapshot.values(Level::Span, key.as_bytes());
    assert_eq!(values.len(), values.clone().count());
    values.map(<[u8]>::to_owned).collect()
}

#[test]
fn what_is_new_is_to_be_recorded_and_what_is_known_is_not() {
    let dictionary = opened(Bounds::default());
    let values = [span("k", "one"), span("k", "two"), span("k", "one")];
    let (answers, listed) = list(&dictionary, NOW, &values);
    assert_eq!(answers, [true; 3]);
    let listed = listed.unwrap();
    assert_eq!(noted(&listed), values[..2]);
    assert_eq!(listed.day(), TODAY);
    assert!(
        forms(&dictionary, "k").is_empty(),
        "nothing is recorded yet"
    );
    assert!(write(&dictionary, NOW, &listed));
    let all = BTreeSet::from([b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(forms(&dictionary, "k"), all);

    let (answers, listed) = list(&dictionary, NOW + 1, &values);
    assert_eq!(answers, [true; 3]);
    assert!(listed.unwrap().is_empty());
    let other = (
        Source::from(Level::Resource),
        b"k".to_vec(),
        b"one".to_vec(),
    );
    let (_, listed) = list(&dictionary, NOW, std::slice::from_ref(&other));
    assert_eq!(noted(&listed.unwrap()), [other]);
}

#[test]
fn texts_of_spans_are_apart_from_attributes() {
    let dictionary = opened(Bounds::default());
    let text = |field: TextField| (Source::from(field), Vec::new(), b"one".to_vec());
    store(
        &dictionary,
        NOW,
        &[text(TextField::EventName), span("", "one")],
    );
    let snapshot = dictionary.snapshot().unwrap();
    assert!(snapshot.contains(TextField::EventName, b"", b"one"));
    assert!(!snapshot.contains(TextField::SpanName, b"", b"one"));
    assert_eq!(snapshot.keys().count(), 1, "a text is no attribute");
    let all = [span("", "one"), text(TextField::EventName)];
    let found: Vec<_> = snapshot
        .all()
        .map(|(source, key, form, _)| (source, key.to_owned(), form.to_owned()))
        .collect();
    assert_eq!(found, all);
}

#[test]
fn a_value_is_recorded_again_on_another_day() {
    let dictionary = opened(Bounds::default());
    let values = [span("k", "one"), span("k", "two")];
    store(&dictionary, NOW, &values);
    let (_, listed) = list(&dictionary, NOW + DAY, &values[..1]);
    let listed = listed.unwrap();
    assert_eq!(noted(&listed), values[..1]);
    assert!(write(&dictionary, NOW + DAY, &listed));
    let snapshot = dictionary.snapshot().unwrap();
    let day_of = |form: &str| snapshot.day_of(Level::Span, b"k", form.as_bytes());
    assert_eq!(day_of("one"), Some(TODAY + 1));
    assert_eq!(day_of("two"), Some(TODAY));
    assert_eq!(day_of("three"), None);
}

#[test]
fn the_time_of_the_last_write_counts_where_the_clock_is_behind() {
    let dictionary = opened(Bounds::default());
    let (_, listed) = list(&dictionary, NOW, &[span("k", "one")]);
    assert!(!write(&dictionary, NOW + 5 * DAY, &listed.unwrap()));
    let (_, listed) = list(&dictionary, NOW, &[span("k", "one")]);
    let listed = listed.unwrap();
    assert_eq!(listed.day(), TODAY + 5);
    assert!(write(&dictionary, NOW + 5 * DAY, &listed));
}

/// A plugin that keeps spans in the order of their writes may tell a time of a clock that was ahead as that of its oldest span.
#[test]
fn an_attribute_with_many_values_lists_no_more_numbers() {
    let dictionary = opened(Bounds {
        numbers: 2,
        ..Bounds::default()
    });
    store(&dictionary, NOW, &[span("n", "1"), span("n", "2")]);
    let mut listing = Listing::new(dictionary.for_request(NOW).unwrap());
    let mut number = |form: &str| listing.list_number(Level::Span, b"n", form.as_bytes());
    assert_eq!([number("2"), number("3")], [true, false]);
    assert!(listing.list(Level::Span, b"n", b"a text"));
    let snapshot = dictionary.snapshot().unwrap();
    assert!(!snapshot.values(Level::Span, b"n").is_complete());
}

#[test]
fn days_do_not_go_back_with_the_clock() {
    let ahead = NOW + 10 * DAY;
    let dictionary = opened(Bounds::default());
    store(&dictionary, ahead, &[span("k", "ahead")]);
    for form in ["one", "two", "ahead"] {
        store(&dictionary, NOW, &[span("k", form)]);
    }
    assert_eq!(dictionary.prune(TODAY + 8), 0);
    assert_eq!(forms(&dictionary, "k").len(), 3);

    // Nor at a restart.
    let mut contents = Contents::default();
    for (level, key, form, day) in dictionary.snapshot().unwrap().all() {
        contents.add(level, key, form, day);
    }
    let reopened = Dictionary::new(Bounds::default());
    reopened.open(contents, true);
    let (_, listed) = list(&reopened, NOW, &[span("k", "three")]);
    assert!(write(&reopened, ahead, &listed.unwrap()), "the first write");
    store(&reopened, NOW, &[span("k", "four")]);
    assert_eq!(reopened.prune(TODAY + 8), 0);
    assert_eq!(forms(&reopened, "k").len(), 5);
}

#[test]
fn what_does_not_fit_is_not_listed() {
    let dictionary = opened(SMALL);
    let long = "x".repeat(13);
    let values = [span("k", &long), span(&long, "v"), span("k", &long[1..])];
    assert_eq!(store(&dictionary, NOW, &values), [false, false, true]);

    let many: Vec<_> = (0..7)
        .map(|number| span("n", &number.to_string()))
        .collect();
    let fits = [true, true, true, true, true, false, false];
    assert_eq!(store(&dictionary, NOW, &many), fits);
    assert_eq!(store(&dictionary, NOW, &many), fits, "and the same later");
    let snapshot = dictionary.snapshot().unwrap();
    let is_full = |key: &[u8]| {
        let mut keys = snapshot.keys();
        let found = keys.find(|it| it.key == key).unwrap();
        assert_eq!(
            !found.is_full,
            snapshot.values(Level::Span, key).is_complete()
        );
        (found.values, found.is_full)
    };
    assert_eq!(is_full(b"n"), (5, true));
    assert_eq!(is_full(b"k"), (1, false));
    assert!(snapshot.values(Level::Event, b"n").is_complete());

    let keys = ["a", "b", "c"].map(|key| span(key, "v"));
    assert_eq!(store(&dictionary, NOW, &keys), [true, true, false]);
}

#[test]
fn an_attribute_is_full_once_the_first_request_with_too_many_values_is_recorded() {
    let is_full = |dictionary: &Dictionary| {
        let snapshot = dictionary.snapshot().unwrap();
        let mut keys = snapshot.keys();
        keys.find(|it| it.key == b"n").map(|it| it.is_full)
    };
    let numbers = |numbers: std::ops::Range<u32>| -> Vec<_> {
        numbers
            .map(|number| span("n", &number.to_string()))
            .collect()
    };
    // All at once, and some of them at a time.
    for first in [0, 3] {
        let dictionary = opened(SMALL);
        store(&dictionary, NOW, &numbers(0..first));
        assert_eq!(is_full(&dictionary), (first > 0).then_some(false));
        store(&dictionary, NOW, &numbers(first..7));
        assert_eq!(is_full(&dictionary), Some(true));
    }
    // As many as there is room for.
    let dictionary = opened(SMALL);
    store(&dictionary, NOW, &numbers(0..5));
    assert_eq!(is_full(&dictionary), Some(false));
}

#[test]
fn nothing_is_to_be_recorded_where_nothing_is_listed() {
    let dictionary = opened(SMALL);
    let (answers, listed) = list(&dictionary, NOW, &[span("k", &"x".repeat(13))]);
    assert_eq!(answers, [false]);
    assert!(listed.is_none());
}

#[test]
fn requests_on_their_way_share_the_room() {
    let dictionary = opened(SMALL);
    let three = |from: u32| -> Vec<_> {
        let numbers = from..from + 3;
        numbers
            .map(|number| span("k", &number.to_string()))
            .collect()
    };
    let (answers, first) = list(&dictionary, NOW, &three(0));
    assert_eq!(answers, [true; 3]);
    let (answers, second) = list(&dictionary, NOW, &three(10));
    assert_eq!(answers, [true, true, false]);
    // What is not written after all leaves its room to others.
    drop(first);
    let (answers, third) = list(&dictionary, NOW, &three(20));
    assert_eq!(answers, [true; 3]);
    for listed in [second, third] {
        assert!(write(&dictionary, NOW, &listed.unwrap()));
    }
    assert_eq!(forms(&dictionary, "k").len(), 5);
    assert_eq!(store(&dictionary, NOW, &three(30)), [false; 3]);
}

#[test]
fn a_write_is_refused_if_the_dictionary_was_opened_anew() {
    let dictionary = opened(Bounds::default());
    let value = [span("k", "one")];
    store(&dictionary, NOW, &value);
    // Nothing is to be recorded, and yet the value is gone.
    let (_, known) = list(&dictionary, NOW, &value);
    let known = known.unwrap();
    assert!(known.is_empty());
    dictionary.open(Contents::default(), true);
    assert!(!write(&dictionary, NOW, &known));
    let (_, listed) = list(&dictionary, NOW, &value);
    dictionary.close();
    assert!(!write(&dictionary, NOW, &listed.unwrap()));
    assert!(dictionary.snapshot().is_none());
    assert!(dictionary.for_request(NOW).is_none());
}

#[test]
fn a_dictionary_that_has_lost_values_is_only_for_writes() {
    let dictionary = Dictionary::new(Bounds::default());
    assert!(dictionary.for_request(NOW).is_none());
    dictionary.open(Contents::default(), false);
    store(&dictionary, NOW, &[span("k", "one")]);
    assert!(dictionary.snapshot().is_none());
    dictionary.set_complete(true);
    assert_eq!(forms(&dictionary, "k").len(), 1);
    dictionary.set_complete(false);
    assert!(dictionary.snapshot().is_none());
}

#[test]
fn outdated_values_are_dropped_and_leave_room() {
    let dictionary = opened(SMALL);
    let old: Vec<_> = (0..6)
        .map(|number| span("k", &number.to_string()))
        .collect();
    store(&dictionary, NOW, &old);
    let later = NOW + 4 * DAY;
    store(&dictionary, later, &old[..2]);
    let (_, on_its_way) = list(&dictionary, NOW, &[span("k", "0")]);
    let on_its_way = on_its_way.unwrap();
    assert_eq!(dictionary.prune(TODAY), 0);
    assert_eq!(dictionary.prune(TODAY + 3), 3);
    let left = BTreeSet::from([b"0".to_vec(), b"1".to_vec()]);
    assert_eq!(forms(&dictionary, "k"), left);
    let snapshot = dictionary.snapshot().unwrap();
    assert!(snapshot.values(Level::Span, b"k").is_complete());
    assert_eq!((snapshot.len(), snapshot.bytes()), (2, 3));
    assert!(write(&dictionary, later, &on_its_way));
    assert_eq!(store(&dictionary, later, &old[3..]), [true; 3]);
}

#[test]
fn what_was_listed_on_a_day_before_the_dropped_ones_is_refused() {
    let dictionary = opened(Bounds::default());
    store(&dictionary, NOW, &[span("k", "one")]);
    let (_, listed) = list(&dictionary, NOW, &[span("k", "one")]);
    dictionary.prune(TODAY + 1);
    assert!(!write(&dictionary, NOW, &listed.unwrap()));
}

#[test]
fn a_column_holds_all_values_however_they_come() {
    let dictionary = opened(Bounds::default());
    let form = |number: u32| span("k", &format!("value {number}"));
    for number in 0..300 {
        assert_eq!(store(&dictionary, NOW, &[form(number)]), [true]);
    }
    let many: Vec<_> = (200..3000).map(form).collect();
    assert!(store(&dictionary, NOW, &many).iter().all(|listed| *listed));
    let all: BTreeSet<_> = (0..3000).map(|number| form(number).2).collect();
    assert_eq!(forms(&dictionary, "k"), all);
    let snapshot = dictionary.snapshot().unwrap();
    assert!(
        all.iter()
            .all(|form| snapshot.contains(Level::Span, b"k", form))
    );
    assert_eq!(snapshot.all().count(), 3000);
}

#[test]
fn a_dictionary_takes_memory_for_what_it_lists() {
    let dictionary = opened(Bounds::default());
    assert_eq!(dictionary.memory(), 0);
    let long = "x".repeat(4000);
    store(&dictionary, NOW, &[span("k", &long), span("k", "short")]);
    let memory = dictionary.memory();
    assert!((4000..5000).contains(&memory), "{memory}");
    // All that fits is well below what tenants may take together.
    let bounds = Bounds::default();
    let most = bounds.all_bytes
        + bounds.all_values * VALUE_OVERHEAD
        + bounds.attributes * ATTRIBUTE_OVERHEAD;
    assert!(most < 12 << 20, "{most}");
    dictionary.close();
    assert_eq!(dictionary.memory(), 0);
}

/// The output of a future that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Follows the dictionary of one other host.
struct Other(Dictionary);

#[async_trait::async_trait]
impl Follower for Other {
    async fn follow(&self) -> Option<Snapshot> {
        self.0.snapshot()
    }
}

#[test]
fn a_search_asks_who_follows_all_hosts_and_knows_nothing_without_it() {
    let dictionaries = Dictionaries::default();
    let (own, other) = (opened(SMALL), opened(SMALL));
    dictionaries.insert("shop", own.clone());
    store(&own, NOW, &[span("k", "own")]);
    store(&other, NOW, &[span("k", "other")]);
    let follower: Arc<dyn Follower> = Arc::new(Other(other));
    own.followed_by(Arc::downgrade(&follower));
    let found = ready(dictionaries.snapshot("shop")).unwrap();
    assert!(found.contains(Level::Span, b"k", b"other"));
    assert!(
        !own.snapshot()
            .unwrap()
            .contains(Level::Span, b"k", b"other")
    );
    let none: Weak<Other> = Weak::new();
    own.followed_by(none);
    assert!(
        ready(dictionaries.snapshot("shop")).is_some(),
        "the first one is asked"
    );
    drop(follower);
    assert!(ready(dictionaries.snapshot("shop")).is_none());
}

#[test]
fn a_dictionary_takes_over_which_attributes_are_full() {
    let (own, all) = (opened(SMALL), opened(SMALL));
    let values: Vec<_> = (0..9).map(|it| span("k", &it.to_string())).collect();
    store(&own, NOW, &values);
    store(&all, NOW, &[span("k", "1"), span("other", "1")]);
    let is_complete = |key: &[u8]| {
        all.snapshot()
            .unwrap()
            .values(Level::Span, key)
            .is_complete()
    };
    assert!(is_complete(b"k"));
    all.note_full(&own);
    assert!(!is_complete(b"k") && is_complete(b"other"));
}

#[test]
fn a_tenant_has_its_dictionary_while_it_is_open() {
    let dictionaries = Dictionaries::default();
    assert!(ready(dictionaries.snapshot("shop")).is_none());
    let (first, second) = (opened(SMALL), opened(SMALL));
    dictionaries.insert("shop", first.clone());
    assert!(ready(dictionaries.snapshot("shop")).is_some());
    assert!(ready(dictionaries.snapshot("other")).is_none());
    dictionaries.insert("shop", second.clone());
    dictionaries.remove("shop", &first);
    assert!(dictionaries.get("shop").unwrap().is_same(&second));
    dictionaries.remove("shop", &second);
    assert!(dictionaries.get("shop").is_none());
}

#[derive(Clone, Debug)]
enum Step {
    List(Vec<Value>),
    Write(usize),
    Drop(usize),
    Hours(u64),
    Expire(u32),
    Purge,
    Restart,
}

fn value() -> impl Strategy<Value = Value> {
    let source = select(vec![
        Source::from(Level::Span),
        Source::from(Level::Resource),
        Source::from(TextField::SpanName),
    ]);
    let key = select(vec!["a", "b", "key"]).prop_map(Vec::from);
    (source, key, "[a-d]{0,3}|x{13}".prop_map(Vec::from))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(value(), 1..5).prop_map(Step::List),
        5 => (0..4_usize).prop_map(Step::Write),
        1 => (0..4_usize).prop_map(Step::Drop),
        2 => (1..60_u64).prop_map(Step::Hours),
        1 => (0..5_u32).prop_map(Step::Expire),
        1 => Just(Step::Purge),
        1 => Just(Step::Restart),
    ]
}

/// A request on its way: the values that its fragments call listed.
type Walked = (Vec<Value>, Option<Arc<ListedValues>>);

proptest! {
    /// Whatever comes between: each value that a stored fragment calls listed is in the dictionary, and that is never too large.
    #[test]
    fn stored_fragments_have_their_values_in_the_dictionary(steps in vec(step(), 1..60)) {
        let dictionary = opened(SMALL);
        let mut now = NOW;
        let mut on_their_way: Vec<Walked> = Vec::new();
        // The day of the write of each fragment, and its listed values.
        let mut stored: Vec<(u32, Vec<Value>)> = Vec::new();
        let mut may_exceed = false;
        for step in steps {
            match step {
                Step::List(values) => {
                    let (answers, listed) = list(&dictionary, now, &values);
                    let called = values.into_iter().zip(answers);
                    let called = called.filter(|(_, listed)| *listed);
                    on_their_way.push((called.map(|(value, _)| value).collect(), listed));
                }
                Step::Write(at) if at < on_their_way.len() => {
                    let (values, listed) = on_their_way.remove(at);
                    if listed.is_none_or(|listed| write(&dictionary, now, &listed)) {
                        stored.push((day(now), values));
                    }
                }
                Step::Drop(at) if at < on_their_way.len() => drop(on_their_way.remove(at)),
                Step::Write(_) | Step::Drop(_) => {}
                Step::Hours(hours) => now += hours * DAY / 24,
                Step::Expire(days) => {
                    stored.retain(|(written, _)| written + days >= day(now));
                    if let Some(oldest) = stored.iter().map(|(written, _)| *written).min() {
                        // A known value on its way has no room of its own.
                        may_exceed |= !on_their_way.is_empty();
                        dictionary.prune(oldest.saturating_sub(2));
                    }
                }
                Step::Purge => {
                    dictionary.open(Contents::default(), true);
                    stored.clear();
                }
                Step::Restart => {
                    let mut contents = Contents::default();
                    for (level, key, form, day) in dictionary.snapshot().unwrap().all() {
                        contents.add(level, key, form, day);
                    }
                    dictionary.open(contents, true);
                }
            }
            let snapshot = dictionary.snapshot().unwrap();
            for (level, key, form) in stored.iter().flat_map(|(_, values)| values) {
                prop_assert!(snapshot.contains(*level, key, form));
            }
            let mut columns: BTreeMap<(Source, &[u8]), (usize, usize)> = BTreeMap::new();
            for (source, key, form, _) in snapshot.all() {
                let column = columns.entry((source, key)).or_default();
                *column = (column.0 + 1, column.1 + form.len());
            }
            let keys = columns.keys().map(|(_, key)| key.len());
            let sum = columns.values().map(|it| it.1).chain(keys).sum::<usize>();
            prop_assert_eq!(snapshot.bytes(), sum);
            prop_assert_eq!(snapshot.len(), columns.values().map(|it| it.0).sum::<usize>());
            for key in snapshot.keys() {
                let column = columns.get(&(Source::from(key.level), key.key));
                prop_assert_eq!(column, Some(&(key.values, key.bytes)));
            }
            if !may_exceed {
                prop_assert!(snapshot.len() <= SMALL.all_values && sum <= SMALL.all_bytes);
                prop_assert!(columns.len() <= SMALL.attributes);
                for (values, bytes) in columns.into_values() {
                    prop_assert!(values <= SMALL.values && bytes <= SMALL.bytes);
                }
            }
        }
    }
}
