//! Lengths of time: `1h30m`, `-1.5s`, `50us`.

const LIMIT: u64 = 1 << 63;

/// `ParseDuration`: nanoseconds.
///
/// # Errors
/// In the words of Go's `time`.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", super::quote_bytes(text));
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut length = 0_u64;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let whole = read_whole(whole).ok_or_else(invalid)?;
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(format!(
                "time: missing unit in duration {}",
                super::quote_bytes(text)
            ));
        }
        let nanoseconds = nanoseconds(unit).ok_or_else(|| {
            format!(
                "time: unknown unit {} in duration {}",
                super::quote_bytes(unit),
                super::quote_bytes(text)
            )
        })?;
        if whole > LIMIT / nanoseconds {
            return Err(invalid());
        }
        let part = whole * nanoseconds + read_fraction(fraction, nanoseconds);
        length = length
            .checked_add(part)
            .filter(|length| *length <= LIMIT)
            .ok_or_else(invalid)?;
        rest = after;
    }
    let length = i128::from(length);
    i64::try_from(if is_negative { -length } else { length }).map_err(|_| invalid())
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `None` beyond what a duration can hold.
fn read_whole(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse().ok().filter(|count| *count <= LIMIT)
}

/// The fraction of a unit after the decimal point. Digits beyond the capacity of a duration are ignored, as in Go.
fn read_fraction(digits: &str, nanoseconds: u64) -> u64 {
    let mut count = 0_u64;
    let mut scale = 1_f64;
    for digit in digits.bytes() {
        if count > (LIMIT - 1) / 10 {
            break;
        }
        let next = count * 10 + u64::from(digit - b'0');
        if next > LIMIT {
            break;
        }
        count = next;
        scale *= 10.0;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Go rounds just so; the product is below a unit"
    )]
    {
        (count as f64 * (nanoseconds as f64 / scale)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, length) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("1h30m", Ok(5_400_000_000_000)),
            ("-1.5s", Ok(-1_500_000_000)),
            ("+.5us", Ok(500)),
            ("5.µs", Ok(5000)),
            ("1μs", Ok(1000)),
            ("0.9223372036854775807h", Ok(3_320_413_933_267)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            (
                "9223372036854775808ns",
                Err("time: invalid duration \"9223372036854775808ns\""),
            ),
            ("3000000h", Err("time: invalid duration \"3000000h\"")),
            ("", Err("time: invalid duration \"\"")),
            ("-", Err("time: invalid duration \"-\"")),
            (".s", Err("time: invalid duration \".s\"")),
            ("banana", Err("time: invalid duration \"banana\"")),
            ("150", Err("time: missing unit in duration \"150\"")),
            ("1d", Err("time: unknown unit \"d\" in duration \"1d\"")),
            ("1 s", Err("time: unknown unit \" s\" in duration \"1 s\"")),
        ] {
            assert_eq!(
                parse_duration(text),
                length.map_err(str::to_owned),
                "{text}"
            );
        }
    }
}
