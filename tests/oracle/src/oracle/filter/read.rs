//! Parses texts as Go does: `strconv.ParseInt`, `ParseFloat`, `ParseBool`.

use super::times;
use super::values::{Operand, Value};

/// The twelve spellings of true and false.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Decimal digits after at most one sign.
pub(super) fn int(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut number: i128 = 0;
    for digit in digits.chars() {
        number = number * 10 + i128::from(digit.to_digit(10)?);
        if number > 1 << 64 {
            return None;
        }
    }
    i64::try_from(if negative { -number } else { number }).ok()
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Decimal, hexadecimal with a binary exponent, infinite, or NaN; out of range is invalid.
pub(super) fn double(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let (negative, size) = sign(text);
    let size = if ["inf", "infinity"]
        .iter()
        .any(|name| size.eq_ignore_ascii_case(name))
    {
        f64::INFINITY
    } else if size.starts_with("0x") || size.starts_with("0X") {
        hexadecimal(&size[2..])?
    } else {
        decimal(size)?
    };
    Some(if negative { -size } else { size })
}

fn decimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = digits(mantissa, "", 10)?;
    exponent.map_or(Some(()), |exponent| is_exponent(exponent).then_some(()))?;
    let plain = match exponent {
        Some(exponent) => format!("{digits}e{}", exponent.replace('_', "")),
        None => digits,
    };
    let number: f64 = plain.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Returns the digits without underscores: at most one dot, at least one digit, underscores only between digits (or after the prefix).
fn digits(text: &str, prefix: &str, base: u32) -> Option<String> {
    let mut before = if prefix.is_empty() { '^' } else { '0' };
    let (mut plain, mut dots) = (String::new(), 0);
    for one in text.chars() {
        let fits = match one {
            '_' => before == '0',
            '.' => before != '_' && dots == 0,
            _ => one.is_digit(base),
        };
        if !fits {
            return None;
        }
        dots += u32::from(one == '.');
        if one != '_' {
            plain.push(one);
        }
        before = if one == '_' || one == '.' { one } else { '0' };
    }
    (before != '_' && plain.chars().any(|one| one != '.')).then_some(plain)
}

fn is_exponent(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.chars().all(|one| one.is_ascii_digit())
}

/// Parses short numbers, whose digits an `f64` holds exactly.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let plain = digits(mantissa, "0x", 16)?;
    is_exponent(exponent).then_some(())?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let number = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    assert!(number < 1 << 53, "{text} is longer than this reads");
    let places = 4 * i32::try_from(fraction.len()).unwrap();
    let exponent = exponent.parse::<i32>().ok()? - places;
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let mut number = number as f64;
    // One step at a time, so that no power of two leaves the range before the number does.
    for _ in 0..exponent.unsigned_abs() {
        number = if exponent < 0 {
            number / 2.0
        } else {
            number * 2.0
        };
    }
    number.is_finite().then_some(number)
}

/// Parses a constant of a declared type, or of none.
pub(super) fn as_declared(kind: &str, text: &str) -> Operand {
    let read = || match kind {
        "string" => Some(Value::Text(text.to_owned())),
        "int" => int(text).map(Value::Int),
        "double" => double(text).map(Value::Double),
        "bool" => truth(text).map(Value::Truth),
        kind => panic!("{kind:?} is no type"),
    };
    if kind.is_empty() {
        return Operand::Untyped(text.to_owned());
    }
    Operand::Typed(read().unwrap_or_else(|| panic!("{text:?} is no {kind}")))
}

/// R1: parses a constant without a declared type beside a field.
pub(super) fn as_field(field: (&str, &str), text: &str) -> Operand {
    Operand::Typed(match field {
        ("span", "duration") | ("event", "timeSinceStart") => {
            Value::Nanos(times::duration(text).unwrap_or_else(|| panic!("{text:?} is no duration")))
        }
        ("span", "startTime" | "endTime") | ("event", "time") => {
            Value::Nanos(times::instant(text).unwrap_or_else(|| panic!("{text:?} is no instant")))
        }
        _ => Value::Text(text.to_owned()),
    })
}
