//! Parses Go's durations and RFC 3339 instants, in nanoseconds.

/// `1h30m`, `-1.5s`, `0`.
pub(super) fn duration(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|one: char| one.is_ascii_digit() || one == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        total += amount(number)? * nanos(unit)? / 10_i128.pow(places(number));
        rest = after;
    }
    Some(if negative { -total } else { total })
}

fn nanos(unit: &str) -> Option<i128> {
    match unit {
        "ns" => Some(1),
        "us" | "µs" | "μs" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

/// Returns the digits, without the dot.
fn amount(number: &str) -> Option<i128> {
    number.replacen('.', "", 1).parse().ok()
}

fn places(number: &str) -> u32 {
    let fraction = number.split_once('.').map_or("", |(_, fraction)| fraction);
    u32::try_from(fraction.len()).unwrap()
}

/// `2026-08-16T18:56:20.5+02:00`.
pub(super) fn instant(text: &str) -> Option<i128> {
    let (date, time) = text.split_once('T')?;
    let at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(at);
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    let east = match zone {
        "Z" => 0,
        zone => {
            let [hours, minutes] = numbers(&zone[1..], ':')?;
            (hours * 60 + minutes) * if zone.starts_with('-') { -1 } else { 1 }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - east * 60;
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(seconds * 1_000_000_000 + fraction)
}

fn numbers<const N: usize>(text: &str, mark: char) -> Option<[i128; N]> {
    let parts: Option<Vec<i128>> = text.split(mark).map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

/// Counts the days since 1970, year by year and month by month.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let leap = |year: i128| i128::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let mut days: i128 = (1970..year).map(|year| 365 + leap(year)).sum();
    days -= (year..1970).map(|year| 365 + leap(year)).sum::<i128>();
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).unwrap();
    days + lengths[..before].iter().sum::<i128>() + day - 1
}
