//! Percentiles and units of the tables.

use std::time::Duration;

/// Returns the time that `percent` of the times do not exceed; zero if there are none. `sorted` is ascending.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

/// Converts to milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Converts a count to a float; exact up to 2^52, which no run reaches.
pub(crate) fn whole(count: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a run stay far below 2^52"
    )]
    let number = count as f64;
    number
}

/// Formats bytes as a cell of a table, in MB (10^6); blank if they are unknown.
pub(crate) fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{:.0}", whole(bytes) / 1e6))
}

/// Formats median, 99th percentile and maximum as three cells of a table, in milliseconds; blank if there are no times.
pub(crate) fn spread(times: &mut [Duration]) -> String {
    if times.is_empty() {
        return " | | ".to_owned();
    }
    times.sort_unstable();
    format!(
        "{:.2} | {:.2} | {:.2}",
        milliseconds(percentile(times, 50)),
        milliseconds(percentile(times, 99)),
        milliseconds(percentile(times, 100))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_99th_percentile_and_maximum_in_any_order() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(&mut times), "101.00 | 199.00 | 200.00");
        assert_eq!(
            spread(&mut [Duration::from_micros(1_500)]),
            "1.50 | 1.50 | 1.50"
        );
    }

    #[test]
    fn no_times_leave_the_cells_blank() {
        assert_eq!(spread(&mut []), " | | ");
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn memory_is_in_megabytes_or_blank() {
        assert_eq!(megabytes(Some(138_400_000)), "138");
        assert_eq!(megabytes(None), "");
    }
}
