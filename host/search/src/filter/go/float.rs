//! Floating-point numbers: decimal and hexadecimal, with underscores between digits, `inf`, `infinity` and `nan` in any case.

use super::{Cause, NotRead};

/// `ParseFloat` to 64 bits: what is too large is refused, what is too small is zero.
pub(crate) fn parse_float(text: &str) -> Result<f64, NotRead> {
    read(text).map_err(|cause| NotRead {
        function: "ParseFloat",
        text: text.to_owned(),
        cause,
    })
}

fn read(text: &str) -> Result<f64, Cause> {
    let (is_negative, size) = match text.strip_prefix(['+', '-']) {
        Some(size) => (text.starts_with('-'), size),
        None => (false, text),
    };
    let size = match size.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if size.len() == text.len() => f64::NAN,
        number if number.contains('_') && !has_sound_underscores(number) => {
            return Err(Cause::Syntax);
        }
        number => {
            let number = number.replace('_', "");
            match number.strip_prefix("0x") {
                Some(hexadecimal) => read_hexadecimal(hexadecimal)?,
                None => read_decimal(&number)?,
            }
        }
    };
    Ok(if is_negative { -size } else { size })
}

/// Each underscore stands between two digits; the `0x` in front counts as one.
fn has_sound_underscores(number: &str) -> bool {
    let (digits, is_hexadecimal) = match number.strip_prefix("0x") {
        Some(digits) => (digits, true),
        None => (number, false),
    };
    let is_digit = |byte: u8| {
        if is_hexadecimal {
            byte.is_ascii_hexdigit()
        } else {
            byte.is_ascii_digit()
        }
    };
    let mut last = if is_hexadecimal { b'0' } else { b'.' };
    for byte in digits.bytes() {
        let is_sound = match (last, byte) {
            (b'_', next) => is_digit(next),
            (before, b'_') => is_digit(before),
            _ => true,
        };
        if !is_sound {
            return false;
        }
        last = byte;
    }
    last != b'_'
}

fn read_decimal(number: &str) -> Result<f64, Cause> {
    // Rust also accepts words and signs, which Go refuses here.
    if !number.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Err(Cause::Syntax);
    }
    match number.parse::<f64>() {
        Ok(size) if size.is_infinite() => Err(Cause::Range),
        Ok(size) => Ok(size),
        Err(_) => Err(Cause::Syntax),
    }
}

/// After the `0x`: digits with at most one point, and an exponent of two, which has to be there.
fn read_hexadecimal(number: &str) -> Result<f64, Cause> {
    let (digits, exponent) = number.split_once('p').ok_or(Cause::Syntax)?;
    let exponent = read_exponent(exponent)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(Cause::Syntax);
    }
    let mut mantissa = 0_u64;
    let mut is_cut = false;
    let mut exponent = exponent;
    for (digit, is_fraction) in whole
        .chars()
        .map(|digit| (digit, false))
        .chain(fraction.chars().map(|digit| (digit, true)))
    {
        let digit = digit.to_digit(16).ok_or(Cause::Syntax)?;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if is_fraction { 4 } else { 0 };
        } else {
            is_cut |= digit != 0;
            exponent += if is_fraction { 0 } else { 4 };
        }
    }
    scale(mantissa, is_cut, exponent)
}

/// The digits of an exponent; one that is beyond any number counts as a very large one.
fn read_exponent(text: &str) -> Result<i64, Cause> {
    const BEYOND: i64 = 1 << 40;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Cause::Syntax);
    }
    let size = digits
        .parse::<i64>()
        .map_or(BEYOND, |size| size.min(BEYOND));
    Ok(if text.starts_with('-') { -size } else { size })
}

/// The double nearest to `mantissa` times two to the power of `exponent`, to even where two are; `is_cut` if there was a bit more.
fn scale(mantissa: u64, is_cut: bool, exponent: i64) -> Result<f64, Cause> {
    const BITS: u32 = 53;
    const LEAST: i64 = -1074;
    if mantissa == 0 {
        return Ok(0.0);
    }
    // The lowest bit that a double of this size has.
    let top = exponent + i64::from(mantissa.ilog2());
    let lowest = (top - i64::from(BITS - 1)).max(LEAST);
    let dropped = lowest - exponent;
    let (kept, lowest) = if dropped <= 0 {
        (mantissa, exponent)
    } else {
        let dropped = u32::try_from(dropped).unwrap_or(u32::MAX);
        let kept = mantissa.checked_shr(dropped).unwrap_or(0);
        let rest = if dropped > 63 {
            mantissa
        } else {
            mantissa & ((1 << dropped) - 1)
        };
        let half = 1_u64.checked_shl(dropped - 1).unwrap_or(0);
        let is_up = half != 0 && (rest > half || rest == half && (is_cut || kept & 1 == 1));
        (kept + u64::from(is_up), lowest)
    };
    // `kept` has few enough bits to be a double, and so have its products with powers of two, down to the least.
    #[expect(clippy::cast_precision_loss, reason = "it has at most 53 bits")]
    let mut size = kept as f64;
    let mut left = lowest.clamp(-4096, 4096);
    while left != 0 && size != 0.0 && size.is_finite() {
        let step = left.clamp(-1000, 1000);
        size *= 2_f64.powi(i32::try_from(step).unwrap_or_default());
        left -= step;
    }
    if size.is_infinite() {
        return Err(Cause::Range);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, number) in [
            ("1", 1.0),
            ("+1.", 1.0),
            (".5", 0.5),
            ("-5e2", -500.0),
            ("1_23.50_0_0e+1_2", 1.235e14),
            ("0x1p-2", 0.25),
            ("0X1.8P1", 3.0),
            ("0x_1_2.3_4_5p+1_2", 74565.0),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000008000001p0", 1.000_000_000_000_000_2),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("1e-999", 0.0),
            ("iNf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            let read = parse_float(text).unwrap();
            assert_eq!(read.to_bits(), number.to_bits(), "{text}");
        }
        assert!(parse_float("NaN").unwrap().is_nan());
    }

    #[test]
    fn text_that_go_refuses_is_not_a_number() {
        for text in [
            "", "+", ".", "e5", "1e", "1e+", "+nan", "-nan", "infinit", "1__0", "_1", "1_", "1_.5",
            "0x1", "0xp1", "0x", "1 ", "++1", "+-1", "0x-1p1", "1e0x1", "٣",
        ] {
            let error = parse_float(text).unwrap_err().to_string();
            assert!(error.ends_with("invalid syntax"), "{text}: {error}");
        }
        for text in ["1e309", "-1e309", "0x1p1024", "0x1.fffffffffffff8p1023"] {
            let error = parse_float(text).unwrap_err().to_string();
            assert!(error.ends_with("value out of range"), "{text}: {error}");
        }
    }
}
