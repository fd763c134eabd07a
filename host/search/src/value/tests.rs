#![allow(clippy::panic, reason = "tests")]

use larder_oracle::filter::{attr, eq, in_list};
use larder_proto::expression::v1::Call;

use super::*;
use crate::predicate::{Leaf, Predicate};

#[test]
fn a_whole_number_and_a_double_compare_exactly() {
    let beyond = 9_007_199_254_740_993; // 2^53 + 1, which no double is
    for (int, double, order) in [
        (1, 1.0, Some(Ordering::Equal)),
        (1, 1.5, Some(Ordering::Less)),
        (-1, -1.5, Some(Ordering::Greater)),
        (0, -0.0, Some(Ordering::Equal)),
        (beyond, 9_007_199_254_740_992.0, Some(Ordering::Greater)),
        (beyond, 9_007_199_254_740_994.0, Some(Ordering::Less)),
        (
            i64::MAX.into(),
            9_223_372_036_854_775_808.0,
            Some(Ordering::Less),
        ),
        (
            i64::MIN.into(),
            -9_223_372_036_854_775_808.0,
            Some(Ordering::Equal),
        ),
        (5, f64::INFINITY, Some(Ordering::Less)),
        (5, f64::NEG_INFINITY, Some(Ordering::Greater)),
        (5, f64::NAN, None),
    ] {
        assert_eq!(int_and_double(int, double), order, "{int} and {double}");
    }
}

#[test]
fn a_constant_of_a_type_compares_with_that_type_alone() {
    let five = Constant::Int(5);
    assert!(Relation::Eq.holds_with(&Value::Int(5), &five));
    assert!(!Relation::Eq.holds_with(&Value::Double(5.0), &five));
    assert!(!Relation::Lt.holds_with(&Value::Double(1.0), &five));
    assert!(!Relation::Eq.holds_with(&Value::Text(Cow::Borrowed(b"5")), &five));
    assert!(Relation::Eq.holds_between(&Value::Int(5), &Value::Double(5.0)));
}

#[test]
fn opaque_values_and_nan_compare_with_nothing() {
    let nan = Value::Double(f64::NAN);
    for relation in [
        Relation::Eq,
        Relation::Lt,
        Relation::Lte,
        Relation::Gt,
        Relation::Gte,
    ] {
        assert!(!relation.holds_between(&Value::Opaque, &Value::Opaque));
        assert!(!relation.holds_between(&nan, &nan));
        assert!(!relation.holds_with(&nan, &Constant::Double(1.0)));
    }
    assert!(!Members::doubles(vec![f64::NAN]).contains(&nan));
}

#[test]
fn bools_have_no_order() {
    let (no, yes) = (Value::Bool(false), Value::Bool(true));
    assert!(!Relation::Lt.holds_between(&no, &yes));
    assert!(!Relation::Lte.holds_with(&yes, &Constant::Bool(true)));
    assert!(Relation::Eq.holds_with(&yes, &Constant::Bool(true)));
}

#[test]
fn zero_is_among_doubles_that_have_its_negative() {
    let members = Members::doubles(vec![-0.0]);
    assert!(members.contains(&Value::Double(0.0)));
    assert!(!members.contains(&Value::Int(0)));
}

/// The only leaf of a filter.
fn leaf(filter: Call) -> Leaf {
    match crate::filter::predicate(filter) {
        Ok(Predicate::Leaf(leaf)) => leaf,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_untyped_element_is_read_as_each_value() {
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text.as_bytes()));
    let least = i128::from(i64::MIN);
    for (element, members, others) in [
        (
            "5e2",
            vec![text("5e2"), Value::Int(500), Value::Double(500.0)],
            vec![text("500"), Value::Int(5), Value::Bool(true)],
        ),
        (
            "1",
            vec![
                text("1"),
                Value::Int(1),
                Value::Double(1.0),
                Value::Bool(true),
            ],
            vec![text("1.0"), Value::Bool(false), Value::Opaque],
        ),
        (
            "1.5",
            vec![text("1.5"), Value::Double(1.5)],
            vec![Value::Int(1), Value::Int(2)],
        ),
        // As an integer exactly, as a double the nearest.
        (
            "9007199254740993",
            vec![
                Value::Int(9_007_199_254_740_993),
                Value::Double(9_007_199_254_740_992.0),
            ],
            vec![Value::Int(9_007_199_254_740_992)],
        ),
        // No integer of 64 bits, so it is a double beside integers as well.
        (
            "-9223372036854775809",
            vec![
                Value::Int(least),
                Value::Double(-9_223_372_036_854_775_808.0),
            ],
            vec![Value::Int(least + 1)],
        ),
        (
            "-0",
            vec![Value::Int(0), Value::Double(0.0), Value::Double(-0.0)],
            vec![Value::Bool(false)],
        ),
        (
            "nan",
            vec![text("nan")],
            vec![Value::Double(f64::NAN), Value::Int(0)],
        ),
        (
            "inf",
            vec![Value::Double(f64::INFINITY)],
            vec![Value::Int(i64::MAX.into()), Value::Double(f64::MAX)],
        ),
        ("", vec![text("")], vec![Value::Opaque, Value::Bool(false)]),
    ] {
        let all = match leaf(in_list(attr("k"), "", [element, "unlike any"])) {
            Leaf::In(_, members) => members,
            other => panic!("{other:?}"),
        };
        let equal = match leaf(eq(attr("k"), element)) {
            Leaf::Compare(comparison) => comparison,
            other => panic!("{other:?}"),
        };
        for (values, expected) in [(members, true), (others, false)] {
            for value in values {
                assert_eq!(all.contains(&value), expected, "{element:?}: {value:?}");
                assert_eq!(
                    equal.holds(&value, &[]),
                    expected,
                    "eq {element:?}: {value:?}"
                );
            }
        }
    }
}

#[test]
fn an_id_is_lower_case_hexadecimal_and_zero_has_no_digits() {
    assert_eq!(
        Value::id(&[0, 0xab, 0x1f]),
        Value::Text(Cow::Borrowed(b"00ab1f"))
    );
    assert_eq!(Value::id(&[0; 16]), Value::Text(Cow::Borrowed(b"")));
}
