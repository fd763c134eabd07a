//! `larder kv copy`.

use std::io::{self, Write, stderr, stdout};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use larder_store::Driver;
use larder_store::copy::{self, CopyOptions, CopyProgress, Extent, Standing};

use super::stores::{Source, Target};
use crate::cli::CopyCommand;

/// Time between two lines of progress.
const TELL: Duration = Duration::from_secs(5);

/// What has been done, or is to be.
#[derive(Debug, Default)]
struct Total {
    tenants: u64,
    refused: u64,
    partitions: u64,
    /// Ids in the target that no host has, and none can adopt.
    left: Vec<String>,
}

/// Copies all tenants of a store into another, and prints each with what became of it. Tenants that are refused are left out.
///
/// # Errors
/// A store cannot be opened, read or written, or a tenant was refused.
pub(super) fn run(command: &CopyCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let source = Source::open(&command.from).await?;
        let target = if command.dry_run {
            Target::open_to_look(&command.to).await
        } else {
            Target::open(&command.to, &source).await
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                source.close().await?;
                return Err(error);
            }
        };
        let done = match (&target.driver, command.dry_run) {
            (Some(driver), false) => copy_all(&*source.driver, &**driver).await,
            (driver, _) => look_at_all(&*source.driver, driver.as_deref()).await,
        };
        let (target_closed, source_closed) = (target.close().await, source.close().await);
        done.and(target_closed).and(source_closed)
    })
}

async fn tenants(source: &dyn Driver) -> anyhow::Result<Vec<String>> {
    let tenants = source.tenants().await;
    let tenants = tenants.context("cannot list the tenants of the source")?;
    let mut tenants: Vec<String> = tenants.into_iter().map(|it| it.tenant).collect();
    tenants.sort();
    Ok(tenants)
}

async fn look_at_all(source: &dyn Driver, target: Option<&dyn Driver>) -> anyhow::Result<()> {
    let mut total = Total::default();
    for tenant in tenants(source).await? {
        let looked = copy::look(source, target, &tenant).await;
        let (extent, standing) = looked.with_context(|| format!("tenant `{tenant}`"))?;
        total.add(&extent, &standing);
        let words = in_words(&standing, "would be copied", "the copy would go on");
        print_tenant(&tenant, &extent, &words, &mut stdout().lock()).context("cannot print")?;
    }
    total
        .print(None, &mut stdout().lock())
        .context("cannot print")?;
    total.check_refused()
}

async fn copy_all(source: &dyn Driver, target: &dyn Driver) -> anyhow::Result<()> {
    let (begun, progress) = (Instant::now(), CopyProgress::default());
    let mut total = Total::default();
    for tenant in tenants(source).await? {
        let how = (CopyOptions::default(), &progress);
        let copied = Box::pin(copy::copy(source, target, &tenant, how));
        let copied = telling(copied, (begun, &progress)).await;
        let (extent, standing) = copied.with_context(|| {
            format!("the copy of the tenant `{tenant}` has stopped; run again, it goes on there")
        })?;
        total.add(&extent, &standing);
        if !target.is_shared() && !matches!(standing, Standing::Refused(_)) {
            let own = target.writer_id();
            let others = extent.writers.iter().filter(|id| **id != own);
            total.left.extend(others.cloned());
        }
        let words = in_words(&standing, "copied", "the rest was copied");
        print_tenant(&tenant, &extent, &words, &mut stdout().lock()).context("cannot print")?;
    }
    let took = begun.elapsed();
    total
        .print(Some((took, &progress)), &mut stdout().lock())
        .context("cannot print")?;
    total.check_refused()
}

/// Awaits the work, and prints every few seconds how far it is.
async fn telling<T>(
    mut work: impl Future<Output = T> + Unpin,
    (begun, progress): (Instant, &CopyProgress),
) -> T {
    let mut before = (begun, progress.bytes());
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(TELL) => {}
        }
        let (now, bytes) = (Instant::now(), progress.bytes());
        let rate = per_second(bytes.saturating_sub(before.1), now.duration_since(before.0));
        before = (now, bytes);
        let values = progress.values();
        let line = format!("so far      {values} values, {bytes} bytes, {rate} bytes/s");
        // The copy goes on if nobody can read that.
        drop(writeln!(stderr().lock(), "{line}"));
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    let rate = u128::from(bytes) * 1_000_000 / micros;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn in_words(standing: &Standing, ready: &str, begun: &str) -> String {
    match standing {
        Standing::Empty => "nothing was ever written".to_owned(),
        Standing::Ready => ready.to_owned(),
        Standing::Begun => begun.to_owned(),
        Standing::Copied => "copied before, as it is".to_owned(),
        Standing::Refused(why) => format!("REFUSED: {why}"),
    }
}

fn print_tenant(tenant: &str, extent: &Extent, words: &str, to: &mut impl Write) -> io::Result<()> {
    let Extent {
        writers,
        partitions,
        stored_bytes,
    } = extent;
    let writers = if writers.is_empty() {
        "nobody".to_owned()
    } else {
        writers.join(", ")
    };
    writeln!(
        to,
        "tenant      {tenant}, {partitions} partitions, {stored_bytes} bytes stored by {writers}: {words}"
    )
}

// === impl Total ===

impl Total {
    fn add(&mut self, extent: &Extent, standing: &Standing) {
        match standing {
            Standing::Refused(_) => self.refused += 1,
            Standing::Empty | Standing::Ready | Standing::Begun | Standing::Copied => {
                self.tenants += 1;
                self.partitions += extent.partitions;
            }
        }
    }

    /// Prints the sums; `done` is what was written, and the time that it took.
    fn print(
        &self,
        done: Option<(Duration, &CopyProgress)>,
        to: &mut impl Write,
    ) -> io::Result<()> {
        writeln!(to, "tenants     {}", self.tenants)?;
        writeln!(to, "partitions  {}", self.partitions)?;
        if let Some((took, progress)) = done {
            let (values, bytes) = (progress.values(), progress.bytes());
            let (seconds, rate) = (took.as_secs_f64(), per_second(bytes, took));
            writeln!(to, "values      {values} written now")?;
            writeln!(to, "bytes       {bytes} before compression")?;
            writeln!(to, "took        {seconds:.1} s, {rate} bytes/s")?;
        }
        let mut left = self.left.clone();
        left.sort();
        left.dedup();
        if !left.is_empty() {
            writeln!(
                to,
                "not upkept  {}: the host of the target has another id; it serves this data, and never expires it",
                left.join(", ")
            )?;
        }
        Ok(())
    }

    /// # Errors
    /// A tenant was refused.
    fn check_refused(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.refused == 0,
            "{} tenants were refused; the lines above tell why",
            self.refused
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_tenant_and_the_sum_are_printed() {
        let extent = Extent {
            writers: vec!["a".to_owned(), "b".to_owned()],
            partitions: 6,
            stored_bytes: 700,
        };
        let mut total = Total::default();
        let mut text = Vec::new();
        for standing in [Standing::Ready, Standing::Refused("it is full".to_owned())] {
            total.add(&extent, &standing);
            let words = in_words(&standing, "copied", "");
            print_tenant("t", &extent, &words, &mut text).unwrap();
        }
        total.left = vec!["b".to_owned(), "a".to_owned(), "b".to_owned()];
        total.print(None, &mut text).unwrap();
        let expected = "\
tenant      t, 6 partitions, 700 bytes stored by a, b: copied
tenant      t, 6 partitions, 700 bytes stored by a, b: REFUSED: it is full
tenants     1
partitions  6
not upkept  a, b: the host of the target has another id; it serves this data, and never expires it
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert!(total.check_refused().is_err());
    }

    #[test]
    fn a_rate_is_of_the_time_that_has_passed() {
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
        assert_eq!(per_second(0, Duration::ZERO), 0);
    }
}
