//! Instants: RFC 3339 with an optional fraction of a second.

use super::quote_bytes as quote;

/// Go's name for the layout.
const LAYOUT: &str = "2006-01-02T15:04:05.999999999Z07:00";
const DAY: i64 = 86_400;

/// `Parse` of `RFC3339Nano`: nanoseconds since the Unix epoch. As lenient as Go: an hour of one digit, a comma before the fraction.
///
/// # Errors
/// In the words of Go's `time`.
pub fn parse_time(text: &str) -> Result<i128, String> {
    let mut rest = Rest { text, rest: text };
    let year = rest.digits(4, "2006")?;
    rest.literal("-")?;
    let month = rest.digits(2, "01")?;
    rest.within((1..=12).contains(&month), "month")?;
    rest.literal("-")?;
    let day = rest.digits(2, "02")?;
    rest.literal("T")?;
    let hour = rest.one_or_two_digits("15")?;
    rest.within(hour < 24, "hour")?;
    rest.literal(":")?;
    let minute = rest.digits(2, "04")?;
    rest.within(minute < 60, "minute")?;
    rest.literal(":")?;
    let second = rest.digits(2, "05")?;
    rest.within(second < 60, "second")?;
    let fraction = rest.fraction();
    let offset = rest.offset()?;
    if !rest.rest.is_empty() {
        return Err(rest.says(&format!("extra text: {}", quote(rest.rest))));
    }
    rest.within((1..=days_in(year, month)).contains(&day), "day")?;
    let seconds = days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    Ok(i128::from(seconds) * 1_000_000_000 + i128::from(fraction))
}

/// The rest of a text that is being parsed.
struct Rest<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Rest<'a> {
    fn says(&self, what: &str) -> String {
        format!("parsing time {}: {what}", quote(self.text))
    }

    /// The error where `rest` is not `element` of the layout.
    fn not(&self, rest: &str, element: &str) -> String {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.text),
            quote(LAYOUT),
            quote(rest),
            quote(element)
        )
    }

    fn within(&self, is_within: bool, what: &str) -> Result<(), String> {
        if is_within {
            return Ok(());
        }
        Err(self.says(&format!("{what} out of range")))
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        self.rest = self
            .rest
            .strip_prefix(literal)
            .ok_or_else(|| self.not(self.rest, literal))?;
        Ok(())
    }

    /// As many digits.
    fn digits(&mut self, count: usize, element: &str) -> Result<i64, String> {
        let digits = self
            .rest
            .get(..count)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| self.not(self.rest, element))?;
        self.rest = self.rest.get(count..).unwrap_or_default();
        Ok(digits.parse().unwrap_or_default())
    }

    fn one_or_two_digits(&mut self, element: &str) -> Result<i64, String> {
        let count = self
            .rest
            .bytes()
            .take(2)
            .take_while(u8::is_ascii_digit)
            .count();
        self.digits(count.max(1), element)
    }

    /// Nanoseconds, of as many digits as there are; those beyond the ninth are cut off.
    fn fraction(&mut self) -> i64 {
        let Some(after) = self.rest.strip_prefix(['.', ',']) else {
            return 0;
        };
        let end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (digits, after) = after.split_at(end);
        if digits.is_empty() {
            return 0;
        }
        self.rest = after;
        let nine = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
        nine.fold(0, |fraction, digit| fraction * 10 + i64::from(digit - b'0'))
    }

    /// Seconds east of Greenwich.
    fn offset(&mut self) -> Result<i64, String> {
        const ELEMENT: &str = "Z07:00";
        if let Some(after) = self.rest.strip_prefix('Z') {
            self.rest = after;
            return Ok(0);
        }
        let whole: &'a str = self.rest;
        let (offset, after) = whole
            .split_at_checked(6)
            .ok_or_else(|| self.not(whole, ELEMENT))?;
        let number = |range: std::ops::Range<usize>| {
            offset
                .get(range)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse::<i64>().ok())
        };
        let (sign, colon) = (offset.as_bytes().first(), offset.as_bytes().get(3));
        let is_east = match sign {
            Some(b'+') => true,
            Some(b'-') => false,
            _ => return Err(self.not(whole, ELEMENT)),
        };
        let (Some(b':'), Some(hours), Some(minutes)) = (colon, number(1..3), number(4..6)) else {
            return Err(self.not(whole, ELEMENT));
        };
        self.within(hours <= 24, "time zone offset hour")?;
        self.within(minutes < 60, "time zone offset minute")?;
        self.rest = after;
        let seconds = hours * 3600 + minutes * 60;
        Ok(if is_east { seconds } else { -seconds })
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// From the Unix epoch to the day.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    const TO_EPOCH: i64 = 719_162;
    let years = year - 1;
    let leaps = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    years * 365 + leaps + months + day - 1 - TO_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-08-16T18:56:20.123456789Z", 1_786_906_580_123_456_789),
            ("2024-02-29T23:59:59,5+01:30", 1_709_245_799_500_000_000),
            ("2024-02-29T3:59:59Z", 1_709_179_199_000_000_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000_000),
            (
                "9999-12-31T23:59:59.9999999999Z",
                253_402_300_799_999_999_999,
            ),
        ] {
            assert_eq!(parse_time(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn an_instant_that_go_refuses_is_refused_in_its_words() {
        let layout = "as \"2006-01-02T15:04:05.999999999Z07:00\"";
        for (text, error) in [
            (
                "banana",
                format!(" {layout}: cannot parse \"banana\" as \"2006\""),
            ),
            ("2026-13-01T00:00:00Z", ": month out of range".to_owned()),
            ("2026-02-29T00:00:00Z", ": day out of range".to_owned()),
            ("2026-02-01T24:00:00Z", ": hour out of range".to_owned()),
            (
                "2026-02-01 00:00:00Z",
                format!(" {layout}: cannot parse \" 00:00:00Z\" as \"T\""),
            ),
            (
                "2026-02-01T00:00:00",
                format!(" {layout}: cannot parse \"\" as \"Z07:00\""),
            ),
            ("2026-02-01T00:00:00Zx", ": extra text: \"x\"".to_owned()),
        ] {
            assert_eq!(
                parse_time(text),
                Err(format!("parsing time {}{error}", quote(text)))
            );
        }
    }
}
