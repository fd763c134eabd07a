//! The age at which a connection is asked to end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The age of one connection is off by at most this part of the common one, so that connections that began together do not end together.
const JITTER: f64 = 0.1;

/// The age of one connection.
pub(crate) fn jittered(age: Duration) -> Duration {
    let factor = 1.0 - JITTER + 2.0 * JITTER * fastrand::f64();
    // Ages are a day at most, far from an overflow.
    age.mul_f64(factor)
}

/// Returns once the connection has to end, at this age or when the server drains, or has ended by itself (`closed`).
pub(crate) async fn end(
    age: Option<Duration>,
    draining: CancellationToken,
    closed: CancellationToken,
) {
    let aged = async {
        match age {
            Some(age) => tokio::time::sleep(age).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = aged => {}
        () = draining.cancelled() => {}
        () = closed.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(100);
        let ages: BTreeSet<Duration> = (0..100).map(|_| jittered(age)).collect();
        assert!(ages.len() > 50, "{ages:?}");
        let is_near = |age: &Duration| (90..=110).contains(&age.as_secs());
        assert!(ages.iter().all(is_near), "{ages:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_at_its_age_and_before_only_with_the_server_or_its_client() {
        let age = Duration::from_secs(100);
        let tokens = || (CancellationToken::new(), CancellationToken::new());
        let begun = tokio::time::Instant::now();
        let (draining, closed) = tokens();
        end(Some(age), draining, closed).await;
        assert!(begun.elapsed() >= age);
        let (draining, closed) = tokens();
        draining.cancel();
        end(None, draining, closed).await;
        let (draining, closed) = tokens();
        drop(closed.clone().drop_guard());
        end(None, draining, closed).await;
        let (draining, closed) = tokens();
        let open = end(None, draining, closed);
        let much_later = tokio::time::timeout(age * 1000, open).await;
        assert!(much_later.is_err());
    }
}
