//! Timestamps and durations of the wire as nanoseconds.

use larder_model::storage::{Error, ErrorKind};
use prost_types::{Duration, Timestamp};

/// 0001-01-01T00:00:00Z, which Jaeger's client sends for a time that is not set (W1).
const UNSET_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the last second that a `Timestamp` may hold.
const LAST_SECOND: i64 = 253_402_300_799;
/// The most seconds that a `Duration` may hold: about 10,000 years.
const LONGEST_SECONDS: i64 = 315_576_000_000;
const NANOS_PER_SECOND: i32 = 1_000_000_000;

/// Nanoseconds since the Unix epoch; `None` where the time is absent or the year 1 (W1). The epoch is a time like any other.
///
/// # Errors
/// `InvalidArgument`, naming `field`, for what is no valid `Timestamp`.
pub(crate) fn instant(field: &str, time: Option<&Timestamp>) -> Result<Option<i128>, Error> {
    let Some(Timestamp { seconds, nanos }) = time.copied() else {
        return Ok(None);
    };
    if (seconds, nanos) == (UNSET_SECONDS, 0) {
        return Ok(None);
    }
    if !(UNSET_SECONDS..=LAST_SECOND).contains(&seconds) || !(0..NANOS_PER_SECOND).contains(&nanos)
    {
        return Err(invalid(
            field,
            "a time between the years 1 and 9999 with nanos between 0 and 999999999",
            seconds,
            nanos,
        ));
    }
    Ok(Some(nanoseconds(seconds, nanos)))
}

/// Nanoseconds; `None` where the duration is absent or zero (W1). A negative one is a duration like any other (Q7).
///
/// # Errors
/// `InvalidArgument`, naming `field`, for what is no valid `Duration`.
pub(crate) fn length(field: &str, duration: Option<&Duration>) -> Result<Option<i128>, Error> {
    let Some(Duration { seconds, nanos }) = duration.copied() else {
        return Ok(None);
    };
    let has_one_sign = i64::from(nanos).signum() * seconds.signum() >= 0;
    if seconds.unsigned_abs() > LONGEST_SECONDS.unsigned_abs()
        || nanos.unsigned_abs() >= NANOS_PER_SECOND.unsigned_abs()
        || !has_one_sign
    {
        return Err(invalid(
            field,
            "a duration of at most 315576000000 seconds with nanos below a second and of the same sign",
            seconds,
            nanos,
        ));
    }
    Ok(Some(nanoseconds(seconds, nanos)).filter(|nanoseconds| *nanoseconds != 0))
}

/// The time as a `Timestamp`. Any `u64` of nanoseconds fits one.
pub(crate) fn timestamp(nanoseconds: u64) -> Timestamp {
    let per_second = u64::from(NANOS_PER_SECOND.unsigned_abs());
    Timestamp {
        seconds: i64::try_from(nanoseconds / per_second).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanoseconds % per_second).unwrap_or(0),
    }
}

fn nanoseconds(seconds: i64, nanos: i32) -> i128 {
    i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos)
}

fn invalid(field: &str, valid: &str, seconds: i64, nanos: i32) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("{field} must be {valid}, got {seconds} seconds and {nanos} nanos"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_time_that_is_absent_or_the_year_1_is_unset_and_the_epoch_is_not() {
        let read = |seconds, nanos| instant("t", Some(&Timestamp { seconds, nanos })).unwrap();
        assert_eq!(instant("t", None).unwrap(), None);
        assert_eq!(read(UNSET_SECONDS, 0), None);
        assert_eq!(
            read(UNSET_SECONDS, 1),
            Some(i128::from(UNSET_SECONDS) * 1_000_000_000 + 1)
        );
        assert_eq!(read(0, 0), Some(0));
        assert_eq!(read(-1, 999_999_999), Some(-1));
        assert_eq!(
            read(LAST_SECOND, 999_999_999),
            Some(253_402_300_799_999_999_999)
        );
    }

    #[test]
    fn a_time_that_is_no_timestamp_is_refused_by_the_name_of_its_field() {
        for (seconds, nanos) in [
            (0, -1),
            (0, NANOS_PER_SECOND),
            (UNSET_SECONDS - 1, 0),
            (LAST_SECOND + 1, 0),
            (i64::MIN, i32::MIN),
        ] {
            let error = instant("start_time_min", Some(&Timestamp { seconds, nanos })).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(
                error.message().starts_with("start_time_min must be"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_zero_duration_is_unset_and_a_negative_one_is_not() {
        let read = |seconds, nanos| length("d", Some(&Duration { seconds, nanos })).unwrap();
        assert_eq!(length("d", None).unwrap(), None);
        assert_eq!(read(0, 0), None);
        assert_eq!(read(1, 5), Some(1_000_000_005));
        assert_eq!(read(-1, -5), Some(-1_000_000_005));
        assert_eq!(read(0, -5), Some(-5));
    }

    #[test]
    fn a_duration_that_is_no_duration_is_refused_by_the_name_of_its_field() {
        for (seconds, nanos) in [
            (1, -1),
            (-1, 1),
            (0, NANOS_PER_SECOND),
            (LONGEST_SECONDS + 1, 0),
            (i64::MIN, i32::MIN),
        ] {
            let error = length("duration_min", Some(&Duration { seconds, nanos })).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(
                error.message().starts_with("duration_min must be"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_stored_time_is_a_timestamp() {
        for nanoseconds in [0, 1, 1_000_000_000, 1_700_000_000_123_456_789, u64::MAX] {
            let read = instant("t", Some(&timestamp(nanoseconds))).unwrap();
            assert_eq!(read, Some(i128::from(nanoseconds)));
        }
    }
}
