//! The values that a string form may be of. A form does not tell its type: `5` is a text, an integer or a double.

use std::borrow::Cow;

use crate::budget::OutOfTime;
use crate::value::Value;

/// Returns `true` if `test` does for one of the values that have this string form. Some of the values that are tested have another one, such
/// as 7 for the text `007`: that only widens a search.
///
/// # Errors
/// Those of `test`.
pub(super) fn any_of(
    form: &[u8],
    mut test: impl FnMut(&Value<'_>) -> Result<bool, OutOfTime>,
) -> Result<bool, OutOfTime> {
    if test(&Value::Text(Cow::Borrowed(form)))? {
        return Ok(true);
    }
    let text = str::from_utf8(form).unwrap_or_default();
    if let Ok(int) = text.parse::<i64>()
        && test(&Value::Int(int.into()))?
    {
        return Ok(true);
    }
    if let Ok(double) = text.parse()
        && test(&Value::Double(double))?
    {
        return Ok(true);
    }
    if let Ok(bool) = text.parse()
        && test(&Value::Bool(bool))?
    {
        return Ok(true);
    }
    Ok(may_be_opaque(form) && test(&Value::Opaque)?)
}

/// Returns `true` if a number may have this string form.
pub(crate) fn may_be_number(form: &[u8]) -> bool {
    let text = str::from_utf8(form).unwrap_or_default();
    text.parse::<f64>().is_ok_and(|number| !number.is_nan())
}

/// Returns `true` for "", the form of no value, and for base64, the form of bytes.
fn may_be_opaque(form: &[u8]) -> bool {
    let digits = form.strip_suffix(b"=").unwrap_or(form);
    let digits = digits.strip_suffix(b"=").unwrap_or(digits);
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    form.len().is_multiple_of(4) && digits.iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_model::string_form;
    use larder_proto::otlp::AnyValue;
    use proptest::prelude::*;

    use super::*;

    /// Returns `true` if the value is one of those that are tested for a form.
    fn is_tested(form: &[u8], value: &Value<'_>) -> bool {
        any_of(form, |it| Ok(it == value)).unwrap()
    }

    fn form(value: &AnyValue<'_>) -> Vec<u8> {
        let mut form = Vec::new();
        string_form::write(value, &mut form);
        form
    }

    fn is_own(value: &AnyValue<'_>, expected: &Value<'_>) -> bool {
        is_tested(&form(value), expected)
    }

    #[test]
    fn a_form_is_read_as_every_type_that_has_it() {
        for (form, value, expected) in [
            ("5", Value::Int(5), true),
            ("5", Value::Double(5.0), true),
            ("5", Value::Opaque, false),
            ("-0", Value::Double(-0.0), true),
            ("1e+21", Value::Double(1e21), true),
            ("-Infinity", Value::Double(f64::NEG_INFINITY), true),
            ("true", Value::Bool(true), true),
            ("true", Value::Opaque, true),
            ("false", Value::Bool(true), false),
            ("POST", Value::Opaque, true),
            ("GET", Value::Opaque, false),
            ("", Value::Opaque, true),
            ("a=b=", Value::Opaque, false),
            ("x", Value::Int(0), false),
        ] {
            assert_eq!(is_tested(form.as_bytes(), &value), expected, "{form:?}");
        }
        assert!(
            any_of(b"NaN", |it| Ok(
                matches!(it, Value::Double(it) if it.is_nan())
            ))
            .unwrap()
        );
        assert!(may_be_number(b"-1.5e-9") && !may_be_number(b"NaN") && !may_be_number(b"x"));
    }

    #[test]
    fn the_first_value_that_passes_ends_the_test() {
        let mut tested = 0;
        let passes = any_of(b"5", |_| {
            tested += 1;
            Ok(true)
        });
        assert_eq!((passes, tested), (Ok(true), 1));
        assert_eq!(any_of(b"5", |_| Err(OutOfTime)), Err(OutOfTime));
    }

    proptest! {
        #[test]
        fn every_value_is_a_reading_of_its_form(text: String, int: i64, double: f64, bytes: Vec<u8>) {
            let own = Value::Text(Cow::Borrowed(text.as_bytes()));
            prop_assert!(is_own(&AnyValue::String(text.as_bytes()), &own));
            prop_assert!(is_own(&AnyValue::Int(int), &Value::Int(int.into())));
            prop_assert!(double.is_nan() || is_own(&AnyValue::Double(double), &Value::Double(double)));
            prop_assert!(is_own(&AnyValue::Bytes(&bytes), &Value::Opaque));
        }
    }
}
